"""Tries a release that is ready: directly, then as the one that serves, for a while."""

from __future__ import annotations

from dataclasses import replace

from order_service.dotenv import WEB, dotenv, has_part
from order_service.host import say
from order_service.release import answers, colours, maintenance, nginx, smoke
from order_service.release.bake import Comparison, bake
from order_service.release.colours import Colour
from order_service.release.limits import Limits
from order_service.release.measures import Meter, client_of


def test(new: Colour, release: str, comparison: Comparison | None, limits: Limits) -> None:
    """Have the release serve, and watch how it does.

    Raises:
        CommandError: it has to be taken back; the text says why.
    """
    if has_part(WEB):
        _with_clients(new, release, comparison, limits)
        return
    client = client_of(new)
    client.figures()
    nginx.switch(release, colours.upstream_for(new))
    say(f"{new.name} serves beside {new.other.name}")
    bake(client, None, comparison, Meter(client, ""), limits)


def _with_clients(new: Colour, release: str, comparison: Comparison | None, limits: Limits) -> None:
    """Do what clients do, directly, then switch to it, and watch what they get.

    While nginx turns them away, for maintenance, all of it is done directly.
    """
    nginx.check(release)
    direct = client_of(new)
    public = replace(
        direct,
        address="127.0.0.1",
        port=limits.https_port,
        tls_name=limits.public_name,
        proxied=dotenv().get("PROXY_PROTOCOL") == "on",
    )
    if not smoke.test(direct):
        say("no order is stored yet, so none could be posted again")
    with answers.followed(new.address) as counted:
        nginx.switch(release, colours.upstream_for(new))
        say(f"switched nginx to {new.name}")
        smoke.reach(public)
        client = direct if maintenance.is_on() else public
        smoke.test(client)
        say("smoke test passed")
        bake(client, counted, comparison, Meter(direct, new.worker_address()), limits)
