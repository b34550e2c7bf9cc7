"""What each container may do, told by Docker and tried from inside."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.support.docker import docker
from tests.support.stack import ONE_SHOTS, SERVERS, Stack

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
# Each secret is for one reader: by the volumes that it mounts, and whether it may write there.
VOLUMES = {
    "secrets": {
        "mysql-secrets": True,
        "migrate-secrets": True,
        "service-secrets": True,
        "monitoring-secrets": True,
        "grafana-secrets": True,
    },
    "certificates": {"authority": True, "certificates": True, "acme": False},
    "mysql": {"mysql-data": True, "mysql-secrets": False},
    "migrate": {"migrate-secrets": False},
    "app": {"service-secrets": False},
    "nginx": {"certificates": False, "challenges": False},
}
# nginx writes a line for each request.
LOGS = {
    "": {"Type": "json-file", "Config": {"max-file": "5", "max-size": "10m"}},
    "nginx": {"Type": "local", "Config": {"max-file": "40", "max-size": "100m"}},
}
FORBIDDEN = (
    "DROP TABLE orders",
    "DROP DATABASE orders",
    "CREATE TABLE t (id INT)",
    "ALTER TABLE orders ADD COLUMN x INT",
    "TRUNCATE orders",
    "SELECT * FROM mysql.user",
    "SELECT 'x' INTO OUTFILE '/tmp/x'",
    "SET GLOBAL max_connections = 1",
)
DATABASE_SECRETS = [f"{name}_password" for name in ("root", "migrator", "service", "backup")]


Described = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def described(stack: Stack) -> Described:
    """What Docker says about each container."""
    return {service: stack.inspect(service) for service in ALL}


@pytest.mark.parametrize("service", ALL)
def test_docker_holds_it_down(described: Described, service: str) -> None:
    config, host = described[service]["Config"], described[service]["HostConfig"]
    assert config["User"].split(":")[0] not in ("", "0", "root")
    assert host["ReadonlyRootfs"]
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert not host["Privileged"]
    assert host["Memory"] > 0
    # Docker refuses a limit above what the machine has.
    assert host["NanoCpus"] == 0
    assert host["PidsLimit"] > 0
    assert host["Init"]
    assert host["LogConfig"] == LOGS.get(service, LOGS[""])
    assert all("size=" in options for options in host["Tmpfs"].values())
    if service in SERVERS:
        assert host["RestartPolicy"]["Name"] == "unless-stopped"
        # Longer than the service takes to finish its orders.
        assert config["StopTimeout"] > 30
    else:
        assert host["RestartPolicy"]["Name"] == "no"


def test_mysql_is_served_first_and_ended_last(described: Described) -> None:
    hosts = {service: described[service]["HostConfig"] for service in SERVERS}
    assert hosts["mysql"]["CpuShares"] > (hosts["app"]["CpuShares"] or 1024)
    assert hosts["mysql"]["OomScoreAdj"] < hosts["app"]["OomScoreAdj"]
    # Without swap of its own, where the kernel counts that.
    assert hosts["mysql"]["MemorySwap"] in (hosts["mysql"]["Memory"], -1, 0)


def test_each_is_on_its_own_networks(stack: Stack, described: Described) -> None:
    for service, container in described.items():
        networks = container["NetworkSettings"]["Networks"]
        names = {name.removeprefix(f"{stack.project}_") for name in networks}
        assert names == NETWORKS.get(service, {"none"}), service


def test_each_has_its_own_volumes(stack: Stack, described: Described) -> None:
    for service, expected in VOLUMES.items():
        volumes = [one for one in described[service]["Mounts"] if one["Type"] == "volume"]
        names = {one["Name"].removeprefix(f"{stack.project}_"): one["RW"] for one in volumes}
        assert names == expected, service


def test_only_nginx_is_published_and_only_to_this_host(stack: Stack, described: Described) -> None:
    published = {
        (service, binding["HostIp"], int(binding["HostPort"]))
        for service, container in described.items()
        for bindings in (container["HostConfig"]["PortBindings"] or {}).values()
        for binding in bindings
    }
    assert published == {
        ("nginx", "127.0.0.1", stack.http_port),
        ("nginx", "127.0.0.1", stack.https_port),
    }


@pytest.mark.parametrize("server", SERVERS)
def test_from_inside_it_is_weak(stack: Stack, server: str) -> None:
    script = "id -u; grep -E '^(Cap(Eff|Prm|Bnd)|NoNewPrivs)' /proc/self/status; touch /probe"
    result = stack.shell(server, script)
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


def test_no_secret_is_visible(stack: Stack, described: Described) -> None:
    known = [stack.secret("mysql", name) for name in DATABASE_SECRETS]
    known += [stack.secret("app", name) for name in ("webhook_secret", "events_secret")]
    assert min(map(len, known)) >= 32
    image = described["app"]["Image"]
    shown = {
        "docker inspect": json.dumps(described),
        "the image": docker("image", "inspect", image) + docker("history", "--no-trunc", image),
        "the logs": stack.compose("logs", "--no-color"),
        "the Compose file": stack.compose("config"),
        "the process list": "".join(docker("top", described[name]["Id"]) for name in SERVERS),
        "nginx": stack.shell("nginx", "cat /run/secrets/* /etc/nginx/certificates/*").stdout,
        "environments": "".join(
            stack.shell(name, "cat /proc/[0-9]*/environ 2>/dev/null").stdout for name in SERVERS
        ),
    }
    for place, text in shown.items():
        assert not any(secret in text for secret in known), f"a secret is in {place}"


def test_each_reads_its_own_secrets_only(stack: Stack) -> None:
    assert set(stack.shell("app", "ls /run/secrets").stdout.split()) == {
        "app_env",
        "auth_password",
        "auth_password_previous",
        "database_url",
        "events_secret",
        "events_secret_previous",
        "webhook_secret",
        "webhook_secret_previous",
    }
    # The authority's key is nobody's but the one-shot's that signs with it.
    assert set(stack.shell("nginx", "ls /etc/nginx/certificates").stdout.split()) == {
        "ca.crt",
        "hsts.conf",
        "tls.crt",
        "tls.key",
    }


def test_the_password_is_told_where_it_may_be(stack: Stack) -> None:
    assert "admin:securepassword, only while on 127.0.0.1" in stack.logs("secrets")


@pytest.mark.parametrize("account", ["service", "backup"])
def test_the_accounts_may_do_their_part_only(stack: Stack, account: str) -> None:
    mysql = f"mysql --defaults-extra-file=/run/secrets/{account}.cnf --force orders"
    statements = "\n".join(f"{one};" for one in FORBIDDEN)
    said = stack.shell("mysql", f"{mysql} <<'END'\n{statements}\nEND").stderr
    denied = re.findall(r"at line (\d+): .*denied", said)
    assert denied == [str(number) for number, _ in enumerate(FORBIDDEN, 1)], said


def test_the_service_deletes_what_is_forgotten_and_archived(stack: Stack) -> None:
    for table in ("idempotency_keys", "processors", "order_attempts", "orders"):
        assert stack.query(f"DELETE FROM {table} WHERE FALSE").stderr == ""


def test_the_backup_account_reads(stack: Stack) -> None:
    assert stack.query("SELECT COUNT(*) FROM orders", "backup").returncode == 0
    for change in ("UPDATE orders SET user_id = 1", "DELETE FROM orders"):
        assert "denied" in stack.query(change, "backup").stderr


def test_mysql_is_durable_and_fits_a_small_host(stack: Stack) -> None:
    names = (
        "innodb_flush_log_at_trx_commit, @@sync_binlog, @@transaction_isolation, @@log_bin,"
        " @@character_set_server, @@binlog_expire_logs_seconds, @@innodb_buffer_pool_size"
    )
    row = stack.query(f"SELECT @@{names}").stdout.split()
    assert row == ["1", "1", "READ-COMMITTED", "1", "utf8mb4", "604800", str(128 * 1024**2)]


def test_mysql_is_out_of_nginxs_reach(stack: Stack, described: Described) -> None:
    networks = described["mysql"]["NetworkSettings"]["Networks"]
    (address,) = {network["IPAddress"] for network in networks.values()}
    probe = f"curl --silent --output /dev/null --max-time 3 telnet://{address}:3306 </dev/null"
    # 28: no answer in time; 6 and 7: no such host, no way there.
    assert stack.shell("nginx", probe).returncode in (7, 28)
    assert stack.shell("nginx", probe.replace(address, "mysql")).returncode == 6
    reach = f"import socket; socket.create_connection(('{address}', 3306), 3)"
    assert stack.try_compose("exec", "-T", "app", "python", "-c", reach).returncode == 0
