"""The machine itself: disk, memory, load, restarts and units."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from order_service.host import run
from order_service.status import samples
from order_service.status.line import Line

# Of the disk; below it, backups and images are at stake.
FREE_DISK = 0.1
FREE_MEMORY = 0.05
FULL_DAYS = 7
REBOOT_DAYS = 7
GIBIBYTE = 1024**3
MEMORY = Path("/proc/meminfo")
DISKS = (Path("/var/lib/docker"), Path("/"))
# What packages write that take effect at the next start only.
REBOOT, REBOOT_FOR = Path("/run/reboot-required"), Path("/run/reboot-required.pkgs")
UNITS = ("order-service-*", "docker.service", "nftables.service")


def host() -> Iterator[Line]:
    """Tell how the machine is."""
    for path in disks():
        disk = shutil.disk_usage(path)
        share = disk.free / disk.total
        text = f"{disk.free / GIBIBYTE:.1f} of {disk.total / GIBIBYTE:.1f} GiB free at {path}"
        yield Line("disk", text, good=share >= FREE_DISK, subject=str(path))
        days = samples.days_until_full(str(path))
        if days is not None and days < FULL_DAYS:
            text = f"{path} is full in {days:.1f} days if it goes on as in the last days"
            yield Line("disk trend", text, good=False, subject=str(path))
    fields = (line.split() for line in MEMORY.read_text(encoding="ascii").splitlines())
    kibibytes = {name.rstrip(":"): int(value) for name, value, *_ in fields}
    free, total = kibibytes["MemAvailable"], kibibytes["MemTotal"]
    text = f"{free / 1024:.0f} of {total / 1024:.0f} MiB available"
    yield Line("memory", text, good=free / total >= FREE_MEMORY)
    load = " ".join(f"{one:.2f}" for one in os.getloadavg())
    yield Line("load", f"{load} on {os.cpu_count()} processors")
    if REBOOT.exists():
        told = REBOOT_FOR.read_text(encoding="utf-8") if REBOOT_FOR.exists() else "the system"
        packages = " ".join(dict.fromkeys(told.splitlines()))
        days = (time.time() - REBOOT.stat().st_mtime) / samples.DAY
        text = f"needed after updates of {packages}; see automatic_reboot_time"
        late = f", for {days:.0f} days" if days > REBOOT_DAYS else ""
        yield Line("restart", text + late, good=not late)
    failed = run(["systemctl", "list-units", "--failed", "--plain", "--no-legend", *UNITS])
    for line in failed.splitlines():
        unit = line.split()[0]
        yield Line("unit", f"{unit} has failed: journalctl -u {unit}", good=False, subject=unit)


def disks() -> list[Path]:
    """Return a place on each file system that matters."""
    return list({path.stat().st_dev: path for path in DISKS}.values())
