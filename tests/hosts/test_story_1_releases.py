"""The life of one host: from bare to serving, and from one release to the next, under traffic.

One story, in the order of its files: each test goes on from where the one before has left the host.
"""

from __future__ import annotations

import pytest

from tests.support.databases import order_body
from tests.support.deployment import RELEASE_ONLY, Deployment
from tests.support.passwords import status_of
from tests.support.polling import wait_until
from tests.support.releases import (
    BREAKS_BEHIND_NGINX,
    FAILS_HALFWAY,
    MIGRATION,
    NEXT,
    SECOND_NEXT,
    VERSIONS,
    assert_completed_once,
    checkout_of_another_program,
    nobody_deploys,
    roll_out_by_hand,
)
from tests.support.remote_host import CLOSED_PORTS, OPEN_PORTS
from tests.support.traffic import Traffic


def traffic(deployment: Deployment) -> Traffic:
    return Traffic(deployment.client())


def test_a_bare_host_serves_after_one_command(deployment: Deployment) -> None:
    """With images that it has pulled, and a certificate that clients verify."""
    client = deployment.client()
    assert client.get("/ping").json() == {"message": "success"}
    assert client.post(order_body(1)).status == 201
    assert_completed_once(deployment, [1])
    assert status_of(deployment, "a wrong one") == 401
    digest = deployment.remote.docker("image", "ls", "--format={{.Digest}}", "mysql")
    assert digest.startswith("sha256:")


def test_nothing_but_ssh_and_the_web_is_reached_from_outside(deployment: Deployment) -> None:
    remote = deployment.remote
    request = b"GET / HTTP/1.0\r\n\r\n"
    # Something answers there inside, so that it is the firewall that keeps it in.
    remote.sudo("systemd-run --quiet --unit=inside python3 -m http.server 8080")
    inside = "curl --silent --output /dev/null http://127.0.0.1:8080"
    wait_until(lambda: remote.try_ssh(inside).returncode == 0, 30, "the server inside")
    answered = {port for port in OPEN_PORTS + CLOSED_PORTS if remote.banner(port, request)}
    remote.sudo("systemctl stop inside")
    assert answered == set(OPEN_PORTS)
    assert remote.refusal().endswith("Permission denied (publickey).")


def test_the_second_run_changes_nothing(deployment: Deployment) -> None:
    before = deployment.ledger(), deployment.colour
    assert deployment.deploy().recap.changed == 0
    assert (deployment.ledger(), deployment.colour) == before
    assert nobody_deploys(deployment)


def test_a_release_and_the_way_back_are_noticed_by_no_client(deployment: Deployment) -> None:
    """The next release brings a migration, so the way back is older code on a newer schema.

    From then on a container of its own processes the orders.
    """
    old, old_colour = deployment.readiness()["release"], deployment.colour
    deployment.checkout.write(f"{VERSIONS}/{NEXT}_note.py", MIGRATION)
    deployment.node.variables |= {"worker_threads": 16, "processor_threads": 0}
    new = deployment.new_release()
    with traffic(deployment) as sent:
        deployment.deploy(*RELEASE_ONLY)
        assert deployment.readiness()["release"] == new
        assert deployment.colour != old_colour
        sent.flows()
        # By the host's own program, whatever the control node has checked out.
        with checkout_of_another_program(deployment):
            deployment.node.playbook("rollback.yml")
        assert deployment.readiness()["release"] == old
        assert deployment.colour == old_colour
        sent.flows()
    sent.assert_unharmed()
    assert set(assert_completed_once(deployment, sent.accepted)) == {1}
    assert deployment.query("SELECT version_num FROM alembic_version").stdout.split() == [NEXT]
    assert deployment.running() == {
        f"order-service-{old_colour}-app-1",
        f"order-service-{old_colour}-worker-1",
        "order-service-mysql-1",
        "order-service-nginx-1",
    }


def test_a_release_that_answers_500_is_taken_back(broken: Deployment) -> None:
    """Its smoke tests pass: only what clients get shows that it is broken."""
    deployment = broken
    old, old_colour = deployment.readiness()["release"], deployment.colour
    # The orders of these clients, and not the one that the smoke test asks for.
    condition = "environ['PATH_INFO'].startswith('/orders/10')"
    deployment.checkout.write("wsgi.py", BREAKS_BEHIND_NGINX.format(condition=condition))
    deployment.new_release()
    with traffic(deployment) as sent:
        run = deployment.try_deploy(*RELEASE_ONLY, bake_seconds=30)
    assert run.returncode != 0
    assert "answers since the switch were 5xx" in run.output
    assert f"switched nginx back to {old_colour}" in run.output
    assert (deployment.readiness()["release"], deployment.colour) == (old, old_colour)
    # Clients do see what only shows after the switch; every order is the old or the new one's.
    assert [problem for problem in sent.problems if ": 500 " not in problem] == []
    with traffic(deployment) as later:
        later.flows()
    later.assert_unharmed()


def test_a_migration_that_fails_halfway_leaves_the_old_release(broken: Deployment) -> None:
    old = broken.readiness()["release"], broken.colour
    broken.checkout.write(f"{VERSIONS}/{SECOND_NEXT}_half.py", FAILS_HALFWAY)
    release = broken.new_release()
    with traffic(broken) as sent:
        run = broken.try_deploy(*RELEASE_ONLY)
        sent.flows()
    sent.assert_unharmed()
    assert run.returncode != 0
    assert f"The migrations of {release} failed" in run.output
    assert "no_such_table" in run.output
    assert (broken.readiness()["release"], broken.colour) == old


@pytest.mark.parametrize(
    ("breakage", "message"),
    [
        (
            # Compose names the command, so this takes its place whatever that is.
            {"breakage": 'ENTRYPOINT ["sh", "-c", "sleep 300"]'},
            "did not get ready within 16 s",
        ),
        ({"headers": "add_header Sense;"}, 'invalid number of arguments in "add_header"'),
    ],
    ids=["never ready", "nginx refuses it"],
)
def test_what_is_broken_before_the_switch_is_never_served(
    deployment: Deployment, breakage: dict[str, str], message: str
) -> None:
    old = deployment.readiness()["release"], deployment.colour
    with traffic(deployment) as sent:
        run = roll_out_by_hand(deployment, **breakage)
        sent.flows()
    sent.assert_unharmed()
    assert run.returncode == 1, run.stdout
    assert message in run.stdout + run.stderr
    assert (deployment.readiness()["release"], deployment.colour) == old


def test_a_control_node_that_is_killed_and_the_next_good_release(deployment: Deployment) -> None:
    """What had begun on the host ends there, in one of two good states."""
    old, other = deployment.readiness()["release"], {"blue": "green", "green": "blue"}
    starting = f"order-service-{other[deployment.colour]}-app-1"
    cut_off = deployment.new_release("The one that is cut off")
    with traffic(deployment) as sent:
        running = deployment.node.start_playbook("deploy.yml", *RELEASE_ONLY)
        wait_until(lambda: starting in deployment.running(), 180, "the rollout", every=0.2)
        running.kill()
        running.wait(30)
        wait_until(lambda: nobody_deploys(deployment), 180, "the end of what had begun", every=0.5)
        assert deployment.readiness()["release"] in (old, cut_off)
        release = deployment.new_release("A good one")
        deployment.deploy(*RELEASE_ONLY)
        sent.flows()
    sent.assert_unharmed()
    assert deployment.readiness()["release"] == release
    assert len([name for name in deployment.running() if name.endswith("-app-1")]) == 1
