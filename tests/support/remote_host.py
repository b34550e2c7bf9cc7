"""A fresh cloud server: systemd, sshd, a user who may use sudo, and nothing else."""

from __future__ import annotations

import random
import re
import secrets
import shlex
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from tests.support.docker import docker
from tests.support.polling import wait_until
from tests.support.stack import StackClient

IMAGE = "order-service-lab/host:trixie"
USER = "admin"
# What a deployed host may answer, and what it must not; on an address of its own each.
OPEN_PORTS = (22, 80, 443)
CLOSED_PORTS = (3306, 5000, 8080, 9100, 33060)
# Every capability of this machine, but those that a cloud server's guest lacks as well.
CAPABILITIES = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE"
    " NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO"
    " SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME"
    " SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG"
    " WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
)
NOT_GIVEN = {"SYS_RESOURCE", "PERFMON", "BPF", "CHECKPOINT_RESTORE"}
UNCONFINED = ("seccomp=unconfined", "apparmor=unconfined", "systempaths=unconfined")
# systemd 256 and later starts on a machine of control groups v1 only when told to.
LEGACY_CONTROL_GROUPS = (
    "SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1",
    "systemd.unified_cgroup_hierarchy=0",
)
BOOT_SECONDS = 60
ATTEMPTS = 20
# Of each boot its own, as on a machine with a kernel of its own.
BOOT_ID = """cat >/etc/systemd/system/boot-id.service <<END
[Unit]
DefaultDependencies=no
Before=sysinit.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'cat /proc/sys/kernel/random/uuid >/run/boot-id'
ExecStart=mount --bind /run/boot-id /proc/sys/kernel/random/boot_id
[Install]
WantedBy=sysinit.target
END
systemctl daemon-reload && systemctl enable --now boot-id.service"""


class RemoteHost:
    """One host on a loopback address of its own, with the standard ports."""

    def __init__(self, folder: Path, **names: str) -> None:
        """Have a folder for its keys, and the names that it knows besides DNS, each an address."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.names = folder, names
        self.name = f"orders-host-{secrets.token_hex(4)}"
        self.key = folder / f"{self.name}.key"
        self.known_hosts = folder / f"{self.name}.known_hosts"
        self.address = ""

    def boot(self) -> Self:
        """Start the host, allow in the key made for it, and wait until it is up."""
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", self.name, "-f", self.key],
            check=True,
        )
        self.address = _run_container(self.name, self.names)
        authorized_keys = f"/home/{USER}/.ssh/authorized_keys"
        docker("cp", f"{self.key}.pub", f"{self.name}:{authorized_keys}")
        self.inside(f"chown {USER}: {authorized_keys} && chmod 600 {authorized_keys}")
        self.wait_booted()
        host_key = self.inside("cat /etc/ssh/ssh_host_ed25519_key.pub")
        self.known_hosts.write_text(f"{self.address} {host_key}")
        return self

    def wait_booted(self) -> None:
        """Wait until systemd has started everything and sshd answers."""

        def booted() -> bool:
            state = self.try_inside("systemctl is-system-running").stdout.strip()
            # Degraded: up, although some unit failed.
            return state in ("running", "degraded") and self.banner(22).startswith(b"SSH-")

        wait_until(booted, BOOT_SECONDS, f"{self.name}'s boot", every=0.2)

    def restart(self) -> None:
        """Shut the host down in good order and start it again."""
        docker("restart", "--time", "60", self.name)
        self.wait_booted()

    def let_reboot(self) -> None:
        """Have a restart that is asked for on the host itself be one, as of a machine."""
        docker("update", "--restart=always", self.name)
        self.inside(BOOT_ID)

    def boot_id(self) -> str:
        """Return what tells this boot from the others."""
        return self.inside("cat /proc/sys/kernel/random/boot_id").strip()

    def cut_power(self) -> None:
        """Stop every process of the host at once and start it again."""
        docker("kill", self.name)
        docker("start", self.name)
        self.wait_booted()

    def ssh(self, command: str, *, seconds: float = 120) -> str:
        """Run a command as the user over SSH and return its output; it must succeed."""
        run = self.try_ssh(command, seconds=seconds)
        assert run.returncode == 0, (
            f"{command!r} on the host: {run.returncode}\n{run.stderr}{run.stdout}"
        )
        return run.stdout

    def try_ssh(
        self, command: str, *options: str, seconds: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as the user over SSH, whatever comes of it."""
        return subprocess.run(
            ["ssh", *self.ssh_options(), *options, f"{USER}@{self.address}", command],
            capture_output=True,
            check=False,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=seconds,
        )

    def refusal(self) -> str:
        """Return what a client hears that has no key."""
        options = ("-oPubkeyAuthentication=no", "-oNumberOfPasswordPrompts=1")
        run = self.try_ssh("true", *options)
        assert run.returncode == 255, f"a client without a key got in: {run.stdout}"
        return run.stderr.strip()

    def ssh_options(self) -> list[str]:
        """Return the options that let only this host's key and the user's key pass."""
        settings = {
            "IdentityFile": self.key,
            "IdentitiesOnly": "yes",
            "UserKnownHostsFile": self.known_hosts,
            "StrictHostKeyChecking": "yes",
            "BatchMode": "yes",
            "ConnectTimeout": "10",
        }
        return ["-F", "none", *(f"-o{name}={value}" for name, value in settings.items())]

    def sudo(self, script: str, *, seconds: float = 120) -> str:
        """Run a shell script as root over SSH and return its output; it must succeed."""
        return self.ssh(f"sudo sh -c {shlex.quote(script)}", seconds=seconds)

    def docker(self, *arguments: str, seconds: float = 120) -> str:
        """Run the host's own Docker client as root and return its output."""
        return self.ssh(f"sudo docker {shlex.join(arguments)}", seconds=seconds)

    def inside(self, script: str) -> str:
        """Run a shell script as root past SSH, as at the console; it must succeed."""
        run = self.try_inside(script)
        assert run.returncode == 0, (
            f"{script!r} inside the host: {run.returncode}\n{run.stderr}{run.stdout}"
        )
        return run.stdout

    def try_inside(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run a shell script as root past SSH, as at the console, whatever comes of it."""
        return subprocess.run(
            ["docker", "exec", self.name, "sh", "-c", script],
            capture_output=True,
            check=False,
            text=True,
            timeout=120,
        )

    def banner(self, port: int, send: bytes = b"", seconds: float = 2) -> bytes:
        """Return the first bytes that a port answers from outside; none when it is closed.

        That a connection opens tells nothing: the machine's own Docker opens it in any case.
        """
        try:
            with socket.create_connection((self.address, port), timeout=seconds) as connection:
                connection.sendall(send)
                return connection.recv(256)
        except OSError:
            return b""

    def client(self, ca: Path) -> StackClient:
        """Return a client of the deployed service that verifies with the fetched authority."""
        return StackClient(443, ca, self.address)

    def close(self) -> None:
        """Remove the host and everything on it."""
        subprocess.run(
            ["docker", "rm", "--force", "--volumes", self.name],
            capture_output=True,
            check=False,
            timeout=120,
        )


def _run_container(name: str, names: Mapping[str, str]) -> str:
    """Start a host's container and return its address: the engine tells which one is free."""
    problem = ""
    for _ in range(ATTEMPTS):
        address = f"127.0.{random.randint(10, 250)}.{random.randint(2, 250)}"
        published = [f"--publish={address}:{port}:{port}" for port in OPEN_PORTS + CLOSED_PORTS]
        run = subprocess.run(
            ["docker", "run", "--detach", f"--name={name}", f"--hostname={name}"]
            + [f"--cap-add={capability}" for capability in _capabilities()]
            + [f"--security-opt={option}" for option in UNCONFINED]
            + ["--volume=/sys/fs/cgroup:/sys/fs/cgroup:rw", "--tmpfs=/run", "--tmpfs=/run/lock"]
            + [f"--add-host={known}:{its}" for known, its in names.items()]
            + ["--env=container=docker", *published, IMAGE, "/sbin/init"]
            + ([] if _control_groups_v2() else list(LEGACY_CONTROL_GROUPS)),
            capture_output=True,
            check=False,
            text=True,
            timeout=60,
        )
        if run.returncode == 0:
            return address
        problem = run.stderr
        docker("rm", "--force", "--volumes", name)
        if "address already in use" not in problem and "already allocated" not in problem:
            break
    raise AssertionError(f"the host {name} did not start: {problem}")


def _capabilities() -> list[str]:
    """Return what to add: no container gets more than this machine itself may have."""
    status = Path("/proc/self/status").read_text()
    bounding = re.search(r"CapBnd:\s*(\w+)", status)
    assert bounding, status
    allowed = int(bounding[1], 16)
    return [
        name
        for bit, name in enumerate(CAPABILITIES.split())
        if allowed >> bit & 1 and name not in NOT_GIVEN
    ]


def _control_groups_v2() -> bool:
    return Path("/sys/fs/cgroup/cgroup.controllers").exists()
