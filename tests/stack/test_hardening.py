"""What each container may do, told by Docker and tried from inside."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any

import pytest

from tests.support.stack import ONE_SHOTS, SERVERS, Stack, docker

ALL = (*SERVERS, *ONE_SHOTS)
NETWORKS = {
    "mysql": {"database"},
    "migrate": {"database"},
    "app": {"web", "database"},
    "nginx": {"web"},
}
# Where each may write: memory, but for MySQL's data and the one-shots' volumes.
WRITABLE = {
    "mysql": {"/tmp", "/run/mysqld", "/var/lib/mysql"},  # noqa: S108
    "app": {"/tmp"},  # noqa: S108
    "nginx": {"/tmp", "/etc/nginx/conf.d"},  # noqa: S108
}
DATABASE_SECRETS = [f"{name}_password" for name in ("root", "migrator", "service", "backup")]


@pytest.fixture(params=ALL)
def service(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def inspected(stack: Stack, service: str) -> dict[str, Any]:
    return stack.inspect(stack.containers(service)[0])


def run_inside(stack: Stack, service: str, script: str) -> subprocess.CompletedProcess[str]:
    """Run a script in the container, or in one like it where that has ended."""
    if service in SERVERS:
        return stack.shell(service, script)
    return stack.try_compose("run", "--rm", "--no-deps", "-T", service, "sh", "-c", script)


def test_docker_holds_it_down(inspected: dict[str, Any], service: str) -> None:
    host = inspected["HostConfig"]
    assert inspected["Config"]["User"].split(":")[0] not in ("", "0", "root")
    assert host["ReadonlyRootfs"]
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert not host["Privileged"]
    assert host["Memory"] > 0
    assert host["NanoCpus"] > 0
    assert host["PidsLimit"] > 0
    assert host["Init"]
    assert host["LogConfig"] == {
        "Type": "json-file",
        "Config": {"max-file": "5", "max-size": "10m"},
    }
    restarts = "unless-stopped" if service in SERVERS else "no"
    assert host["RestartPolicy"]["Name"] == restarts
    assert all("size=" in options for options in host["Tmpfs"].values())


def test_it_is_on_its_own_networks(stack: Stack, inspected: dict[str, Any], service: str) -> None:
    names = {
        name.removeprefix(f"{stack.project}_") for name in inspected["NetworkSettings"]["Networks"]
    }
    assert names == NETWORKS.get(service, {"none"})


def test_only_nginx_is_published_and_only_to_this_host(
    stack: Stack, inspected: dict[str, Any], service: str
) -> None:
    bindings = [
        b for some in (inspected["HostConfig"]["PortBindings"] or {}).values() for b in some
    ]
    expected = {str(stack.http_port), str(stack.https_port)} if service == "nginx" else set()
    assert {binding["HostPort"] for binding in bindings} == expected
    assert {binding["HostIp"] for binding in bindings} <= {"127.0.0.1"}


def test_from_inside_it_is_weak(stack: Stack, service: str) -> None:
    script = "id -u; grep -E '^(Cap(Eff|Prm|Bnd)|NoNewPrivs)' /proc/self/status; touch /probe"
    result = run_inside(stack, service, script)
    uid, *status = result.stdout.split("\n")
    assert int(uid) > 0
    values = dict(line.split(":\t") for line in status if line)
    assert values == {
        "CapEff": "0" * 16,
        "CapPrm": "0" * 16,
        "CapBnd": "0" * 16,
        "NoNewPrivs": "1",
    }
    assert "Read-only file system" in result.stderr


@pytest.mark.parametrize("server", SERVERS)
def test_it_writes_only_where_it_must(stack: Stack, server: str) -> None:
    script = (
        "find / -xdev -type d -writable 2>/dev/null;"
        " awk '$4 ~ /^rw/ {print $2}' /proc/mounts | while read -r mount;"
        ' do [ ! -w "$mount" ] || echo "$mount"; done'
    )
    folders = stack.shell(server, script).stdout.split()
    kernel = re.compile(r"/(proc|dev|sys)(/|$)")
    assert {folder for folder in folders if not kernel.match(folder)} <= WRITABLE[server] | {
        path for path in folders if path.startswith("/var/lib/mysql/")
    } | ({"/var/run/mysqld"} if server == "mysql" else set())


@pytest.mark.parametrize("server", SERVERS)
def test_it_is_given_time_to_stop(stack: Stack, server: str) -> None:
    inspected = stack.inspect(stack.containers(server)[0])
    assert inspected["Config"]["StopTimeout"] > 30


def test_no_secret_is_visible(stack: Stack) -> None:
    known = [stack.secret("mysql", name) for name in DATABASE_SECRETS]
    known.append(stack.secret("app", "webhook_secret"))
    assert min(map(len, known)) >= 32
    image = stack.inspect(stack.containers("app")[0])["Image"]
    shown = {
        "docker inspect": "".join(
            json.dumps(stack.inspect(one)) for name in ALL for one in stack.containers(name)
        ),
        "the image": docker("image", "inspect", image) + docker("history", "--no-trunc", image),
        "the logs": stack.compose("logs", "--no-color"),
        "the Compose file": stack.compose("config"),
        "the process list": "".join(docker("top", stack.containers(name)[0]) for name in SERVERS),
        "nginx": stack.shell("nginx", "cat /run/secrets/* /etc/nginx/certificates/*").stdout,
        "environments": "".join(
            stack.shell(name, "cat /proc/[0-9]*/environ 2>/dev/null").stdout for name in SERVERS
        ),
    }
    for place, text in shown.items():
        assert not any(secret in text for secret in known), f"a secret is in {place}"


def test_each_reads_its_own_secrets_only(stack: Stack) -> None:
    for service, expected in (
        (
            "app",
            {
                "app_env",
                "auth_password",
                "auth_password_previous",
                "database_url",
                "webhook_secret",
            },
        ),
        ("migrate", {"database_url"}),
        ("nginx", set()),
    ):
        found = run_inside(stack, service, "ls /run/secrets").stdout.split()
        assert set(found) == expected
    # The authority's key is nobody's but the one-shot's that signs with it.
    assert set(stack.shell("nginx", "ls /etc/nginx/certificates").stdout.split()) == {
        "ca.crt",
        "hsts.conf",
        "tls.crt",
        "tls.key",
    }


def test_the_password_is_told_where_it_may_be(stack: Stack) -> None:
    assert "admin:securepassword, only while on 127.0.0.1" in stack.logs("secrets")


@pytest.mark.parametrize(
    "sql",
    [
        "DROP TABLE orders",
        "DROP DATABASE orders",
        "CREATE TABLE t (id INT)",
        "ALTER TABLE orders ADD COLUMN x INT",
        "DELETE FROM orders",
        "SELECT * FROM mysql.user",
        "SELECT 'x' INTO OUTFILE '/tmp/x'",
        "SET GLOBAL max_connections = 1",
    ],
)
@pytest.mark.parametrize("account", ["service", "backup"])
def test_the_accounts_may_do_their_part_only(stack: Stack, account: str, sql: str) -> None:
    result = stack.query(sql, account)
    assert result.returncode == 1
    assert re.search("denied", result.stderr), result.stderr


def test_the_backup_account_reads(stack: Stack) -> None:
    assert stack.query("SELECT COUNT(*) FROM orders", "backup").returncode == 0
    assert "denied" in stack.query("UPDATE orders SET user_id = 1", "backup").stderr


def test_mysql_is_durable_and_fits_a_small_host(stack: Stack) -> None:
    names = (
        "innodb_flush_log_at_trx_commit, @@sync_binlog, @@transaction_isolation, @@log_bin,"
        " @@character_set_server, @@binlog_expire_logs_seconds, @@innodb_buffer_pool_size"
    )
    row = stack.query(f"SELECT @@{names}").stdout.split()
    assert row == ["1", "1", "READ-COMMITTED", "1", "utf8mb4", "604800", str(128 * 1024**2)]


def test_mysql_is_out_of_nginxs_reach(stack: Stack) -> None:
    networks = stack.inspect(stack.containers("mysql")[0])["NetworkSettings"]["Networks"]
    (address,) = {network["IPAddress"] for network in networks.values()}
    probe = f"curl --silent --max-time 3 telnet://{address}:3306 </dev/null"
    # 28: no answer in time; 6 and 7: no such host, no way there.
    assert stack.shell("nginx", probe).returncode in (7, 28)
    assert stack.shell("nginx", probe.replace(address, "mysql")).returncode == 6
    reach = f"import socket; socket.create_connection(('{address}', 3306), 3)"
    assert stack.try_compose("exec", "-T", "app", "python", "-c", reach).returncode == 0
