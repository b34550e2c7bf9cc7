"""Releases that are broken, one by one: the old one serves, and the next good one needs no help."""

from __future__ import annotations

import re

import pytest

from tests.support.control_node import PlaybookRun
from tests.support.deployment import RELEASE_ONLY, Deployment
from tests.support.releases import (
    BREAKS_BEHIND_NGINX,
    assert_completed_once,
    edited,
    roll_out_by_hand,
)
from tests.support.traffic import Traffic

# Has a container of its own process the orders, and the service none.
WORKER = "COMPOSE_PROFILES=worker\nPROCESSOR_THREADS=0\nWORKER_THREADS=4"


def deploy_under_load(deployment: Deployment, **variables: object) -> PlaybookRun:
    """Deploy what must fail; the old release has to serve before, during and afterwards."""
    old = deployment.readiness()["release"]
    with Traffic(deployment.client()) as sent:
        run = deployment.try_deploy(*RELEASE_ONLY, **variables)
        sent.flows()
    sent.assert_unharmed()
    assert run.returncode != 0
    assert deployment.readiness()["release"] == old
    assert deployment.ledger()["active"] == old
    assert len([name for name in deployment.running() if name.endswith("-app-1")]) == 1
    return run


def rolled_out_in_vain(
    deployment: Deployment, breakage: str, settings: str
) -> tuple[str, list[int]]:
    """Roll out what is broken, under traffic that must not notice; the old release serves on.

    Returns:
        What the rollout has said, and the numbers of attempts at the orders.
    """
    old = deployment.readiness()["release"], deployment.colour
    with Traffic(deployment.client()) as sent:
        run = roll_out_by_hand(deployment, breakage=breakage, settings=settings)
        sent.flows()
    sent.assert_unharmed()
    output = run.stdout + run.stderr
    assert run.returncode == 1, output
    assert (deployment.readiness()["release"], deployment.colour) == old
    return output, assert_completed_once(deployment, sent.accepted)


def test_an_image_that_does_not_build(broken: Deployment) -> None:
    broken.checkout.replace(
        "Dockerfile", "WORKDIR /app", 'WORKDIR /app\nRUN echo "this cannot work" && false'
    )
    release = broken.new_release()
    run = deploy_under_load(broken)
    assert f"The image of {release} does not build" in run.output
    assert "this cannot work" in run.output


@pytest.mark.parametrize(
    ("breakage", "settings", "said", "logged"),
    [
        (
            edited("web/metrics.py", r's/^    if prefers/    raise RuntimeError("why")\n&/'),
            "",
            "GET /metrics answered 500, expected 200",
            "RuntimeError: why",
        ),
        (
            edited("storage/orders.py", 's/"user_id": order.user_id,/"user_id": None,/'),
            "",
            "POST /orders answered 500, expected 409",
            "Column 'user_id' cannot be null",
        ),
        (
            edited(
                "commands/process_orders.py", 's/^    current = .*/    raise SystemExit("why")/'
            ),
            WORKER,
            r"did not get ready within 16 s; .*; its worker is (starting|unhealthy)",
            "why",
        ),
    ],
    ids=["its metrics", "its INSERT", "its worker"],
)
def test_what_is_broken_is_never_switched_to(
    deployment: Deployment, breakage: str, settings: str, said: str, logged: str
) -> None:
    output, _ = rolled_out_in_vain(deployment, breakage, settings)
    assert re.search(said, output), output
    assert logged in output
    assert "switched nginx" not in output


def test_one_whose_worker_fails_each_order_is_taken_back(deployment: Deployment) -> None:
    """Clients notice nothing: the former release completes at the next attempt what it failed."""
    served = deployment.colour
    breakage = edited("processing/handlers/simulate.py", 's/time.sleep(.*)/raise OSError("why")/')
    output, attempts = rolled_out_in_vain(deployment, breakage, WORKER)
    assert re.search(r"\d+ of \d+ attempts at orders failed", output), output
    assert f"switched nginx back to {served}" in output
    assert max(attempts) > 1


def test_one_that_answers_500_to_the_smoke_test_through_nginx(broken: Deployment) -> None:
    broken.checkout.write("wsgi.py", BREAKS_BEHIND_NGINX.format(condition="True"))
    broken.new_release()
    old, old_colour = broken.readiness()["release"], broken.colour
    run = broken.try_deploy(*RELEASE_ONLY)
    assert run.returncode != 0
    assert "GET /ping answered 500, expected 200" in run.output
    assert f"switched nginx back to {old_colour}" in run.output
    assert (broken.readiness()["release"], broken.colour) == (old, old_colour)
    with Traffic(broken.client()) as later:
        later.flows()
    later.assert_unharmed()


def test_the_next_good_release_needs_no_clean_up(deployment: Deployment) -> None:
    assert_deploys(deployment)


def test_two_deployments_at_once(deployment: Deployment) -> None:
    release = deployment.new_release()
    first = deployment.node.start_playbook("deploy.yml", *RELEASE_ONLY, bake_seconds=60)
    first.wait_for("TASK [release : Bring the release into service]")
    second = deployment.try_deploy(*RELEASE_ONLY)
    assert second.returncode != 0
    said = " ".join(second.output.split())
    assert re.search(rf"deploy {release} by \S+@\S+, since 20.* is at work on this host", said)
    assert second.recap.changed == 0
    waiting = deployment.try_deploy(*RELEASE_ONLY, deploy_lock_wait_seconds=300).succeeded()
    assert waiting.recap.changed == 0
    first.wait().succeeded()
    assert deployment.readiness()["release"] == release


def assert_deploys(deployment: Deployment) -> None:
    release = deployment.new_release("A good one")
    deployment.deploy(*RELEASE_ONLY)
    assert deployment.readiness()["release"] == release
