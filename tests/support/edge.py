"""nginx of the stack alone, in front of a small server that says what it is told of the client."""

from __future__ import annotations

import http.client
import socket
import ssl
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from tests.support.docker import docker
from tests.support.polling import wait_until
from tests.support.stack import Stack

SECONDS = 10
# 401 to whoever says that it is wrong; else the client's address, as nginx tells it.
SERVER = """
import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.rfile.read(int(self.headers["Content-Length"] or 0))
        body = self.headers.get("X-Forwarded-For", "").encode()
        self.send_response(401 if self.headers["Authorization"] == "wrong" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Server", socket.gethostname())
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

ThreadingHTTPServer(("", 5000), Handler).serve_forever()
"""


@dataclass(frozen=True)
class Answer:
    """What nginx has answered."""

    status: int
    headers: Mapping[str, str]
    body: str


class Edge(Stack):
    """A Compose project without MySQL and without the service."""

    servers: Sequence[str] = ()

    def start_alone(self) -> None:
        """Start nginx and the small server, with the settings that there are now."""
        self.compose("run", "--rm", "--no-deps", "-T", "certificates")
        self.servers = [self.start_server()]
        self.start_nginx()

    def start_server(self) -> str:
        """Start one more of the small servers, by the name of the service; return its container."""
        run = ("run", "--detach", "--no-deps", "--use-aliases", "app", "python", "-c", SERVER)
        return self.compose(*run).strip()

    def start_nginx(self, *options: str, **settings: str) -> None:
        """Start it with these settings more, and wait until it passes requests on."""
        self.settings |= settings
        self.compose("up", "-d", "--no-deps", "nginx")
        self.wait_until_it_passes_on(*options)

    def wait_until_it_passes_on(self, *options: str) -> None:
        """Wait for an answer of the small server; the options are curl's."""
        wait_until(
            lambda: self.ask_from_within("/ping", "--fail", *options).returncode == 0,
            30,
            "an answer",
            0.1,
        )

    def ask(
        self, path: str, headers: Mapping[str, str] | None = None, *,
        first: bytes = b"", address: str = "127.0.0.1", method: str = "GET", tls: bool = True,
    ) -> Answer:  # fmt: skip
        """Ask over TLS or not; `first` are bytes that a balancer sends before anything else."""
        connection = http.client.HTTPConnection("localhost", timeout=SECONDS)
        port = self.https_port if tls else self.http_port
        with ExitStack() as opened:
            plain = opened.enter_context(socket.create_connection((address, port), SECONDS))
            plain.sendall(first)
            opened.callback(connection.close)
            connection.sock = opened.enter_context(_context().wrap_socket(plain)) if tls else plain
            connection.request(method, path, headers=headers or {})
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read().decode())

    def ask_from_within(self, path: str, *options: str) -> subprocess.CompletedProcess[str]:
        """Ask with curl from an address of nginx's own container, which no proxy has."""
        curl = ("curl", "--silent", "--insecure", "--interface", "127.0.0.10", *options)
        return self.try_compose("exec", "-T", "nginx", *curl, f"https://localhost:8443{path}")

    def close(self) -> None:
        """Remove everything but the image, which is another's."""
        if self.servers:
            docker("rm", "--force", *self.servers)
        self.try_compose("down", "--volumes", "--timeout", "0")


def _context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@contextmanager
def running_edge(stack: Stack, **settings: str) -> Iterator[Edge]:
    """Give one that uses the checkout and the image of a stack."""
    edge = Edge(stack.checkout, RELEASE=stack.project, **settings)
    try:
        edge.start_alone()
        yield edge
    finally:
        edge.close()
