"""Sends alerts and heartbeats by HTTP, and waits for nobody for long."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from datetime import UTC, datetime

from order_service.alerts.book import Entry
from order_service.alerts.bounded import at_most
from order_service.alerts.settings import Settings, filled
from order_service.host import CommandError

SECONDS = 10.0
AGENT = "order-service"


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirected POST would become a GET, and its answer look like a success."""

    def redirect_request(self, *_: object) -> None:
        return None


_opener = urllib.request.build_opener(_NoRedirects)


def alert(settings: Settings, key: str, entry: Entry, *, over: bool) -> None:
    """Tell of one trouble, or of its end.

    Raises:
        CommandError: the receiver did not take it.
    """
    content = filled(settings.template, _values(settings.host, key, entry, over=over))
    headers = {"Content-Type": "application/json", **settings.headers}
    _call("alert_url", settings.url, headers, json.dumps(content).encode())


def heartbeat(settings: Settings) -> None:
    """Say that all is well.

    Raises:
        CommandError: nobody took it.
    """
    _call("heartbeat_url", settings.heartbeat_url, {}, None)


def _values(host: str, key: str, entry: Entry, *, over: bool) -> dict[str, str]:
    since = datetime.fromtimestamp(entry["since"], UTC)
    title = f"{'OVER' if over else 'PROBLEM'}: {entry['name']} on {host}"
    advice = entry["advice"]
    told = "" if over else f"\n{advice} Guide: REMOTE_SERVER_SETUP.md, {entry['guide']}."
    return {
        "action": "resolve" if over else "trigger",
        "advice": advice,
        "alert": entry["name"],
        "guide": entry["guide"],
        "host": host,
        "key": f"{host}/{key}",
        "severity": entry["severity"],
        "since": f"{since:%Y-%m-%dT%H:%M:%SZ}",
        "state": "over" if over else "problem",
        "text": f"{title}\n{entry['text']}, since {since:%Y-%m-%d %H:%M} UTC{told}",
        "title": title,
    }


def _call(setting: str, url: str, headers: dict[str, str], body: bytes | None) -> None:
    """Call an address; what is said of a failure does not name it, since it may be a secret."""
    try:
        request = urllib.request.Request(url, body, {"User-Agent": AGENT, **headers})  # noqa: S310
        with at_most(SECONDS), _opener.open(request):
            return
    except urllib.error.HTTPError as answer:
        raise CommandError(f"{setting}: it answers {answer.code}") from None
    except urllib.error.URLError as problem:
        raise CommandError(f"{setting}: {problem.reason}") from None
    except OSError as problem:
        raise CommandError(f"{setting}: {problem}") from None
    except (ValueError, http.client.HTTPException) as problem:
        raise CommandError(f"{setting}: {type(problem).__name__}") from None
