"""Has an ACME authority issue the certificate and renew it: certbot, in a container of its own.

In the stack it stays, looks each hour, and hands the certificate to nginx. On a deployed host the
command `certificate` runs it `--once`. A failure leaves what was issued before, and pauses that
grow keep within what authorities allow. certbot's hooks are not used, since it
runs none again that failed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from order_service.certificates import authority, bring
from order_service.certificates.authority import CertificateError

FOLDER = bring.VOLUMES / "acme"
# A link to what certbot has for these settings.
CURRENT = FOLDER / "current"
FAILURES = FOLDER / "failures.json"
# Where nginx finds the answers to the authority's questions.
CHALLENGES = bring.VOLUMES / "challenges"
# Is there while nginx has a certificate of the authority that is not about to end.
HEALTHY = Path("/tmp/healthy")  # noqa: S108 - the container's own
# Less of its time is left when renewals fail.
LOW = 1 / 5
LOOK_SECONDS = 3600
CERTBOT_SECONDS = 300
# Let's Encrypt refuses a name after five failures in an hour.
MOST_FAILURES, HOUR = 4, timedelta(hours=1)
LONGEST_PAUSE = timedelta(hours=8)
REMEMBERED = 16
# How early a timer may be.
EARLY = timedelta(minutes=5)


def main() -> None:
    """Keep the certificate valid: once, or for as long as the container runs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--once", action="store_true", help="look once, and leave nginx alone")
    parser.add_argument("--now", action="store_true", help="do not wait for a pause's end")
    given = parser.parse_args()
    names, asked = bring.names_given(), given.now or not given.once
    while True:
        problem = ""
        try:
            _obtain(names, asked=asked)
        except (CertificateError, OSError) as refusal:
            # A full disk, too: a container that ends starts again at once, and asks each time.
            problem = str(refusal)
        if given.once:
            sys.exit(f"FAILED: {problem}" if problem else 0)
        _hand_over(problem)
        asked = False
        time.sleep(LOOK_SECONDS)


def _hand_over(problem: str) -> None:
    """Give nginx what there is, and tell the reader of `docker compose logs acme`."""
    found = bring.acme_pair(CURRENT)
    text = "there is no certificate of the ACME authority so far"
    if found is not None:
        folder = bring.VOLUMES / "certificates"
        text = bring.give(folder, found, "the ACME authority's").text
    sys.stdout.write(f"acme: {text}\n")
    if problem:
        sys.stdout.write(f"acme: FAILED: {problem}\n")
    if found is not None and authority.share_left(found.leaf) > LOW:
        HEALTHY.touch()
    else:
        HEALTHY.unlink(missing_ok=True)
    sys.stdout.flush()


def _obtain(names: Sequence[str], *, asked: bool) -> None:
    """Have certbot issue or renew what is due, unless it failed a moment ago.

    Args:
        names: host names and addresses.
        asked: somebody has asked for it just now, so only the authority's own limit counts.

    Raises:
        CertificateError: there is nothing new, and why.
    """
    authority.check(names, "TLS_NAMES", acme=True)
    if not names:
        raise CertificateError("TLS_NAMES: empty; expected host names and public IP addresses")
    error, failures = _failures()
    again = may_try_at(failures, asked=asked)
    if again > datetime.now(UTC):
        raise CertificateError(f"{error} (the next try is at {again:%H:%M} UTC at the earliest)")
    lineage = _lineage(names)
    try:
        _run(command(names, lineage))
    except CertificateError as problem:
        moments = [*failures, datetime.now(UTC)][-REMEMBERED:]
        told = {"error": str(problem), "at": [one.isoformat() for one in moments]}
        bring.put(FAILURES, json.dumps(told).encode())
        raise
    FAILURES.unlink(missing_ok=True)
    new = CURRENT.with_name(".current.new")
    new.unlink(missing_ok=True)
    new.symlink_to(Path("live") / lineage)
    new.replace(CURRENT)


def may_try_at(failures: Sequence[datetime], *, asked: bool) -> datetime:
    """Return when the authority may be asked again after failures without a success between them.

    By itself that is after 1, 2, 4 and then 8 hours. Who asks waits only where another failure
    would be the authority's limit.
    """
    limit = datetime.min.replace(tzinfo=UTC)
    if len(failures) >= MOST_FAILURES:
        limit = failures[-MOST_FAILURES] + HOUR
    if asked or not failures:
        return limit
    pause = min(HOUR * (1 << (len(failures) - 1)), LONGEST_PAUSE)
    return max(limit, failures[-1] + pause - EARLY)


def command(names: Sequence[str], lineage: str) -> list[str]:
    """Return the call that issues, renews or changes the names: whichever is due."""
    server, email = os.environ.get("ACME_SERVER"), os.environ.get("ACME_EMAIL")
    profile = os.environ.get("ACME_PROFILE")
    preferred = _preferred(names)
    return [
        *("certbot", "certonly", "--non-interactive", "--agree-tos", "--cert-name", lineage),
        *(["--server", server] if server else []),
        *(["--email", email] if email else ["--register-unsafely-without-email"]),
        *(["--required-profile", profile] if profile else []),
        *(["--preferred-profile", preferred] if preferred and not profile else []),
        *("--webroot", "--webroot-path", str(CHALLENGES)),
        *(part for name in names for part in (_option(name), name)),
        *("--key-type", "ecdsa", "--reuse-key", "--keep-until-expiring"),
        *("--renew-with-new-domains", "--no-random-sleep-on-renew"),
        *("--config-dir", str(FOLDER), "--work-dir", "/tmp/work"),  # noqa: S108 - as above
        *("--logs-dir", "/tmp/logs", "--max-log-backups", "0"),  # noqa: S108
    ]


def _option(name: str) -> str:
    return "--ip-address" if authority.is_address(name) else "--domain"


def _preferred(names: Sequence[str]) -> str:
    """Return the profile that is asked for: Let's Encrypt issues for addresses in this one only."""
    return "shortlived" if any(map(authority.is_address, names)) else ""


def _lineage(names: Sequence[str]) -> str:
    """Return what certbot calls the certificate.

    It takes up another server or profile at the next renewal only, unless the name is another one.
    """
    profile = os.environ.get("ACME_PROFILE") or _preferred(names)
    settings = f"{os.environ.get('ACME_SERVER', '')} {profile}"
    return f"orders-{hashlib.sha256(settings.encode()).hexdigest()[:12]}"


def _run(wanted: list[str]) -> None:
    try:
        done = subprocess.run(  # noqa: S603 - a list, without a shell
            wanted, capture_output=True, check=False, text=True, timeout=CERTBOT_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise CertificateError(f"certbot was not done after {CERTBOT_SECONDS} s") from None
    if done.returncode != 0:
        said = " ".join(f"{done.stdout} {done.stderr}".split())
        raise CertificateError(f"certbot: {said[-1500:]}")


def _failures() -> tuple[str, list[datetime]]:
    """Return the last failure's text, and when there were failures since the last success."""
    if not FAILURES.exists():
        return "", []
    told = json.loads(FAILURES.read_text(encoding="utf-8"))
    return told["error"], [datetime.fromisoformat(one) for one in told["at"]]


if __name__ == "__main__":
    main()
