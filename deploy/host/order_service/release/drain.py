"""Takes this host out of service, such as for a restart, and brings it back.

on     balancers are told to send no more clients here
leave  nginx ends idle connections, and each other one after the answer that is under way
stop   end all containers in good order, until the host starts again, or `off`
off    have all of them run, then tell balancers to send clients
halt   as `stop`, whatever becomes of MySQL's group: the host itself is stopping
resume have what was ended run again as before: the host has started
show   print which it is; fail unless clients may be sent here
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

from order_service.containers import health
from order_service.database import bring as database
from order_service.dotenv import DATABASE, WEB, has_part
from order_service.host import (
    STATE,
    UPSTREAM,
    CommandError,
    caller,
    now,
    read_json,
    run,
    say,
    try_run,
    write_json,
)
from order_service.release import colours, nginx

# nginx looks for it, beside the upstream, on each question of a balancer.
FILE = UPSTREAM.with_name("drain")
# What `stop` has ended, the last one first.
STOPPED = STATE / "stopped.json"
MYSQL = "order-service-mysql-1"
# They end after all others, which use them.
LAST = (nginx.CONTAINER, MYSQL)
# As long as MySQL may take.
STOP_SECONDS = 120
START_SECONDS = 180
EVERY_SECONDS = 0.5
# What systemd says of itself then.
STOPPING = "stopping"
OK = 200


def main() -> None:
    """Do one of them; those that change something say CHANGED or UNCHANGED first."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    actions = {
        "on": on, "leave": leave, "stop": stop, "off": off, "halt": halt, "resume": resume,
    }  # fmt: skip
    parser.add_argument("action", choices=[*actions, "show"])
    action = parser.parse_args().action
    try:
        if action != "show":
            changed = actions[action]()
            say(f"{'CHANGED' if changed else 'UNCHANGED'}: {described() or 'takes clients'}")
        elif why_not := described():
            sys.exit(why_not)
        else:
            say("takes clients")
    except (CommandError, OSError) as problem:
        sys.exit(f"FAILED: {problem}")


def on() -> bool:
    """Tell balancers to send no more clients; return whether they were told otherwise.

    Raises:
        OSError: the file cannot be written.
    """
    if FILE.is_file():
        return False
    FILE.parent.mkdir(parents=True, exist_ok=True)
    write_json(FILE, {"since": now(), "by": caller()})
    return True


def leave() -> bool:
    """Have nginx's connections end, now that no new ones come; return whether there is nginx.

    Raises:
        CommandError: nginx has not done it.
    """
    if not has_part(WEB):
        return False
    nginx.reload()
    if not nginx.wait_for_former_workers():
        say(f"some requests are still under way after {nginx.DRAIN_SECONDS} s")
    return True


def stop() -> bool:
    """End the containers that run; return whether there were any.

    Raises:
        CommandError: one of them has not ended, or MySQL's group needs this host's.
    """
    return _end_all(database.hand_over)


def halt() -> bool:
    """Do the same where the host is stopping, which nothing can refuse.

    Docker would leave the containers to the end of all processes, all at once.

    Raises:
        CommandError: one of them has not ended.
    """
    if try_run(["systemctl", "is-system-running"]).stdout.strip() != STOPPING:
        return False
    return _end_all(_try_to_hand_over)


def _try_to_hand_over() -> None:
    try:
        database.hand_over()
    except CommandError as why:
        say(f"MySQL is stopped all the same: {why}")


def _end_all(hand_over: Callable[[], None]) -> bool:
    found = _own()
    groups = [[name for name in found if name not in LAST]]
    groups += [[name] for name in LAST if name in found]
    if not found:
        return False
    if MYSQL in found:
        # It may refuse, so before anything has ended.
        hand_over()
    last_first = [name for group in reversed(groups) for name in group]
    # Those of a stop that was cut off are not running, and have to come back as well.
    ended = [name for name in read_json(STOPPED, []) if name not in found]
    write_json(STOPPED, last_first + ended)
    # Docker starts them with the host, then, although somebody has stopped them.
    run(["docker", "update", "--restart=always", *found])
    for group in filter(None, groups):
        if MYSQL in group:
            hand_over()
        run(["docker", "stop", *group], seconds=STOP_SECONDS)
    return True


def resume() -> bool:
    """Start what was ended, as it was before; return whether there is any.

    Raises:
        CommandError: Docker does not do it.
    """
    there = _own("--all")
    ended = [name for name in read_json(STOPPED, []) if name in there]
    if ended:
        run(["docker", "start", *ended])
        run(["docker", "update", "--restart=unless-stopped", *ended])
    STOPPED.unlink(missing_ok=True)
    return bool(ended)


def off() -> bool:
    """Start what was stopped, and tell balancers once it serves; return whether they knew.

    Raises:
        CommandError: something does not get ready; balancers are told nothing then.
    """
    _wait(_docker_answers, "Docker; see: systemctl status docker")
    resumed = resume()
    if has_part(DATABASE):
        _wait(lambda: health(MYSQL) == "healthy", f"MySQL; see: sudo docker logs {MYSQL}")
    if colours.services():
        _wait(_is_ready, "the service; status.yml says what it lacks")
    was_on = FILE.is_file()
    FILE.unlink(missing_ok=True)
    if has_part(WEB):
        _wait(lambda: _told() == OK, f"nginx; see: sudo docker logs {nginx.CONTAINER}")
    return was_on or resumed


def described() -> str:
    """Return why no clients may be sent here; empty where they may.

    Raises:
        CommandError: the file is not what this program has written.
    """
    if not has_part(WEB):
        return "has no nginx, so no clients"
    if FILE.is_file():
        state = read_json(FILE, {})
        return f"drained since {state.get('since')} by {state.get('by')}"
    told = _told()
    return "" if told == OK else f"sends clients away: /lb-health answers {told or 'nothing'}"


def _told() -> int:
    """Return what a balancer is told; 0 where nginx does not answer."""
    curl = "curl --silent --output /dev/null --max-time 3 --write-out %{http_code}"
    url = "http://127.0.0.1:8081/lb-health"
    try:
        return int(run(["docker", "exec", nginx.CONTAINER, *curl.split(), url]))
    except (CommandError, ValueError):
        return 0


def _docker_answers() -> bool:
    return try_run(["docker", "ps", "--quiet"]).returncode == 0


def _is_ready() -> bool:
    return colours.serving().readiness()[0] == OK


def _own(*options: str) -> list[str]:
    """Return the names of the service's containers that run, or of all."""
    form = ["--filter", "label=com.docker.compose.project", "--format", "{{.Names}}"]
    names = run(["docker", "ps", *options, *form]).split()
    return [name for name in names if name.startswith("order-service-")]


def _wait(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise CommandError(f"not ready after {START_SECONDS} s: {what}")
        time.sleep(EVERY_SECONDS)
