"""Looks at the service as a client does: directly, and through nginx with a checked certificate."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import ssl
from dataclasses import dataclass
from typing import Any

from order_service.host import CERTIFICATES, CommandError

SECONDS = 10
# Past any real order: what is asked for is that nothing breaks on the way to the database.
UNUSED_ORDER = 2**63 - 1
# What a client says of an order.
POSTED = ("order_id", "user_id", "item_ids", "total_amount")
OK = 200
PROXY_LINE = b"PROXY UNKNOWN\r\n"


@dataclass(frozen=True)
class Client:
    """Asks one port; over TLS where it has a name that the certificate must be good for.

    `proxied` where a line of the PROXY protocol has to come first.
    """

    address: str
    port: int
    username: str
    password: str
    tls_name: str | None = None
    proxied: bool = False

    def ask(self, method: str, path: str, body: str | None = None) -> tuple[int, Any]:
        """Return the status and the JSON of an answer.

        Raises:
            CommandError: no answer, no JSON, or a certificate that is not ours.
        """
        status, text = self._fetch(method, path, body)
        try:
            return status, json.loads(text)
        except ValueError as problem:
            raise self._trouble(method, path, problem) from None

    def figures(self) -> str:
        """Return /metrics as Prometheus gets it.

        Raises:
            CommandError: no answer, or another one than 200.
        """
        status, text = self._fetch("GET", "/metrics", accept="text/plain")
        if status != OK:
            raise CommandError(f"GET /metrics on port {self.port} answered {status}: {text[:200]}")
        return text

    def _fetch(
        self, method: str, path: str, body: str | None = None, accept: str = "application/json"
    ) -> tuple[int, str]:
        credentials = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
        headers = {
            "Accept": accept,
            "Authorization": f"Basic {credentials}",
            "Content-Type": "application/json",
            "Host": self.tls_name or self.address,
        }
        connection = http.client.HTTPConnection(self.address, self.port, timeout=SECONDS)
        try:
            connection.sock = self._connect()
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as problem:
            raise self._trouble(method, path, problem) from None
        finally:
            connection.close()

    def _trouble(self, method: str, path: str, problem: Exception) -> CommandError:
        return CommandError(f"{method} {path} on port {self.port}: {problem!r}")

    def _connect(self) -> socket.socket:
        plain = socket.create_connection((self.address, self.port), timeout=SECONDS)
        if self.tls_name is None:
            return plain
        try:
            if self.proxied:
                plain.sendall(PROXY_LINE)
            return _context().wrap_socket(plain, server_hostname=self.tls_name)
        except BaseException:
            plain.close()
            raise


def _context() -> ssl.SSLContext:
    """Trust the certificate that is deployed, and no other one.

    Whoever signed it, and whatever names it has, since clients may reach the host by more names
    than the settings have.
    """
    context = ssl.create_default_context(cafile=str(CERTIFICATES / "tls.crt"))
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    # Since Python 3.13 by default; it refuses a company's own authority that lacks keyUsage.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.check_hostname = False
    return context


def test(client: Client) -> bool:
    """Try what clients do, without leaving an order behind; return whether storing was tried.

    Raises:
        CommandError: an answer is not what the API promises; the text says which.
    """
    reach(client)
    _expect(client, 200, "GET", "/metrics")
    client.figures()
    _expect(client, 404, "GET", f"/orders/{UNUSED_ORDER}")
    _expect(client, 400, "POST", "/orders", "{}")
    return _post_again(client, _expect(client, 200, "GET", "/orders?limit=1"))


def reach(client: Client) -> None:
    """Try the one thing that a service which is closed for maintenance answers, too.

    Raises:
        CommandError: it does not.
    """
    _expect(client, 200, "GET", "/ping")


def _post_again(client: Client, page: Any) -> bool:
    """Post the newest order once more; return False where there is none yet.

    It takes the whole way of an INSERT, which MySQL refuses at the very end, for its `order_id`.
    Without an Idempotency-Key, since the answer to a new key is stored.
    """
    try:
        posted = [{name: order[name] for name in POSTED} for order in page["orders"]]
    except (KeyError, TypeError) as problem:
        raise CommandError(f"GET /orders?limit=1 lists no whole orders: {problem!r}") from None
    for order in posted:
        _expect(client, 409, "POST", "/orders", json.dumps(order))
    return bool(posted)


def _expect(client: Client, status: int, method: str, path: str, body: str | None = None) -> Any:
    got, answer = client.ask(method, path, body)
    if got != status:
        raise CommandError(f"{method} {path} answered {got}, expected {status}: {answer}")
    return answer
