"""What can be wrong with a host: each cause alone, just past its limit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.support.host_facts import Facts, stamp
from tests.support.ports import free_port

PENDING = {"next": "", "since": "2026-11-22T10:15:00Z", "by": "ann@laptop"}
ATTENTION = "HostNeedsAttention"


@dataclass(frozen=True)
class Cause:
    """How it comes about, the part and the text that `status` has for it, and its alert's name,
    without the words that all begin with."""

    make: Callable[[Facts], object]
    part: str
    text: str
    alert: str


def _events_are_late(on: Facts) -> None:
    on.figures(events_receiver_away=0, oldest_due_event_age_seconds=301)


CAUSES = {
    "another release": Cause(
        lambda on: on.app(release="new"), "release", "but new runs there", "ReleaseDiffers"
    ),
    "no release": Cause(
        lambda on: on.remove("state/ledger.json"), "release", "none is deployed", "ReleaseDiffers"
    ),
    "taken back": Cause(
        lambda on: on.taken_back("bad", hours=23.9), "taken back", "bad .*failures/",
        "ReleaseTakenBack",
    ),
    "not ready": Cause(
        lambda on: on.not_ready(), "readiness", "/readyz answers 503: {", "NotReady"
    ),
    "unhealthy": Cause(
        lambda on: on.app(status="Up (unhealthy)"), "container", "blue-app-1: Up .unh",
        "ContainerDown",
    ),
    "ended": Cause(
        lambda on: on.app(running=False, status="Exited"), "container", "blue-app-1: Exited",
        "ContainerDown",
    ),
    "no container": Cause(
        lambda on: on.remove_container("mysql"), "container", "mysql-1 is missing", "ContainerDown"
    ),
    "closed": Cause(
        lambda on: on.write("upstream/maintenance.json", reason="a disk", since=stamp(hours=1)),
        "maintenance",
        "closed since .*: a disk; maintenance.yml -e on=false opens it",
        "Closed",
    ),
    "drained": Cause(
        lambda on: on.write("upstream/drain", since=stamp(hours=1), by="ann@laptop"), "drain",
        "nobody here since .*, as ann@laptop", "Drained",
    ),
    "balancer": Cause(
        lambda on: on.balancer(free_port()), "balancer", "127.0.0.1 does not answer: .*refused",
        "BalancerAway",
    ),
    "left": Cause(
        lambda on: on.database_moved(), "container", "mysql-1 is still there, though",
        "ContainerLeft",
    ),
    "member": Cause(
        lambda on: on.member("10.0.0.2", "UNREACHABLE"), "database", "10.0.0.2 is UNREACHABLE",
        "MemberAway",
    ),
    "missing member": Cause(
        lambda on: on.member("10.0.0.2", ""), "database", "10.0.0.2 is not in the group",
        "MemberAway",
    ),
    "own member": Cause(
        lambda on: on.member("10.0.0.1", "ERROR"), "database", "this host's server is ERROR",
        "MemberAway",
    ),
    "certificate of MySQL": Cause(
        lambda on: on.member("10.0.0.2", "ONLINE", certificate_days=13.9), "certificate",
        "MySQL's is valid until .* 13 days", "CertificateEnds",
    ),
    "started again": Cause(
        lambda on: on.app(restarts=2), "restarts", "blue-app-1 has ended 2 times",
        "ContainerRestarts",
    ),
    "queue": Cause(
        lambda on: on.figures(oldest_due_order_age_seconds=301), "queue", "for 301 s", "QueueOld"
    ),
    "processors": Cause(
        lambda on: on.figures(processors=0), "processors", "0 at work", "NoProcessors"
    ),
    "paused": Cause(
        lambda on: on.processes(paused=stamp(minutes=61)), "pause", "since .* .1 h ago", "Paused"
    ),
    "away": Cause(
        lambda on: on.processes(away=stamp(minutes=16)), "receiver", "away since", "ReceiverAway"
    ),
    "a failed order": Cause(
        lambda on: on.orders_were(991, 9, minutes=29), "orders", "1 of 10 .* failed", "OrderFailed"
    ),
    "failed orders": Cause(
        lambda on: on.orders_were(981, 8, minutes=29), "orders", "2 of 21 .* failed", "OrdersFail"
    ),
    "events away": Cause(
        lambda on: on.figures(events_receiver_away=1), "events receiver", "away",
        "EventsReceiverAway",
    ),
    "late events": Cause(_events_are_late, "events", "for 301 s", "EventsLate"),
    "no database": Cause(
        lambda on: on.figures(database_up=0), "processing", "told: the database does", ATTENTION
    ),
    "certificate": Cause(
        lambda on: on.certificate(13.9, of=365), "certificate", "13 days", "CertificateEnds"
    ),
    "of six days": Cause(
        lambda on: on.certificate(1.9, of=6), "certificate", "1 days", "CertificateEnds"
    ),
    "no certificate": Cause(
        lambda on: on.remove("certificates/tls.crt"), "certificate", "cannot be told", ATTENTION
    ),
    "cut off": Cause(
        lambda on: on.write("state/rotation.json", **PENDING), "passwords", "run it again",
        "PasswordChangeCutOff",
    ),
    "no settings": Cause(
        lambda on: on.remove("settings/backup.json"), "backup", "not set up", "BackupFailed"
    ),
    "failed backup": Cause(
        lambda on: on.job("backup", "failed", hours=1), "backup", "went well .*: no space",
        "BackupFailed",
    ),
    "late backup": Cause(
        lambda on: on.job("backup", hours=26.1), "backup", "is late", "BackupOld"
    ),
    "no backup": Cause(
        lambda on: on.none_so_far("backup", hours=26.1), "backup", "none .* it is late", "BackupOld"
    ),
    "failed copy": Cause(
        lambda on: on.job("binlog", "failed", hours=1), "binary logs", ": no space",
        "BinlogCopyFailed",
    ),
    "late copy": Cause(
        lambda on: on.job("binlog", hours=2.1), "binary logs", "is late", "BinlogCopyFailed"
    ),
    "failed drill": Cause(
        lambda on: on.job("drill", "failed", hours=1), "drill", ": no space", "DrillFailed"
    ),
    "late drill": Cause(lambda on: on.job("drill", days=40.1), "drill", "is late", "DrillOld"),
    "no drill": Cause(
        lambda on: on.none_so_far("drill", days=40.1), "drill", "none .* it is late", "DrillOld"
    ),
    "no copy": Cause(
        lambda on: on.destination(""), "copies", "none leaves this host, so its loss",
        "NoCopyOffHost",
    ),
    "no key": Cause(
        lambda on: on.destination("none", public_key=""), "secrets",
        "so its loss is that of the API's password", "SecretsNotKept",
    ),
    "disk": Cause(lambda on: on.disk(9.9), "disk", r"9\.9 of 100\.0 GiB free", "DiskFull"),
    "trend": Cause(
        lambda on: on.disk_was(15.6, 14.4, 13.2, 12, hours=48), "disk trend", "full in 5.0 days",
        "DiskFills",
    ),
    "memory": Cause(
        lambda on: on.memory(4.9), "memory", "96 of 1953 MiB available", "MemoryLow"
    ),
    "restart": Cause(
        lambda on: on.restart_needed(days=7.1), "restart", "needed .*, for 7 days",
        "RestartPending",
    ),
    "unit": Cause(
        lambda on: on.failed_units("docker.service loaded"), "unit", "docker.service has",
        "UnitFailed",
    ),
    "renewal": Cause(
        lambda on: on.failed_units("order-service-certificate.service"), "unit",
        "order-service-certificate.service has", "RenewalFailed",
    ),
}  # fmt: skip
