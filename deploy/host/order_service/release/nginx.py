"""nginx's configuration on the host: tried, put in place, reloaded, and taken back.

On a worker host, which has no nginx, it is put in place all the same: with it goes what says which
colour serves.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from order_service.dotenv import WEB, has_part
from order_service.host import RELEASES, STACK, UPSTREAM, CommandError, copy_file, run, write_text
from order_service.release.project import base
from order_service.turns import in_turn

CONTAINER = "order-service-nginx-1"
LIVE = STACK / "deploy" / "nginx"
FORMER = STACK / "deploy" / "nginx.former"
CONFIG = ("-c", "/etc/nginx/service/nginx.conf")
# conf.d is emptied first, so that a template that is gone leaves nothing behind.
RENDER = (
    "sh /etc/nginx/service/check-settings.sh && rm -f /etc/nginx/conf.d/*.conf"
    " && /docker-entrypoint.d/20-envsubst-on-templates.sh"
)
DRAIN_SECONDS = 60


def check(release: str) -> None:
    """Try the release's configuration in a container of its own, which serves nobody.

    It is the nginx that serves, by the files in place: a release to go back to may name an older
    image, which is not here any more.

    Raises:
        CommandError: nginx refuses it; the text is nginx's.
    """
    project = base(STACK, release, mounted=RELEASES / release)
    project.compose("run", "--rm", "--no-deps", "-T", "nginx", "nginx", *CONFIG, "-t")


def keep_former() -> Former:
    """Remember what is in place, to be able to take everything back."""
    shutil.rmtree(FORMER, ignore_errors=True)
    shutil.copytree(LIVE, FORMER)
    return Former(UPSTREAM.read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Former:
    """What was in place before the switch."""

    upstream: str

    def is_in_place(self) -> bool:
        """Return whether nothing has been changed since."""
        return UPSTREAM.read_text(encoding="utf-8") == self.upstream and _contents(
            LIVE
        ) == _contents(FORMER)

    def restore(self) -> None:
        """Put it back, and have nginx use it."""
        mirror(FORMER, LIVE)
        write_text(UPSTREAM, self.upstream)
        reload()


def switch(release: str, upstream: str) -> None:
    """Put the release's configuration and the upstream in place, and have nginx use them."""
    mirror(RELEASES / release / "deploy" / "nginx", LIVE)
    write_text(UPSTREAM, upstream)
    reload()


def reload() -> None:
    """Have nginx use what is in place; running requests are finished by the former workers.

    Raises:
        CommandError: nginx refuses it, and goes on with what it had.
    """
    if not has_part(WEB):
        return
    with in_turn("nginx"):  # or one would find conf.d empty
        _reload()


def _reload() -> None:
    run(["docker", "exec", CONTAINER, "sh", "-c", f"{RENDER} && exec nginx {' '.join(CONFIG)} -t"])
    before = set(workers())
    run(["docker", "exec", CONTAINER, "nginx", *CONFIG, "-s", "reload"])
    deadline = time.monotonic() + DRAIN_SECONDS
    # The former ones take connections until a moment after the new ones have started.
    while not (staying := set(workers(leaving=False))) or staying & before:
        if time.monotonic() > deadline:
            raise CommandError("nginx did not start workers with the new configuration")
        time.sleep(0.1)


def workers(*, leaving: bool | None = None) -> Iterator[str]:
    """Give the process ids of nginx's workers: all, or those that leave, or those that stay."""
    for line in run(["docker", "top", CONTAINER, "-eo", "pid,args"]).splitlines():
        process, _, name = line.strip().partition(" ")
        if "nginx: worker process" in name and leaving in (None, "shutting down" in name):
            yield process


def wait_for_former_workers() -> bool:
    """Wait for the answers to requests from before the switch; return whether they came."""
    deadline = time.monotonic() + DRAIN_SECONDS
    while has_part(WEB) and any(workers(leaving=True)):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.5)
    return True


def mirror(source: Path, target: Path) -> None:
    """Make the target folder's content the source's, in place: nginx has the folder mounted."""
    wanted = {(path.relative_to(source), path.is_dir()) for path in source.rglob("*")}
    for path in sorted(target.rglob("*"), reverse=True):
        if (path.relative_to(target), path.is_dir()) not in wanted:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for relative, is_folder in sorted(wanted):
        if is_folder:
            (target / relative).mkdir(exist_ok=True)
        else:
            copy_file(source / relative, target / relative)


def _contents(folder: Path) -> dict[Path, bytes]:
    return {
        path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }
