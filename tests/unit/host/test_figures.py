"""What figures.py writes for the node exporter: as status.py sees the host, and as a whole."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from order_service.certificates import renew as renew_certificate
from order_service.status import figures
from prometheus_client.parser import text_string_to_metric_families

from tests.support.fake_host import FakeHost, Program
from tests.support.host_facts import Facts, stamp
from tests.support.prometheus import CONFIGURATION, promtool

Samples = dict[str, float]
DAY = 86_400


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "textfiles"
    made.mkdir()
    return made


@pytest.fixture
def write(program: Program, folder: Path) -> Callable[[], Samples]:
    """Run the program, and read what a node exporter reads."""

    def run() -> Samples:
        program(figures.main, str(folder))
        [file] = folder.iterdir()
        assert file.name == "order-service.prom"
        return {
            sample.name.removeprefix("order_service_") + "".join(sample.labels.values()): (
                sample.value
            )
            for family in text_string_to_metric_families(file.read_text())
            for sample in family.samples
        }

    return run


def seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def test_a_host_tells_figures_of_what_it_is_there_for(
    facts: Facts, write: Callable[[], Samples]
) -> None:
    """Or its backups would be late for ever."""
    for part, of_backups, of_certificate in (("web", 0, 2), ("worker", 0, 0), ("database", 4, 0)):
        facts.on.become(part, HEAD="db1")
        found = [name for name in write() if not name.startswith("host_good")]
        assert sum("_last_success" in name or "first_dep" in name for name in found) == of_backups
        assert sum(name.startswith("certificate") for name in found) == of_certificate


def test_it_is_what_the_host_is_like(facts: Facts, write: Callable[[], Samples]) -> None:
    found = write()
    assert time.time() - found["backup_last_success_timestamp_seconds"] == pytest.approx(
        25.9 * 3600, abs=60
    )
    assert time.time() - found["drill_last_success_timestamp_seconds"] == pytest.approx(
        39.9 * DAY, abs=60
    )
    assert found["first_deployment_timestamp_seconds"] < time.time()
    certificate = renew_certificate.installed()
    ends, begins = (renew_certificate.end_of(certificate), renew_certificate.start_of(certificate))
    assert found["certificate_not_after_timestamp_seconds"] == ends.timestamp()
    assert found["certificate_not_before_timestamp_seconds"] == begins.timestamp()
    assert begins < datetime.now(UTC) < ends
    at = str(facts.on.root)
    assert found[f"disk_free_bytes{at}"] / found[f"disk_size_bytes{at}"] == pytest.approx(0.1)
    parts = {name: value for name, value in found.items() if name.startswith("host_good")}
    assert set(parts.values()) == {1.0}
    assert parts.keys() >= {"host_goodbackup", "host_goodbinary_logs", "host_goodrelease"}


@pytest.mark.usefixtures("facts")
def test_the_rules_for_hosts_ask_for_what_is_written(
    write: Callable[[], Samples], folder: Path
) -> None:
    write()
    page = (folder / "order-service.prom").read_text()
    rules = (CONFIGURATION / "rules" / "hosts.yml").read_text()
    asked = set(re.findall(r"\border_service_\w+", rules))
    assert len(asked) > 5
    assert asked <= {line.split()[2] for line in page.splitlines() if line[0] == "#"}


def test_promtool_finds_nothing_wrong(
    facts: Facts, write: Callable[[], Samples], folder: Path
) -> None:
    facts.disk(1)
    write()
    promtool("check", "metrics", text=(folder / "order-service.prom").read_text())


def test_a_failed_backup_leaves_the_time_of_the_last_good_one(
    facts: Facts, write: Callable[[], Samples]
) -> None:
    facts.job("backup", "failed", hours=1)
    found = write()
    assert time.time() - found["backup_last_success_timestamp_seconds"] == pytest.approx(
        50 * DAY, abs=60
    )
    assert found["host_goodbackup"] == 0


def test_where_there_was_none_it_is_0(facts: Facts, write: Callable[[], Samples]) -> None:
    facts.none_so_far("drill", days=3)
    found = write()
    assert found["drill_last_success_timestamp_seconds"] == 0
    assert found["first_deployment_timestamp_seconds"] == pytest.approx(
        seconds(stamp(days=3)), abs=60
    )
    assert found["host_gooddrill"] == 1


def test_what_cannot_be_read_costs_nothing_else(facts: Facts, write: Callable[[], Samples]) -> None:
    facts.remove("certificates/tls.crt")
    found = write()
    assert found["host_goodcertificate"] == 0
    assert "certificate_not_after_timestamp_seconds" not in found
    assert found["backup_last_success_timestamp_seconds"] > 0


def test_a_reader_never_sees_half_a_file(
    facts: Facts, write: Callable[[], Samples], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that is stopped half-way leaves the former file, and nothing that is read."""
    write()
    before = (folder / "order-service.prom").read_text()
    facts.disk(50)

    def stopped(_fd: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("order_service.host.os.fsync", stopped)
    with pytest.raises(KeyboardInterrupt):
        write()
    assert (folder / "order-service.prom").read_text() == before
    assert [file.name for file in folder.glob("*.prom")] == ["order-service.prom"]


@pytest.mark.usefixtures("facts")
def test_on_a_bare_host_it_says_what_it_can(on: FakeHost, write: Callable[[], Samples]) -> None:
    (on.root / "state" / "ledger.json").unlink()
    found = write()
    assert found["host_goodrelease"] == 0
    assert any(name.startswith("disk_free_bytes") for name in found)
