"""nginx's network, in which the colours have fixed addresses, so that a switch needs no DNS.

It is made once and stays. Compose does not own it: newer versions replace a network that is
described otherwise than it was made, and take nginx and the colours out of it for that.
"""

from __future__ import annotations

from order_service.dotenv import dotenv
from order_service.host import run, say, try_run

NAME = "order-service_web"
# A private one of ours; Docker before version 27 wants one to be named.
IPV6_SUBNET = "fd6f:7264:6572::/64"


def make() -> None:
    """Make it as the settings say, unless it is there.

    Raises:
        CommandError: Docker refuses it; the text says why.
    """
    if try_run(["docker", "network", "inspect", NAME]).returncode == 0:
        return
    settings = dotenv()
    # What is not a colour gets an address of the upper half.
    options = ["--subnet", settings["WEB_SUBNET"], "--ip-range", settings["WEB_DYNAMIC_RANGE"]]
    if settings.get("IPV6") == "true":
        options += ["--ipv6", "--subnet", IPV6_SUBNET]
    run(["docker", "network", "create", *options, NAME])
    say(f"made the network {NAME}")
