"""Releases to deploy, good and broken ones, and what has to be true after them."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from service.storage.schema import required_revision
from tests.support.deployment import PROGRAM, ROOT, Deployment
from tests.support.polling import wait_until

VERSIONS = "service/storage/migrations/versions"
# The numbers of the next two releases' migrations.
NEXT, SECOND_NEXT = (f"{int(required_revision()) + later:04}" for later in (1, 2))
MIGRATION = f'''"""A column that only the next release knows."""

import sqlalchemy as sa
from alembic import op

revision = "{NEXT}"
down_revision = "{required_revision()}"


def upgrade() -> None:
    op.add_column("orders", sa.Column("note", sa.String(20), nullable=True))
'''
FAILS_HALFWAY = f'''"""Fails between two steps."""

import sqlalchemy as sa
from alembic import op

revision = "{SECOND_NEXT}"
down_revision = "{NEXT}"


def upgrade() -> None:
    op.add_column("orders", sa.Column("half", sa.String(20), nullable=True))
    op.execute("SELECT * FROM no_such_table")
'''
BREAKS_BEHIND_NGINX = """from service.app import create_app

app = create_app()
inner = app.wsgi_app


def outer(environ, start_response):
    if "HTTP_X_FORWARDED_FOR" in environ and {condition}:
        start_response("500 Broken", [("Content-Type", "application/json")])
        return [b'{{"error": "broken"}}']
    return inner(environ, start_response)


app.wsgi_app = outer
"""
BROKEN = "broken"
# Built from the image that serves, in a second: a release of that name, which cannot read its app.
NEVER_READY = f"""FROM order-service:{{release}}
ENV RELEASE={BROKEN}
LABEL org.opencontainers.image.version={BROKEN}
{{breakage}}
"""


# What the rollout of a broken release waits for.
LIMITS = {"ready_seconds": 16, "bake_seconds": 20}
LIMIT = """import json
from pathlib import Path

path = Path("{path}")
path.write_text(json.dumps(json.loads(path.read_text()) | {limits}))
"""


def edited(path: str, script: str) -> str:
    """Return the lines of a Dockerfile that change a file of the service by a script of sed."""
    edit = shlex.join(["sed", "-i", script, f"/app/service/{path}"])
    return f"USER root\nRUN {edit}\nUSER 10001:10001"


def roll_out_by_hand(
    deployment: Deployment, *, breakage: str = "", headers: str = "", settings: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run the host's own rollout of a broken release, whatever comes of it.

    Args:
        deployment: the host, whose present release is the base of the broken one.
        breakage: lines more in its Dockerfile.
        headers: what its nginx configuration has in place of its headers.
        settings: lines more of what Compose reads, for this rollout alone.
    """
    release = deployment.ledger()["active"]
    folder = f"{ROOT}/releases/{BROKEN}"
    dockerfile = NEVER_READY.format(release=release, breakage=breakage)
    limits, env = "/etc/order-service/rollout.json", f"{ROOT}/stack/.env"
    script = LIMIT.format(path=limits, limits=LIMITS)
    steps = [
        f"rm -rf {folder}",
        f"cp -a {ROOT}/releases/{release} {folder}",
        f"printf %s {shlex.quote(dockerfile)} | docker build -q -t order-service:{BROKEN} -",
        f"cp {limits} /root/limits && cp {env} /root/env",
        f"python3 -c {shlex.quote(script)}",
        f"printf '%s\\n' {shlex.quote(settings)} >>{env}",
    ]
    if headers:
        steps.append(f"printf %s '{headers}' >{folder}/deploy/nginx/parts/headers.conf")
    deployment.remote.sudo(" && ".join(steps))
    run = deployment.remote.try_ssh(f"sudo {PROGRAM} rollout {BROKEN}", seconds=300)
    deployment.remote.sudo(f"mv /root/limits {limits} && mv /root/env {env}")
    return run


def assert_completed_once(deployment: Deployment, accepted: Collection[int]) -> list[int]:
    """Wait for the orders' ends; each must be there and Completed, and be counted once.

    Returns:
        How many attempts each has taken.
    """
    where = f"WHERE order_id IN ({','.join(map(str, accepted))})"
    unfinished = f"SELECT COUNT(*) FROM orders {where} AND outcome IS NULL"
    wait_until(
        lambda: deployment.query(unfinished).stdout.strip() == "0", 120, "the last completion"
    )
    query = f"SELECT order_id, outcome, attempts FROM orders {where}"
    rows = [line.split("\t") for line in deployment.query(query).stdout.splitlines()]
    assert {(int(order_id), outcome) for order_id, outcome, _ in rows} == {
        (order_id, "Completed") for order_id in accepted
    }
    totals = "SELECT (SELECT COUNT(*) FROM orders WHERE outcome = 'Completed'), SUM(completed)"
    # Others may be completed meanwhile.
    wait_until(
        lambda: len(set(deployment.query(f"{totals} FROM order_totals").stdout.split())) == 1,
        30,
        "totals that count each completed order once",
    )
    return [int(attempts) for _, _, attempts in rows]


@contextmanager
def checkout_of_another_program(deployment: Deployment) -> Iterator[None]:
    """Have a checkout whose own program for the host is another one, and does nothing at all."""
    good = deployment.checkout.head
    for path in (deployment.checkout.folder / "deploy/host").rglob("*.py"):
        path.write_text("raise SystemExit('the program of the checkout')\n")
    deployment.new_release("Of another time")
    try:
        yield
    finally:
        deployment.checkout.reset(good)


def nobody_deploys(deployment: Deployment) -> bool:
    """Return whether nothing is changed on the host just now."""
    state = deployment.remote.try_ssh("systemctl is-active order-service-deployment").stdout
    return state.strip() == "inactive"
