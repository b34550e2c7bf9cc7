"""What serves: the release, its containers, and who changes them just now."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from order_service.host import FAILURES, read_json, run
from order_service.release import colours, drain, maintenance, stack
from order_service.release import ledger as ledgers
from order_service.status.line import Line, age, when
from order_service.unit import under_way

HTTP_OK = 200
# Whatever container it is.
LEFT = "left"
NEVER = "2000-01-01T00:00:00Z"
# For so long it is told that a release was taken back, and that a container has ended.
TOLD_FOR = timedelta(days=1)
RESTARTED = timedelta(minutes=10)


def release() -> Iterator[Line]:
    """Tell which release serves, whether it is the ledger's, and what was before."""
    ledger = ledgers.read()
    active = ledgers.find(ledger, ledger["active"])
    if active is None:
        yield Line("release", "none is deployed; run deploy.yml", good=False)
        return
    colour = colours.serving() if colours.services() else None
    runs = colour.release() if colour else active["release"]
    yield Line(
        "release",
        f"{active['release']}{f' in {colour.name}' if colour else ''},"
        f" deployed {when(active['deployed_at'])} by {active['deployed_by']}"
        + ("" if runs == active["release"] else f"; but {runs} runs there"),
        good=runs == active["release"],
    )
    for entry in reversed(ledger["releases"][:-1]):
        rollback = ", rollback.yml's" if entry["release"] == ledgers.previous(ledger) else ""
        yield Line("  before", f"{entry['release']}, {when(entry['deployed_at'])}{rollback}")
    if not colour:
        return
    status, answer = colour.readiness()
    if status == HTTP_OK:
        yield Line("readiness", "ready")
    else:
        said = json.dumps(answer)
        yield Line("readiness", f"/readyz answers {status}", good=False, why=said)


def taken_back() -> Iterator[Line]:
    """Tell for a day that the last deployment was taken back."""
    last = max((path.name for path in FAILURES.glob("*Z-*")), default="")
    if not last:
        return
    moment, _, release = last.partition("Z-")
    failed = datetime.strptime(moment, "%Y-%m-%dT%H%M%S").replace(tzinfo=UTC).isoformat()
    deployed = max((one["deployed_at"] for one in ledgers.read()["releases"]), default=NEVER)
    if age(failed) < min(age(deployed), TOLD_FOR):
        text = f"{release} {when(failed)}; {FAILURES / last} has the reason"
        yield Line("taken back", text, good=False)


def containers() -> Iterator[Line]:
    """Tell how each container is."""
    form = "{{.Names}}\t{{.State}}\t{{.Status}}"
    listed = run(["docker", "ps", "--all", "--format", form, "--filter", "name=^order-service-"])
    for line in sorted(listed.splitlines()):
        full_name, state, text = line.split("\t")
        name = full_name.removeprefix("order-service-")
        good = state == "running" and "unhealthy" not in text
        yield Line("container", f"{name}: {text}", good=good, subject=name)
    own = stack.services()
    for name in own:
        if f"order-service-{name}-1\t" not in listed:
            text = f"{name}-1 is missing; run deploy.yml"
            yield Line("container", text, good=False, subject=f"{name}-1")
    if "mysql" not in own and "order-service-mysql-1\t" in listed:
        text = "mysql-1 is still there, though the database is elsewhere"
        yield Line("container", text, good=False, subject=LEFT)
    yield from _restarts([line.split("\t")[0] for line in listed.splitlines()])


def _restarts(containers: list[str]) -> Iterator[Line]:
    """Tell which ones Docker has started again, since they had ended by themselves."""
    for one in json.loads(run(["docker", "inspect", *containers])) if containers else []:
        name = one["Name"].removeprefix("/order-service-")
        # To the second, which all versions of Docker write alike.
        since = f"{one['State']['StartedAt'][:19]}+00:00"
        if one["RestartCount"] and age(since) < RESTARTED:
            text = f"{name} has ended {one['RestartCount']} times by itself, and runs again"
            yield Line("restarts", text, good=False, subject=name)


def closed() -> Iterator[Line]:
    """Tell whether clients are turned away."""
    if text := maintenance.described():
        yield Line("maintenance", f"{text}; maintenance.yml -e on=false opens it", good=False)


def drained() -> Iterator[Line]:
    """Tell whether balancers are told to send nobody here."""
    if drain.FILE.exists():
        told = read_json(drain.FILE, {})
        text = f"balancers send nobody here since {when(told['since'])}, as {told['by']} wants it"
        yield Line("drain", f"{text}; drain.yml --limit HOST -e drain=false ends it", good=False)


def lock() -> Iterator[Line]:
    """Tell who deploys."""
    yield Line("lock", under_way() or "nobody deploys")
