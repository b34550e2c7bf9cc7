"""MySQL's certificate where other hosts use it: of the private authority that all of them have.

Members of a group call one another with it, too.
"""

from __future__ import annotations

from collections.abc import Sequence

from order_service.certificates import authority
from order_service.certificates.bring import kept_or_issued, private_authority, put
from order_service.host import AUTHORITY, CERTIFICATES, CommandError, try_run

FOLDER = CERTIFICATES / "mysql"
CONTAINER = "order-service-mysql-1"
# Its user's number in the image.
MYSQL_ID = 999
# A group reads it at the start of its members only, which may be long ago.
DAYS = 5 * 365
_ASK = ("docker", "exec", CONTAINER, "mysql", "--defaults-extra-file=/run/secrets/root.cnf")
_SERVED = "SHOW GLOBAL STATUS LIKE 'Ssl_server_not_after'"


def bring(names: Sequence[str]) -> bool:
    """Have the certificate in its place, good for these names; return whether it was not.

    Raises:
        CertificateError: none can be issued.
    """
    FOLDER.mkdir(exist_ok=True)
    certificate, key = FOLDER / "server.pem", FOLDER / "server.key"
    issuer, _ = private_authority(AUTHORITY)
    # What an inventory calls a host may be no name for a certificate.
    allowed = filter(authority.is_allowed, names)
    wanted = list(dict.fromkeys(map(authority.normal, allowed)))
    chain, key_pem = kept_or_issued(issuer, certificate, key, wanted, days=DAYS, mutual=True)
    changed = put(key, key_pem, 0o400, MYSQL_ID, MYSQL_ID)
    changed |= put(certificate, chain)
    return put(FOLDER / "ca.crt", issuer.certificate_pem) or changed


def take_up(*, always: bool) -> bool:
    """Have MySQL read what is in place, where it runs and has another one; return whether it did.

    Raises:
        CommandError: it refuses.
    """
    state = try_run(["docker", "inspect", "--format", "{{.State.Running}}", CONTAINER])
    if state.stdout.strip() != "true":
        return False
    leaf = authority.read_certificate((FOLDER / "server.pem").read_bytes())
    if leaf and not always:
        served = try_run([*_ASK, "--skip-column-names", f"--execute={_SERVED}"]).stdout
        # As OpenSSL writes it: the day has two places.
        if f"{authority.end_of(leaf):%b %e %H:%M:%S %Y} GMT" in served:
            return False
    done = try_run([*_ASK, "--execute=ALTER INSTANCE RELOAD TLS"])
    if done.returncode != 0:
        raise CommandError(f"MySQL does not read its certificate: {done.stderr.strip()}")
    return True
