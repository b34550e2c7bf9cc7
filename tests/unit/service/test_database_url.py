"""The database's address: its TLS, and what this Python can use. What is refused of its form is in
`test_config_refusals`, beside the other variables."""

from __future__ import annotations

import pytest

from service.config import ConfigError, Settings


@pytest.mark.parametrize(
    ("address", "encrypted"),
    [
        ("db.example/d", True),
        ("db.example/d?ssl_disabled=true", False),
        ("127.0.0.1:3306/d", False),
        ("[::1]/d", False),
        ("localhost/d", False),
        ("db.example/d?unix_socket=/run/mysqld.sock", False),
        ("127.0.0.1/d?ssl_disabled=false", True),
        (f"127.0.0.1/d?ssl_capath={__file__}", True),
        ("127.0.0.1:1,127.0.0.1:2/d", False),
        ("127.0.0.1,db.example/d", True),
        ("db.example,127.0.0.1/d", True),
    ],
)
def test_connections_are_encrypted_unless_they_stay_inside_the_host(
    address: str, encrypted: bool
) -> None:
    url = Settings.from_environment({"DATABASE_URL": f"mysql+pymysql://u@{address}"}).database_url
    assert url.query.get("ssl_disabled") == (None if encrypted else "true")


def test_several_servers_are_all_of_one_database() -> None:
    address = "mysql+pymysql://u:a%2Cb@db1,db2:3307,[2001:db8::1]:1/d?ssl_check_hostname=true"
    url = Settings.from_environment({"DATABASE_URL": address}).database_url
    assert url.query["servers"] == ("db1:3306", "db2:3307", "2001:db8::1:1")
    assert (url.password, url.database, url.query["ssl_check_hostname"]) == ("a,b", "d", "true")


def test_an_old_sqlite_is_refused_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sqlite3.sqlite_version_info", (3, 31, 1))
    with pytest.raises(ConfigError, match=r"3\.33") as caught:
        Settings.from_environment({})
    assert str(caught.value).startswith("DATABASE_URL")
    assert len(str(caught.value).splitlines()) == 1
    Settings.from_environment({"DATABASE_URL": "mysql+pymysql://user:password@host:3306/database"})
