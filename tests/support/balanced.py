"""Web hosts' stacks on one database, behind HAProxy as the role describes it."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import jinja2
import yaml

from tests.support.docker import docker
from tests.support.polling import wait_until
from tests.support.service_process import REPOSITORY
from tests.support.stack import Stack, StackClient

IMAGE = "order-service-lab/haproxy:trixie"
ROLE = REPOSITORY / "deploy" / "ansible" / "roles" / "balancer"
VARIABLES: dict[str, Any] = yaml.safe_load((ROLE / "vars/main.yml").read_text())
# Inside of its container.
PORTS = {"http": 8080, "https": 8443}
CONFIGURATION = "/etc/haproxy/haproxy.cfg"
READY = "/etc/haproxy/ready"
START = f"until [ -e {READY} ]; do sleep 0.1; done; exec haproxy -W -db -f {CONFIGURATION}"
# What another stack has already, and where its nginx looks for a drain.
OTHERS = """
services:
  nginx:
    volumes: ["{upstream}:/etc/nginx/upstream:ro"]
networks:
  database: !override {{external: true, name: {project}_database}}
volumes:
  service-secrets: !override {{external: true, name: {project}_service-secrets}}
  certificates: !override {{external: true, name: {project}_certificates}}
"""


class WebHost(Stack):
    """nginx and the service alone, on the database of a stack, with its secrets and certificate."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        super().__init__(stack.checkout, RELEASE=stack.project)
        self.upstream = folder / self.project
        self.upstream.mkdir()
        self.upstream.chmod(0o755)
        served = stack.checkout / "deploy/nginx/upstream/server.conf"
        (self.upstream / "server.conf").write_text(served.read_text())
        others = folder / f"{self.project}.yml"
        others.write_text(OTHERS.format(upstream=self.upstream, project=stack.project))
        self.settings |= {
            "COMPOSE_FILE": f"docker-compose.yml:{others}",
            "PROCESSOR_THREADS": "0",
            "WEB_CONCURRENCY": "1",
        }

    @property
    def network(self) -> str:
        """The one that nginx is in."""
        return f"{self.project}_web"

    @property
    def nginx(self) -> str:
        """Its container."""
        return f"{self.project}-nginx-1"

    def serve(self, balancer: str) -> None:
        """Start nginx, which believes the balancer of that address."""
        self.settings |= {"TRUSTED_PROXIES": f"{balancer}/32", "PROXY_PROTOCOL": "on"}
        self.compose("up", "-d", "--no-deps", "--wait", "nginx")

    def drain(self, *, wanted: bool) -> None:
        """Tell balancers to send no clients, or to send them again."""
        if wanted:
            (self.upstream / "drain").touch()
        else:
            (self.upstream / "drain").unlink()

    def let_connections_end(self) -> None:
        """Reload nginx as the host's program does, and wait for the former workers."""
        former = self._workers()
        docker("kill", "--signal", "HUP", self.nginx)
        wait_until(lambda: not former & self._workers(), 60, "the former workers' end", 0.1)

    def _workers(self) -> set[str]:
        lines = docker("top", self.nginx, "-eo", "pid,args").splitlines()
        return {line.split()[0] for line in lines if "nginx: worker" in line}

    def close(self) -> None:
        """Remove everything but what is another stack's."""
        self.try_compose("down", "--volumes", "--timeout", "0")


class Balancer:
    """HAProxy in a container that is in the networks of all web hosts' nginx."""

    def __init__(self, hosts: Sequence[WebHost], folder: Path) -> None:
        self.hosts, self.folder = hosts, folder
        self.name = f"orders-balancer-{secrets.token_hex(4)}"
        first, *others = (host.network for host in hosts)
        published = ("--publish=127.0.0.1::80", "--publish=127.0.0.1::443")
        docker("create", "--name", self.name, f"--network={first}", *published, IMAGE,
               "sh", "-c", START)  # fmt: skip
        for network in others:
            docker("network", "connect", network, self.name)
        docker("start", self.name)

    def address(self, network: str, container: str = "") -> str:
        """Return its address, or another container's, in a network."""
        form = f'{{{{(index .NetworkSettings.Networks "{network}").IPAddress}}}}'
        return docker("inspect", "--format", form, container or self.name)

    def start(self) -> None:
        """Start HAProxy, and wait until it sends clients to all hosts."""
        environment = jinja2.Environment(  # noqa: S701 - no HTML
            trim_blocks=True, undefined=jinja2.StrictUndefined
        )
        text = environment.from_string((ROLE / "templates/haproxy.cfg.j2").read_text()).render(
            ansible_managed="Rendered by a test",
            balancer_socket=VARIABLES["balancer_socket"],
            balancer_web_hosts={
                host.project: self.address(host.network, host.nginx) for host in self.hosts
            },
            balancer_web_ports=PORTS,
            balancer_ipv6=False,
            balancer_virtual_address="",
        )
        file = self.folder / "haproxy.cfg"
        file.write_text(text)
        docker("cp", str(file), f"{self.name}:{CONFIGURATION}")
        docker("exec", self.name, "touch", READY)
        for host in self.hosts:
            self.wait_for("back", host)

    def wait_for(self, condition: str, host: WebHost, seconds: float = 10) -> None:
        """Wait until it says this of a host, by the question and the pattern of the role."""
        pattern = VARIABLES["balancer_conditions"][condition]
        pattern = pattern.replace("{{ balancer_name }}", re.escape(host.project))
        pattern = pattern.replace("{{ balancer_takes }}", VARIABLES["balancer_takes"])
        assert "{{" not in pattern
        wait_until(
            lambda: re.search(pattern, self._ask(VARIABLES["balancer_question"])),
            seconds,
            f"{host.project} {condition}",
            every=0.1,
        )

    def connections(self, host: WebHost) -> int:
        """Return how many it has with a host."""
        found = re.search(
            rf"^https_web,{host.project},\d*,\d*,(\d+),", self._ask("show stat"), re.MULTILINE
        )
        assert found
        return int(found[1])

    def _ask(self, question: str) -> str:
        """Return what it answers; nothing before it is there."""
        ask = f"echo {question} | socat -t5 stdio UNIX-CONNECT:{VARIABLES['balancer_socket']}"
        return docker("exec", self.name, "sh", "-c", f"{ask} || true")

    def client(self) -> StackClient:
        """Return a client that comes through it, and verifies."""
        port = int(docker("port", self.name, "443").rpartition(":")[2])
        return StackClient(port, self.hosts[0].ca)

    def close(self) -> None:
        """Remove it."""
        docker("rm", "--force", self.name)


@contextmanager
def balanced(stack: Stack, folder: Path, count: int = 2) -> Iterator[Balancer]:
    """Give a balancer in front of as many web hosts."""
    hosts = [WebHost(stack, folder) for _ in range(count)]
    with ExitStack() as opened:
        for host in hosts:
            host.ca = stack.ca
            opened.callback(host.close)
        with ThreadPoolExecutor(count) as pool:
            up = ("up", "-d", "--no-deps", "--wait", "app")
            list(pool.map(lambda host: host.compose(*up), hosts))
            balancer = Balancer(hosts, folder)
            opened.callback(balancer.close)
            list(pool.map(lambda host: host.serve(balancer.address(host.network)), hosts))
        balancer.start()
        yield balancer
