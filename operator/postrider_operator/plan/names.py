"""Names of the objects the operator makes, and the labels they carry."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Literal

from postrider.contract import files
from postrider_operator.plan.desired import GROUP, SERVER_LABEL
from postrider_operator.world import Ref, World

MANAGED_BY = "app.kubernetes.io/managed-by"
OPERATOR = "postrider-operator"
#: On generated objects: what they are ("dkim", "password", "ca", "certificate").
CONTENT = f"{GROUP}/content"
#: Selectors of the generated keys of a domain, in the order the signatures are added.
GENERATED_SELECTORS: tuple[tuple[str, Literal["RSA", "Ed25519"]], ...] = (("rsa1", "RSA"), ("ed1", "Ed25519"))
VOLUME = "data"

_MAX = 253


def suffixed(name: str, suffix: str) -> str:
    """`name-suffix`; a name too long for that is cut, and a hash keeps it unique."""
    if len(name) + 1 + len(suffix) <= _MAX:
        return f"{name}-{suffix}"
    mark = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[: _MAX - len(suffix) - 10].rstrip('.-')}-{mark}-{suffix}"


def part(server: str, suffix: str) -> str:
    """A contract object: "manifest", "config-0", "keys-0", "dir-0", ..."""
    return f"{server}-{suffix}"


def mail(server: str) -> str:
    """The StatefulSet, the Service with the mail ports, the PodDisruptionBudget and the NetworkPolicy."""
    return f"{server}-mail"


def pods(server: str) -> str:
    """The headless Service that names the pods."""
    return f"{server}-pods"


def claim(server: str, ordinal: int = 0) -> str:
    """The PersistentVolumeClaim of a pod, named as the StatefulSet controller does."""
    return f"{VOLUME}-{mail(server)}-{ordinal}"


def authority(server: str) -> str:
    """The Secret of the operator's own CA."""
    return f"{server}-ca"


def certificate(server: str) -> str:
    """The Secret of the certificate issued by the own CA."""
    return f"{server}-tls"


def password(mailbox: str) -> str:
    """The Secret of a generated password."""
    return suffixed(mailbox, "password")


def dkim_key(domain: str, selector: str) -> str:
    """A generated DkimKey of the MailDomain of this name."""
    return suffixed(domain, selector)


def dkim_secret(key: str) -> str:
    """The Secret of a generated private key."""
    return suffixed(key, "dkim")


def labels(server: str) -> dict[str, str]:
    """Labels of everything that belongs to a MailServer."""
    return {
        "app.kubernetes.io/name": "postrider",
        "app.kubernetes.io/instance": server,
        "app.kubernetes.io/component": "server",
        "app.kubernetes.io/part-of": "postrider",
        MANAGED_BY: OPERATOR,
        SERVER_LABEL: server,
    }


def selector(server: str) -> dict[str, str]:
    """Labels that select the server's pods; they never change."""
    return {"app.kubernetes.io/component": "server", SERVER_LABEL: server}


def is_ours(labels_: Mapping[str, str]) -> bool:
    """Whether an object with these labels was made by the operator."""
    return labels_.get(MANAGED_BY) == OPERATOR


def fixed(world: World) -> tuple[Ref, ...]:
    """The children every MailServer has or may have, whatever it serves."""
    server = world.name
    pairs: list[tuple[str, str]] = [(kind, part(server, suffix)) for suffix, kind in files.OBJECTS.items()]
    pairs += [("Secret", authority(server)), ("Secret", certificate(server)), ("StatefulSet", mail(server))]
    pairs += [("Service", mail(server)), ("Service", pods(server))]
    pairs += [("PodDisruptionBudget", mail(server)), ("NetworkPolicy", mail(server))]
    pairs += [("PersistentVolumeClaim", claim(server))]
    return tuple(Ref(kind, world.namespace, name) for kind, name in pairs)
