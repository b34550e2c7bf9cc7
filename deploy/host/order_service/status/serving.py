"""What serves: the release, its containers, and who changes them just now."""

from __future__ import annotations

import json
from collections.abc import Iterator

from order_service.host import run
from order_service.release import colours
from order_service.release import ledger as ledgers
from order_service.status.line import Line, when
from order_service.unit import under_way

HTTP_OK = 200


def release() -> Iterator[Line]:
    """Tell which release serves, whether it is the ledger's, and what was before."""
    ledger = ledgers.read()
    active = ledgers.find(ledger, ledger["active"])
    if active is None:
        yield Line("release", "none is deployed; run deploy.yml", good=False)
        return
    colour = colours.serving()
    runs = colour.release()
    yield Line(
        "release",
        f"{active['release']} in {colour.name}, deployed {when(active['deployed_at'])}"
        f" by {active['deployed_by']}"
        + ("" if runs == active["release"] else f"; but {runs} runs there"),
        good=runs == active["release"],
    )
    for entry in reversed(ledger["releases"][:-1]):
        rollback = ", rollback.yml's" if entry["release"] == ledgers.previous(ledger) else ""
        yield Line("  before", f"{entry['release']}, {when(entry['deployed_at'])}{rollback}")
    status, answer = colour.readiness()
    text = "ready" if status == HTTP_OK else f"/readyz answers {status}: {json.dumps(answer)}"
    yield Line("readiness", text, good=status == HTTP_OK)


def containers() -> Iterator[Line]:
    """Tell how each container is."""
    form = "{{.Names}}\t{{.State}}\t{{.Status}}"
    listed = run(["docker", "ps", "--all", "--format", form, "--filter", "name=^order-service-"])
    for line in sorted(listed.splitlines()):
        name, state, text = line.split("\t")
        good = state == "running" and "unhealthy" not in text
        yield Line("container", f"{name.removeprefix('order-service-')}: {text}", good=good)
    for name in ("mysql", "nginx"):
        if f"order-service-{name}-1\t" not in listed:
            yield Line("container", f"{name}-1 is missing; run deploy.yml", good=False)


def lock() -> Iterator[Line]:
    """Tell who deploys."""
    yield Line("lock", under_way() or "nobody deploys")
