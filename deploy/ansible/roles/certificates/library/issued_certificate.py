#!/usr/bin/python
"""Has nginx's certificate issued by an authority of the host's own, where that is not so yet."""

from __future__ import annotations

import ipaddress
from pathlib import Path

from ansible.module_utils.authority import COMMON_NAME_LENGTH, Authority, make, names_of
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.placing import put_file, put_folder

# The host's own, of the package python3-cryptography.
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import NameOID

DOCUMENTATION = """
module: issued_certificate
short_description: Issues a certificate by an authority of the host's own
description:
  - Makes the authority once. Issues a certificate where there is none of this authority for these
    names and this key; the key stays as long as it can be read.
  - The program renew_certificate.py renews it in time.
options:
  authority:
    type: path
    required: true
    description: The authority's folder, C(ca.key) and C(ca.crt); root's alone.
  folder:
    type: path
    required: true
    description: The folder for nginx, C(tls.key), C(tls.crt) and a copy of C(ca.crt).
  owner:
    type: str
    required: true
    description: The user that alone may read C(tls.key).
  names:
    type: list
    elements: str
    required: true
    description: Host names and addresses; the first one is the certificate's common name.
"""
EXAMPLES = """
- issued_certificate:
    authority: /opt/shop/authority
    folder: /opt/shop/certificates
    owner: "101"
    names: [shop.example.com, 192.0.2.1]
"""
RETURN = """
ca: {description: 'The certificate of the authority, in PEM', type: str}
issued: {description: 'Why a certificate was issued, or nothing', type: str}
"""


def main() -> None:
    """Answer Ansible."""
    spec = {name: {"type": "path", "required": True} for name in ("authority", "folder")}
    spec["owner"] = {"type": "str", "required": True}
    names = {"type": "list", "elements": "str", "required": True}
    module = AnsibleModule({**spec, "names": names}, supports_check_mode=True)
    try:
        own, changed = bring_authority(module, Path(module.params["authority"]))
        reason, issued = bring_certificate(module, own, Path(module.params["folder"]))
    except OSError as problem:
        module.fail_json(msg=str(problem))
    except ValueError as problem:
        module.fail_json(msg=f"no certificate can be issued for these names: {problem}")
    module.exit_json(changed=changed or issued, issued=reason, ca=own.certificate_pem.decode())


def bring_authority(module: AnsibleModule, folder: Path) -> tuple[Authority, bool]:
    """Return the authority, and whether something of it was not as it should be."""
    changed = put_folder(module, folder, mode="0700")
    key_file, file = folder / "ca.key", folder / "ca.crt"
    key, certificate = read_key(key_file), read_certificate(file)
    if key is None and key_file.exists():
        module.fail_json(
            msg=f"{key_file} is not a private key that can be read. Restore it; or remove {folder},"
            " and give clients the new ca.crt"
        )
    if key is None or certificate is None or certificate.public_key() != key.public_key():
        own = make(key)
    else:
        own = Authority(certificate, key)
    key_pem = own.key_pem if key is None else key_file.read_bytes()
    changed |= put_file(module, key_file, key_pem, mode="0600")
    changed |= put_file(module, file, own.certificate_pem, mode="0644")
    return own, changed


def bring_certificate(module: AnsibleModule, own: Authority, folder: Path) -> tuple[str, bool]:
    """Return why a certificate was issued, and whether something was not as it should be."""
    key_file, file, owner = folder / "tls.key", folder / "tls.crt", module.params["owner"]
    key, names = read_key(key_file), [normal(name) for name in module.params["names"]]
    reason = reason_to_issue(own, read_certificate(file), key, names)
    if reason:
        certificate, key_pem = own.issue(names, key=key)
    else:
        certificate, key_pem = file.read_bytes(), key_file.read_bytes()
    changed = put_folder(module, folder, mode="0755")
    changed |= put_file(module, key_file, key_pem, mode="0400", owner=owner, group=owner)
    changed |= put_file(module, file, certificate, mode="0644")
    changed |= put_file(module, folder / "ca.crt", own.certificate_pem, mode="0644")
    return reason, changed


def reason_to_issue(
    own: Authority,
    leaf: x509.Certificate | None,
    key: ec.EllipticCurvePrivateKey | None,
    names: list[str],
) -> str:
    """Say why nginx needs a new certificate; nothing where it does not."""
    if key is None:
        return "there is no key of this kind"
    if leaf is None:
        return "there is no certificate"
    if leaf.public_key() != key.public_key():
        return "the former one is for another key"
    if not own.has_issued(leaf):
        return "the former one is another issuer's"
    if names_of(leaf) != set(names) or common_name(leaf) != names[0][:COMMON_NAME_LENGTH]:
        return "the names have changed"
    return ""


def normal(name: str) -> str:
    """Return a name as certificates have it; an address has many spellings."""
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name


def common_name(leaf: x509.Certificate) -> str:
    """Return the name that the certificate is called by."""
    found = leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else ""


def read_key(path: Path) -> ec.EllipticCurvePrivateKey | None:
    """Return the key; None where there is none, or none of this kind."""
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except (FileNotFoundError, ValueError, TypeError):
        return None
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    return None


def read_certificate(path: Path) -> x509.Certificate | None:
    """Return the certificate; None where there is none that can be read."""
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None


if __name__ == "__main__":
    main()
