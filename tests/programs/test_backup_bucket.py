"""Copies off the host with a real rclone, to an S3 store of the tests' own with versioning."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
import urllib3
from moto.server import ThreadedMotoServer
from order_service.backup import offsite as backup_offsite
from order_service.backup.settings import Settings

from tests.support.polling import wait_until
from tests.support.ports import HOST, free_port
from tests.support.stored_backups import Offsite, files_in

KEYS = {"aws_access_key_id": "host", "aws_secret_access_key": "secret"}


@dataclass
class Bucket:
    """A bucket that has what the destination of an `Offsite` has, and the settings for it."""

    offsite: Offsite
    settings: Settings
    store: Any

    def names(self) -> set[str]:
        """Return what is there now."""
        listed = self.store.list_objects_v2(Bucket="shop", Prefix="copies/")
        return {one["Key"].removeprefix("copies/") for one in listed.get("Contents", [])}


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """A bucket as the guide wants it."""
    # Of this machine, which rclone does not take.
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
    server = ThreadedMotoServer(HOST, free_port(), verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    # The store outlives its server.
    urllib3.request("POST", f"{endpoint}/moto-api/reset")
    store = boto3.client("s3", region_name="us-east-1", endpoint_url=endpoint, **KEYS)
    store.create_bucket(Bucket="shop")
    store.put_bucket_versioning(Bucket="shop", VersioningConfiguration={"Status": "Enabled"})
    offsite = Offsite(tmp_path)
    for name in files_in(offsite.there):
        content = (offsite.there / name).read_bytes()
        store.put_object(Bucket="shop", Key=f"copies/{name}", Body=content)
    # As the role's template writes it.
    options = {"type": "s3", "provider": "Other", "region": "us-east-1", "endpoint": endpoint,
               "access_key_id": "host", "secret_access_key": "secret"}  # fmt: skip
    lines = [f"{name} = {value}" for name, value in options.items()]
    configuration = tmp_path / "rclone.conf"
    configuration.write_text("\n".join(["[offsite]", *lines, "no_check_bucket = true", ""]))
    monkeypatch.setattr(backup_offsite, "RCLONE_CONFIG", configuration)
    settings = Settings(offsite.here, keep_at_least=1, offsite="s3", destination="shop/copies")
    try:
        yield Bucket(offsite, settings, store)
    finally:
        server.stop()


def test_what_is_new_arrives_and_what_had_its_time_goes(bucket: Bucket, tmp_path: Path) -> None:
    before = bucket.names()
    backup_offsite.send_binlogs(bucket.settings)
    only_adds = replace(bucket.settings, offsite_retention="there")
    backup_offsite.send_backups(only_adds)
    assert bucket.names() == before | bucket.offsite.sent
    assert backup_offsite.send_backups(bucket.settings) == "shop/copies"
    assert bucket.names() == bucket.offsite.sent | bucket.offsite.kept
    fetched = tmp_path / "fetched"
    assert backup_offsite.index(bucket.settings, fetched).keys() == bucket.names()
    assert {path.name for path in fetched.glob("2*/*")} == {"manifest.json"}


@pytest.mark.extended
def test_a_bucket_that_somebody_emptied_has_what_it_had(bucket: Bucket, tmp_path: Path) -> None:
    """As the guide says it, with what versioning keeps."""
    backup_offsite.send_backups(replace(bucket.settings, offsite_retention="there"))
    had = bucket.names()
    # Times are whole seconds here.
    before = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=1)
    wait_until(lambda: datetime.now(UTC) > before + timedelta(seconds=1), 5, "the next second")

    def rclone(*arguments: str) -> None:
        subprocess.run(
            ["rclone", "--config", str(backup_offsite.RCLONE_CONFIG), *arguments], check=True
        )

    rclone("delete", "offsite:shop/copies")
    assert bucket.names() == set()
    copies = tmp_path / "copies"
    at = f"--s3-version-at={before:%Y-%m-%dT%H:%M:%SZ}"
    rclone("copy", at, "offsite:shop/copies", str(copies))
    assert files_in(copies) == had
