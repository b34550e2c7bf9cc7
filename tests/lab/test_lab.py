"""The lab gives a real, durable MySQL, and giving it twice changes nothing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pymysql
import pytest

from tests.support.docker import DockerError, docker
from tests.support.mysql_server import (
    IMAGE,
    USER,
    MySQLServer,
    MySQLServerError,
    docker_available,
)
from tests.support.polling import wait_until

LAB = Path(__file__).parent


def login(
    server: MySQLServer, database: str
) -> pymysql.connections.Connection[pymysql.cursors.Cursor]:
    return pymysql.connect(
        host=server.host,
        port=server.port,
        user=USER,
        password=server.password,
        database=database,
        connect_timeout=5,
        read_timeout=3,
    )


def lab(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [LAB / "lab.sh", *arguments],
        capture_output=True,
        check=False,
        env=os.environ | variables,
        text=True,
    )


@pytest.fixture(scope="module")
def server() -> Iterator[MySQLServer]:
    with MySQLServer.start() as started:
        yield started


def test_server_is_the_supported_version_with_durable_settings(server: MySQLServer) -> None:
    settings = server.query(
        "SELECT @@version, @@innodb_flush_log_at_trx_commit, @@sync_binlog,"
        " @@innodb_doublewrite, @@max_connections"
    )

    version, flush_log, sync_binlog, doublewrite, max_connections = settings[0]
    assert version.startswith("9.7.")
    assert (flush_log, sync_binlog, doublewrite, max_connections) == (1, 1, "ON", 300)


def test_application_logs_in_with_caching_sha2_password(server: MySQLServer) -> None:
    database = server.create_database()
    with login(server, database) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT CURRENT_USER(), DATABASE(), @@character_set_database")
        assert cursor.fetchone() == (f"{USER}@%", database, "utf8mb4")

    plugin = server.query("SELECT plugin FROM mysql.user WHERE user = %s", [USER])
    assert plugin == [("caching_sha2_password",)]


def test_application_may_use_only_its_databases(server: MySQLServer) -> None:
    database = server.create_database()
    with login(server, database) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE t (id INT PRIMARY KEY)")
        with pytest.raises(pymysql.MySQLError, match="denied"):
            cursor.execute("SELECT * FROM mysql.user")

    server.drop_database(database)

    with pytest.raises(pymysql.MySQLError, match="denied"):
        login(server, database)


def test_status_counts_queries(server: MySQLServer) -> None:
    before = server.global_status("Com_create_db")
    server.create_database()
    assert server.global_status("Com_create_db") == before + 1

    with pytest.raises(MySQLServerError, match="no status variable 'No_such'"):
        server.global_status("No_such")


def test_committed_rows_survive_kill_9_and_uncommitted_ones_do_not(server: MySQLServer) -> None:
    database = server.create_database()
    server.query("CREATE TABLE t (id INT PRIMARY KEY)", database=database)
    port = server.port
    with login(server, database) as connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO t VALUES (1)")
        connection.commit()
        cursor.execute("INSERT INTO t VALUES (2)")
        server.kill9()
        with pytest.raises(pymysql.MySQLError):
            connection.ping(reconnect=False)
    with pytest.raises(pymysql.MySQLError):
        login(server, database)

    server.start_again()

    assert server.port == port
    assert server.query("SELECT id FROM t", database=database) == [(1,)]


def test_paused_server_hangs_until_it_goes_on(server: MySQLServer) -> None:
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


def test_close_removes_a_paused_server_with_its_data() -> None:
    begun = MySQLServer.begin()
    volume = docker("inspect", "--format={{(index .Mounts 0).Name}}", begun.name)
    assert volume in docker("volume", "ls", "--quiet").split()
    begun.pause()

    begun.close()
    begun.close()

    assert begun.name not in docker("ps", "--all", "--format={{.Names}}").split()
    assert volume not in docker("volume", "ls", "--quiet").split()


def test_server_that_cannot_start_says_why_and_leaves_nothing() -> None:
    with pytest.raises(MySQLServerError, match=r"(?s)ended instead of starting.*no-such-option"):
        MySQLServer.start("orders-mysql-broken", ["--no-such-option"])

    assert "orders-mysql-broken" not in docker("ps", "--all", "--format={{.Names}}").split()


def test_a_name_in_use_is_refused_and_its_owner_left_alone(server: MySQLServer) -> None:
    with pytest.raises(DockerError, match="already in use"):
        MySQLServer.start(server.name)

    assert server.query("SELECT 1") == [(1,)]


def test_missing_engine_or_client_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert docker_available() is None

    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    assert "no Docker engine answers" in (docker_available() or "")

    monkeypatch.setenv("PATH", str(tmp_path))
    assert "no docker client" in (docker_available() or "")


def test_another_run_waits_for_the_first_and_changes_nothing(tmp_path: Path) -> None:
    recipes = [path.read_text() for path in LAB.glob("images/*/recipe.sh")]
    names = re.findall(r"^IMAGE=(.+)$", "\n".join(recipes), re.MULTILINE)
    assert IMAGE in names
    images = docker("image", "inspect", "--format={{.Id}} {{.Created}}", *names)
    (tmp_path / "order-service-lab").mkdir()
    lock = tmp_path / "order-service-lab" / "lock"
    with subprocess.Popen(["flock", lock, "cat"], stdin=subprocess.PIPE, text=True) as holder:
        wait_until(lambda: is_held(lock), 30, "the lock's holder", every=0.1)
        second = subprocess.Popen(
            [LAB / "lab.sh"],
            env=os.environ | {"XDG_CACHE_HOME": str(tmp_path)},
            stdout=subprocess.PIPE,
            text=True,
        )
        with second:
            assert second.stdout
            assert second.stdout.readline() == "lab: another run is at work; waiting for it\n"
            assert second.poll() is None
            holder.communicate()
            said = second.stdout.read()
    assert second.returncode == 0
    assert "lab: ready" in said
    assert all(line.startswith("lab: ") for line in said.splitlines())
    assert docker("image", "inspect", "--format={{.Id}} {{.Created}}", *names) == images


def is_held(lock: Path) -> bool:
    return subprocess.run(["flock", "--nonblock", lock, "true"], check=False).returncode != 0


def test_an_engine_that_was_asked_for_and_does_not_answer_is_named(tmp_path: Path) -> None:
    run = lab(DOCKER_HOST=f"unix://{tmp_path}/none.sock", XDG_CACHE_HOME=str(tmp_path))

    assert run.returncode == 1
    assert "no Docker engine answers at DOCKER_HOST=unix://" in run.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become a user without rights")
def test_without_root_and_engine_it_says_what_is_needed() -> None:
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


def test_an_unknown_image_is_refused() -> None:
    run = lab("no-such-image")

    assert run.returncode == 1
    assert "there is no image 'no-such-image'; expected one of: " in run.stderr
