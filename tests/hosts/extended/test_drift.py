"""What somebody has changed by hand is what the roles describe again after the next run."""

from __future__ import annotations

from tests.support.deployment import PROGRAM, ROOT, Deployment

TIMERS = ("backup", "binlog", "drill", "certificate")
PLACES = (
    "/etc/systemd/system/order-service*",
    "/etc/apt/apt.conf.d/*",
    "/etc/docker/daemon.json",
    "/etc/order-service/*",
    "/etc/ssh/sshd_config.d/*",
    "/etc/systemd/journald.conf.d/*",
    f"{ROOT}/authority/*",
    f"{ROOT}/certificates/*",
    PROGRAM,
    f"{ROOT}/stack/.env",
)
BY_HAND = f"""
set -e
rm /etc/systemd/system/order-service-drill.timer && systemctl daemon-reload
systemctl --quiet disable --now order-service-binlog.timer
systemctl stop order-service-certificate.timer apt-daily.timer
echo 'APT::Periodic::Unattended-Upgrade "0";' >> /etc/apt/apt.conf.d/20auto-upgrades
chown 1000 /etc/systemd/journald.conf.d/order-service.conf
echo 'PasswordAuthentication yes' > /etc/ssh/sshd_config.d/00-order-service.conf
echo '{{}}' > /etc/docker/daemon.json
rm /etc/order-service/firewall.nft /etc/order-service/rollout.json
chmod 666 /etc/order-service/backup.json
rm {ROOT}/certificates/ca.crt && chmod 644 {PROGRAM}
echo '#' | tee --append {PROGRAM} {ROOT}/stack/.env \\
  {ROOT}/certificates/hsts.conf
chmod 755 {ROOT}/authority && chmod 444 {ROOT}/certificates/tls.key
mkdir {ROOT}/lib && touch {ROOT}/lib/host.py {ROOT}/state/lock.json
apt-get --quiet --yes --option DPkg::Lock::Timeout=60 purge zstd
"""


def state(deployment: Deployment) -> list[str]:
    """Return what the roles have put on the host, with whose it is, and what runs."""
    units = " ".join(f"order-service-{name}.timer" for name in TIMERS)
    places = " ".join(PLACES)
    return deployment.remote.sudo(
        f"stat --format='%n %U %a' {ROOT}/authority {places} && sha256sum {places}"
        f" && systemctl is-active {units} apt-daily.timer && systemctl is-enabled {units}"
        " && command -v zstd"
    ).splitlines()


def test_the_next_run_mends_what_was_changed_by_hand(deployment: Deployment) -> None:
    before = state(deployment)
    deployment.remote.sudo(BY_HAND)
    assert deployment.deploy().recap.changed > 0
    assert state(deployment) == before
    left = deployment.remote.ssh(f"ls {ROOT} {ROOT}/state").split()
    assert not {"lib", "lock.json"} & {*left}, "they are of former releases"
    assert deployment.deploy().recap.changed == 0
