"""What somebody is told of: the parts that `status` finds not good, and what is to be done.

The limits are those of `status`. Where deploy/monitoring/prometheus/rules has the same alert, its
name is the same, and so is the time that it is waited for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from order_service.status.line import Line
from order_service.status.status import UNKNOWN

CRITICAL, WARNING = "critical", "warning"


@dataclass(frozen=True)
class Rule:
    """What is told of one part.

    `minutes` is for how long it is not good before that is told, and `guide` the section of
    REMOTE_SERVER_SETUP.md that helps. It is not told while the part `unless` is not good, which
    says the same.
    """

    name: str
    severity: str
    minutes: int
    advice: str
    guide: str
    unless: str = ""


_STATUS, _MONITORING, _BACKUPS = "Status", "Monitoring", "Backups"
_UNIT = "Read `journalctl -u` of the unit, mend the cause, and start the unit again."
_BACKUP = "Run backup.yml, which says why."
_DRILL = "Run restore.yml, which says why."
_FULL = "Find what fills the disk, and make room."
_RETRY = "See in the console or by `flask orders list --status Failed` why, mend it, and retry."
_RECEIVER = "Have its operator look. Orders wait, and go on by themselves."

# By the part of a line of `status`, or by part and subject.
RULES = {
    "release": Rule(
        "OrderServiceReleaseDiffers", WARNING, 10, "Run deploy.yml once more.",
        "When something fails",
    ),
    "taken back": Rule(
        "OrderServiceReleaseTakenBack", WARNING, 0,
        "What served before serves on. Read the reason, mend it, and deploy again.",
        "A release is refused or taken back",
    ),
    "readiness": Rule(
        "OrderServiceNotReady", CRITICAL, 2, "Run status.yml, which says why.", "Clients see errors"
    ),
    "container": Rule(
        "OrderServiceContainerDown", CRITICAL, 2,
        "Read its `docker logs`, then run deploy.yml, which starts it.", "Clients see errors",
    ),
    "container left": Rule(
        "OrderServiceContainerLeft", WARNING, 60,
        "Once its data is not wanted here: `sudo docker stop order-service-mysql-1`, then"
        " `docker rm`. The data stays in its volume.", "What runs where on the host",
    ),
    "restarts": Rule(
        "OrderServiceContainerRestarts", WARNING, 0,
        "Read its `docker logs`, and `dmesg` for a lack of memory.", "Clients see errors",
    ),
    "maintenance": Rule(
        "OrderServiceClosed", WARNING, 60, "Run maintenance.yml -e on=false.", "Maintenance"
    ),
    "drain": Rule(
        "OrderServiceDrained", WARNING, 60, "Run drain.yml --limit HOST -e drain=false.",
        "When one host is not enough",
    ),
    "balancer": Rule(
        "OrderServiceBalancerAway", CRITICAL, 2,
        "On its host read `journalctl -u haproxy -u keepalived`, then run deploy.yml.",
        "When one host is not enough",
    ),
    "queue": Rule(
        "OrderServiceQueueOld", CRITICAL, 5,
        "Look in the console for what the processors do; give them more threads.", _MONITORING,
        unless="processors",
    ),
    "processors": Rule(
        "OrderServiceNoProcessors", CRITICAL, 2,
        "Set processor_threads or worker_threads, and run deploy.yml.", _MONITORING,
    ),
    "pause": Rule("OrderServicePaused", WARNING, 0, "Run `flask processing resume`.", _MONITORING),
    "receiver": Rule("OrderServiceReceiverAway", CRITICAL, 0, _RECEIVER, _MONITORING),
    "orders": Rule("OrderServiceOrdersFail", CRITICAL, 2, _RETRY, _MONITORING),
    "orders few": Rule("OrderServiceOrderFailed", WARNING, 0, _RETRY, _MONITORING),
    "events": Rule(
        "OrderServiceEventsLate", WARNING, 5, "See README, Monitoring.", _MONITORING
    ),
    "events receiver": Rule(
        "OrderServiceEventsReceiverAway", WARNING, 15,
        "Have its operator look. Events wait, and go on by themselves.", _MONITORING,
    ),
    f"processing {UNKNOWN}": Rule(
        "OrderServiceHostNeedsAttention", WARNING, 15, "Run status.yml, which says why.", _STATUS,
        unless="readiness",
    ),
    "certificate": Rule(
        "OrderServiceCertificateEnds", CRITICAL, 60,
        "Run deploy.yml --tags certificates, with a newer one if it is your own.", "Certificate",
    ),
    "passwords": Rule(
        "OrderServicePasswordChangeCutOff", WARNING, 30,
        "Run credentials.yml again as before.", "Passwords",
    ),
    "backup": Rule("OrderServiceBackupFailed", CRITICAL, 0, _BACKUP, _BACKUPS),
    "backup late": Rule("OrderServiceBackupOld", CRITICAL, 10, _BACKUP, _BACKUPS),
    "binary logs": Rule("OrderServiceBinlogCopyFailed", CRITICAL, 6, _BACKUP, _BACKUPS),
    "drill": Rule("OrderServiceDrillFailed", WARNING, 0, _DRILL, _BACKUPS),
    "drill late": Rule("OrderServiceDrillOld", WARNING, 60, _DRILL, _BACKUPS),
    "copies": Rule(
        "OrderServiceNoCopyOffHost", WARNING, 0,
        "Set backup_destination; if this is wanted, set it to none.", _BACKUPS,
    ),
    "secrets": Rule(
        "OrderServiceSecretsNotKept", WARNING, 0,
        "Set backup_public_key; if this is wanted, set it to none.", _BACKUPS,
    ),
    "database": Rule(
        "OrderServiceMemberAway", WARNING, 5,
        "Once its host runs it comes back by itself; if not, run database.yml -e rejoin=HOST.",
        "When one host is not enough",
    ),
    "disk": Rule("OrderServiceDiskFull", CRITICAL, 15, _FULL, "The disk is full"),
    "disk trend": Rule("OrderServiceDiskFills", WARNING, 60, _FULL, "The disk is full"),
    "memory": Rule(
        "OrderServiceMemoryLow", WARNING, 15,
        "See what takes it: `docker stats --no-stream`, `ps aux --sort=-rss`.", _STATUS,
    ),
    "restart": Rule(
        "OrderServiceRestartPending", WARNING, 0,
        "Restart the host, or set automatic_reboot_time.", "Settings",
    ),
    "unit": Rule("OrderServiceUnitFailed", WARNING, 0, _UNIT, "What runs where on the host"),
    "unit order-service-backup.service": Rule(
        "OrderServiceUnitFailed", WARNING, 0, _UNIT, _BACKUPS, unless="backup"
    ),
    "unit order-service-binlog.service": Rule(
        "OrderServiceUnitFailed", WARNING, 6, _UNIT, _BACKUPS, unless="binary logs"
    ),
    "unit order-service-drill.service": Rule(
        "OrderServiceUnitFailed", WARNING, 0, _UNIT, _BACKUPS, unless="drill"
    ),
    "unit order-service-certificate.service": Rule(
        "OrderServiceRenewalFailed", CRITICAL, 0, _UNIT, "Certificate"
    ),
}  # fmt: skip
# Of what cannot be told, and of parts that are not here.
OTHER = Rule(
    "OrderServiceHostNeedsAttention", WARNING, 15, "Run status.yml, which says why.", _STATUS
)


def troubles(lines: Iterable[Line]) -> Iterator[tuple[str, Rule, Line]]:
    """Give what is not good with its key, which is the same as long as it lasts, and its rule."""
    bad = [line for line in lines if not line.good]
    parts = {line.part for line in bad}
    for line in bad:
        key = f"{line.part} {line.subject}".strip()
        usual = OTHER if line.subject == UNKNOWN else RULES.get(line.part, OTHER)
        rule = RULES.get(key, usual)
        if rule.unless not in parts:
            yield key, rule, line
