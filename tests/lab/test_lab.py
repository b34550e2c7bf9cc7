"""The lab gives a real, durable MySQL, and giving it twice changes nothing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pymysql
import pytest

from tests.support.docker import DockerError
from tests.support.mysql_server import (
    IMAGE,
    USER,
    MySQLServer,
    MySQLServerError,
    docker_available,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

LAB = Path(__file__).parent
REPOSITORY = LAB.parent.parent


def login(server: MySQLServer, database: str) -> pymysql.connections.Connection:
    return pymysql.connect(
        host=server.host,
        port=server.port,
        user=USER,
        password=server.password,
        database=database,
        connect_timeout=5,
        read_timeout=3,
    )


def docker(*arguments: str) -> str:
    return subprocess.run(
        ["docker", *arguments], capture_output=True, check=True, text=True
    ).stdout.strip()


def lab(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [LAB / "lab.sh", *arguments],
        capture_output=True,
        check=False,
        env=os.environ | variables,
        text=True,
    )


def wait_until_held(lock: Path) -> None:
    deadline = time.monotonic() + 10
    while subprocess.run(["flock", "--nonblock", lock, "true"], check=False).returncode == 0:
        assert time.monotonic() < deadline, f"nobody took {lock}"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def server() -> Iterator[MySQLServer]:
    with MySQLServer.start() as started:
        yield started


def test_server_is_the_supported_version_with_durable_settings(server):
    settings = server.query(
        "SELECT @@version, @@innodb_flush_log_at_trx_commit, @@sync_binlog,"
        " @@innodb_doublewrite, @@max_connections"
    )

    version, flush_log, sync_binlog, doublewrite, max_connections = settings[0]
    assert version.startswith("9.7.")
    assert (flush_log, sync_binlog, doublewrite, max_connections) == (1, 1, "ON", 300)


def test_extra_arguments_reach_the_server():
    with MySQLServer.start(extra_args=["--max-connections=17"]) as small:
        assert small.query("SELECT @@max_connections") == [(17,)]


def test_application_logs_in_with_caching_sha2_password(server):
    database = server.create_database()
    with login(server, database) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT CURRENT_USER(), DATABASE(), @@character_set_database")
        assert cursor.fetchone() == (f"{USER}@%", database, "utf8mb4")

    plugin = server.query("SELECT plugin FROM mysql.user WHERE user = %s", [USER])
    assert plugin == [("caching_sha2_password",)]


def test_application_may_use_only_its_databases(server):
    database = server.create_database()
    with login(server, database) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE t (id INT PRIMARY KEY)")
        with pytest.raises(pymysql.MySQLError, match="denied"):
            cursor.execute("SELECT * FROM mysql.user")

    server.drop_database(database)

    with pytest.raises(pymysql.MySQLError, match="denied"):
        login(server, database)


def test_status_counts_queries(server):
    before = server.global_status("Com_create_db")
    server.create_database()
    assert server.global_status("Com_create_db") == before + 1

    with pytest.raises(MySQLServerError, match="no status variable 'No_such'"):
        server.global_status("No_such")


def test_committed_rows_survive_kill_9_and_uncommitted_ones_do_not(server):
    database = server.create_database()
    server.query("CREATE TABLE t (id INT PRIMARY KEY)", database=database)
    port = server.port

    for crash in (1, 2, 3):
        with login(server, database) as connection, connection.cursor() as cursor:
            cursor.execute("INSERT INTO t VALUES (%s)", [crash])
            connection.commit()
            cursor.execute("INSERT INTO t VALUES (%s)", [-crash])
            server.kill9()
            with pytest.raises(pymysql.MySQLError):
                connection.ping(reconnect=False)
        with pytest.raises(pymysql.MySQLError):
            login(server, database)
        server.start_again()

    assert server.port == port
    assert server.query("SELECT id FROM t ORDER BY id", database=database) == [(1,), (2,), (3,)]


def test_stop_is_clean_and_keeps_rows(server):
    database = server.create_database()
    server.query("CREATE TABLE t (id INT PRIMARY KEY)", database=database)
    server.query("INSERT INTO t VALUES (1)", database=database)

    server.stop()
    assert "Shutdown complete" in server.logs()
    server.start_again()

    assert server.query("SELECT id FROM t", database=database) == [(1,)]


def test_paused_server_hangs_until_it_goes_on(server):
    database = server.create_database()
    with login(server, database) as connection, connection.cursor() as cursor:
        server.pause()
        try:
            with pytest.raises(pymysql.MySQLError, match="timed out"):
                cursor.execute("SELECT 1")
        finally:
            server.unpause()

    with login(server, database) as connection, connection.cursor() as cursor:
        assert cursor.execute("SELECT 1") == 1


def test_close_removes_a_paused_server_with_its_data():
    started = MySQLServer.start()
    volume = docker("inspect", "--format={{(index .Mounts 0).Name}}", started.name)
    assert volume in docker("volume", "ls", "--quiet").split()
    started.pause()

    started.close()
    started.close()

    assert started.name not in docker("ps", "--all", "--format={{.Names}}").split()
    assert volume not in docker("volume", "ls", "--quiet").split()


def test_server_that_cannot_start_says_why_and_leaves_nothing():
    with pytest.raises(MySQLServerError, match=r"(?s)ended instead of starting.*no-such-option"):
        MySQLServer.start("orders-mysql-broken", ["--no-such-option"])

    assert "orders-mysql-broken" not in docker("ps", "--all", "--format={{.Names}}").split()


def test_a_name_in_use_is_refused_and_its_owner_left_alone(server):
    with pytest.raises(DockerError, match="already in use"):
        MySQLServer.start(server.name)

    assert server.query("SELECT 1") == [(1,)]


def test_missing_engine_or_client_is_named(monkeypatch, tmp_path):
    assert docker_available() is None

    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    assert "no Docker engine answers" in docker_available()

    monkeypatch.setenv("PATH", str(tmp_path))
    assert "no docker client" in docker_available()


def test_running_the_lab_again_is_quick_and_changes_nothing():
    recipes = [path.read_text() for path in LAB.glob("images/*/recipe.sh")]
    names = [re.search(r"^IMAGE=(.+)$", recipe, re.MULTILINE)[1] for recipe in recipes]
    assert IMAGE in names
    images = docker("image", "inspect", "--format={{.Id}} {{.Created}}", *names)
    begin = time.monotonic()

    run = lab()

    assert run.returncode == 0, run.stderr
    assert time.monotonic() - begin < 30
    assert docker("image", "inspect", "--format={{.Id}} {{.Created}}", *names) == images
    assert all(line.startswith("lab: ") for line in run.stdout.splitlines())


def test_two_runs_at_once_wait_for_each_other(tmp_path):
    (tmp_path / "order-service-lab").mkdir()
    lock = tmp_path / "order-service-lab" / "lock"
    with subprocess.Popen(["flock", lock, "cat"], stdin=subprocess.PIPE, text=True) as holder:
        wait_until_held(lock)
        second = subprocess.Popen(
            [LAB / "lab.sh"],
            env=os.environ | {"XDG_CACHE_HOME": str(tmp_path)},
            stdout=subprocess.PIPE,
            text=True,
        )
        with second:
            assert second.stdout.readline() == "lab: another run is at work; waiting for it\n"
            assert second.poll() is None
            holder.communicate()
            rest = second.stdout.read()
    assert "lab: ready" in rest
    assert second.returncode == 0


def test_an_engine_that_was_asked_for_and_does_not_answer_is_named(tmp_path):
    run = lab(DOCKER_HOST=f"unix://{tmp_path}/none.sock", XDG_CACHE_HOME=str(tmp_path))

    assert run.returncode == 1
    assert "no Docker engine answers at DOCKER_HOST=unix://" in run.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become a user without rights")
def test_without_root_and_engine_it_says_what_is_needed():
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        script = shutil.copytree(LAB, Path(folder, "lab")) / "lab.sh"
        run = subprocess.run(
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", script],
            capture_output=True,
            check=False,
            env={"PATH": os.environ["PATH"], "HOME": folder, "XDG_CACHE_HOME": "/nonexistent"},
            text=True,
        )

    assert run.returncode == 1
    assert "permission denied" in run.stderr
    assert "only be installed on Debian or Ubuntu as root" in run.stderr


def test_an_unknown_image_is_refused():
    run = lab("no-such-image")

    assert run.returncode == 1
    assert "there is no image 'no-such-image'; expected one of: " in run.stderr


def test_scripts_pass_shellcheck():
    scripts = [str(path.relative_to(REPOSITORY)) for path in sorted(LAB.rglob("*.sh"))]
    assert "tests/lab/lab.sh" in scripts
    tools = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    shellcheck = shutil.which("shellcheck", path=tools)
    assert shellcheck, "shellcheck is missing: install requirements-dev.txt"
    run = subprocess.run(
        [shellcheck, "--external-sources", *scripts],
        capture_output=True,
        check=False,
        cwd=REPOSITORY,
        text=True,
    )
    assert run.stdout == ""
    assert run.returncode == 0, run.stderr
