"""Random material for Generate intents and verifiers for passwords: the slow and impure part, at the edge of planning.

Called in threads: an RSA key takes a tenth of a second, an argon2 hash a fiftieth.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping

from postrider.contract import dkim, passwords, tls
from postrider_operator.plan.children import encoded
from postrider_operator.plan.desired import (
    CaMaterial,
    Generate,
    KeyMaterial,
    LeafMaterial,
    Material,
    Object,
    PasswordMaterial,
)
from postrider_operator.plan.secrets import Password

Token = Callable[[int], bytes]


def fill(intent: Generate, ca: Mapping[str, bytes] | None, now: float) -> Object:
    """The object of a Generate, complete: as it is POSTed (or PUT with `replaces` as its resourceVersion).

    `ca` is the data of the CA's Secret, needed for LeafMaterial alone. Raises tls.BadCertificate when it is damaged,
    ValueError when it is missing.
    """
    if intent.material is None:
        return intent.object
    data = _data(intent.material, ca, now)
    metadata = dict(intent.object["metadata"])
    if intent.replaces:
        metadata["resourceVersion"] = intent.replaces
    return {**intent.object, "metadata": metadata, "data": encoded(data)}


def verifiers(password: Password, token: Token = secrets.token_bytes) -> tuple[str, ...]:
    """Verifiers of a password as a Secret has it; a given hash is taken as it is."""
    if passwords.is_hash(password.text):
        return (password.text.strip(),)
    return passwords.make(password.text, generated=password.generated, token=token)


def _data(material: Material, ca: Mapping[str, bytes] | None, now: float) -> dict[str, bytes]:
    match material:
        case KeyMaterial(algorithm):
            pem = dkim.generate(algorithm)
            return {"key.pem": pem.encode(), "dns.txt": dkim.public_txt(pem).encode()}
        case PasswordMaterial(username, host):
            clear = passwords.generate_password()
            return {"username": username.encode(), "password": clear.encode(), "host": host.encode()}
        case CaMaterial(name):
            pair = tls.make_ca(now, name)
            certificate = pair.certificate.encode()
            return {"tls.crt": certificate, "tls.key": pair.key.encode(), "ca.crt": certificate}
        case LeafMaterial(authority, names, days):
            if ca is None:
                raise ValueError(f"there is no Secret {authority}")
            certificate, key = (ca.get(entry, b"") for entry in ("tls.crt", "tls.key"))
            pair = tls.issue(tls.Pair(certificate.decode(), key.decode()), names, now, days)
            return {"tls.crt": pair.certificate.encode(), "tls.key": pair.key.encode(), "ca.crt": certificate}
