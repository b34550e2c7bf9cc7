"""The lab's hosts as the instances of an AWS account: their addresses, and their SSH keys."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from moto.ec2.models import elastic_ip_addresses
from moto.ec2.models.subnets import Subnet
from moto.ec2.responses import general
from moto.ec2.responses.general import General

from tests.support.aws_account import console
from tests.support.remote_host import USER, RemoteHost
from tests.support.several_hosts import private_address


@contextmanager
def machines(hosts: Iterable[RemoteHost]) -> Iterator[None]:
    """Let the next instances be these hosts, in the order in which instances are made.

    An instance has its host's address inside as its private one, and its host's address outside as
    its elastic one, and its console shows its host's SSH key.
    """
    made = list(hosts)
    inside = {private_address(host): host for host in made}
    privates, publics = iter(inside), iter([host.address for host in made])
    answer = General.get_console_output

    def get_console_output(asked: General) -> Any:
        instance = asked.ec2_backend.get_instance(asked.querystring["InstanceId"][0])
        key = inside[instance.private_ip].inside("cat /etc/ssh/ssh_host_ed25519_key.pub")
        with patch.object(general, "SAMPLE_CONSOLE_OUTPUT", console(key)):
            return answer(asked)

    with ExitStack() as stack:
        for change in (
            patch.object(Subnet, "get_available_subnet_ip", lambda *_, **__: next(privates)),
            patch.object(elastic_ip_addresses, "random_ip", lambda: next(publics)),
            patch.object(General, "get_console_output", get_console_output),
        ):
            stack.enter_context(change)
        yield


def let_in(hosts: Iterable[RemoteHost], public_key: str) -> None:
    """Let the key pair in that an instance is started with, as cloud-init does."""
    for host in hosts:
        host.inside(f"echo '{public_key.strip()}' >> /home/{USER}/.ssh/authorized_keys")
