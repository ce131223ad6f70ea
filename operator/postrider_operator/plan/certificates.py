"""The server's certificate: given in a Secret, or issued by the operator's own CA and renewed in time."""

from __future__ import annotations

from dataclasses import dataclass, field

from postrider.contract import tls
from postrider.contract.model import Certificate
from postrider.model.address import AddressError, own_domain
from postrider_operator.kinds import MailServer
from postrider_operator.plan import children, names
from postrider_operator.plan.desired import Apply, CaMaterial, Generate, LeafMaterial
from postrider_operator.plan.findings import Finding, Findings
from postrider_operator.plan.mine import ref
from postrider_operator.plan.secrets import name_taken, text
from postrider_operator.world import Ref, World

#: Life of an issued certificate in days; it is renewed when two thirds have passed.
DAYS = 90
RENEWED_AT = 2 / 3


@dataclass(slots=True)
class Certificates:
    """What was found and is to be made."""

    rows: tuple[Certificate, ...] = ()
    generates: list[Generate] = field(default_factory=list)
    applies: list[Apply] = field(default_factory=list)
    #: Why the certificate is not the one that is wanted.
    finding: Finding | None = None
    #: Seconds until the issued certificate is due for renewal.
    again: float | None = None


def plan_certificates(world: World, findings: Findings) -> Certificates:
    """The certificate to serve: the given one, else the last good one, else one of our own CA."""
    server = world.server
    if server is None:
        return Certificates()
    result = Certificates()
    if server.spec.tls.secret_ref is not None:
        given = _read(world, server.spec.tls.secret_ref.name)
        if isinstance(given, Certificate):
            result.rows = (given,)
            return result
        result.finding = given
        findings.add(ref(server), given)
        if world.previous and world.previous.certificates:
            result.rows = world.previous.certificates
            return result
    _own(world, server, findings, result)
    return result


def wanted(world: World) -> set[str]:
    """Names of the Secrets certificates and the CA are in."""
    given = world.server.spec.tls.secret_ref if world.server else None
    return {names.authority(world.name), names.certificate(world.name), *([given.name] if given else [])}


def own_names(world: World) -> tuple[str, ...]:
    """What an issued certificate is for: the hostname, and the Service's name inside the cluster."""
    hostname = world.server.spec.hostname if world.server else ""
    try:
        hostname = own_domain(hostname)
    except AddressError:
        return ()
    if world.local:
        return (hostname, "localhost", "127.0.0.1", "::1")
    service = f"{names.mail(world.name)}.{world.namespace}"
    return (hostname, f"{service}.svc", f"{service}.svc.cluster.local")


def _own(world: World, server: MailServer, findings: Findings, result: Certificates) -> None:
    """The certificate of our own CA; asks for CA and certificate where they are missing or it is time."""
    owner = children.retained(server)
    authority = Ref("Secret", world.namespace, names.authority(world.name))
    leaf = Ref("Secret", world.namespace, names.certificate(world.name))
    for at in (authority, leaf):
        present = children.child(world, at)
        if present is not None and not names.is_ours(present.labels):
            result.finding = name_taken(at)
            findings.add(ref(server), result.finding)
            return
    if authority.name not in world.secrets:
        if authority.name not in world.unreadable:
            body = children.generated(authority, world.name, "ca", None, type="kubernetes.io/tls")
            result.generates.append(
                Generate(authority, body, CaMaterial(f"Postrider CA {world.namespace}/{world.name}"))
            )
    elif (present := children.child(world, authority)) and (apply := children.ownership(authority, present, owner)):
        result.applies.append(apply)
    issued = _read(world, leaf.name) if leaf.name in world.secrets else None
    if isinstance(issued, Certificate):
        result.rows = (issued,)
    due = _due(world, issued) if isinstance(issued, Certificate) else 0.0
    result.again = max(due - world.now, 60.0)
    ready = authority.name in world.secrets and bool(own_names(world)) and leaf.name not in world.unreadable
    if due <= world.now and ready:
        body = children.generated(leaf, world.name, "certificate", server, type="kubernetes.io/tls")
        material = LeafMaterial(authority.name, own_names(world), DAYS)
        version = world.secrets[leaf.name].version if leaf.name in world.secrets else ""
        result.generates.append(Generate(leaf, body, material, version))


def _due(world: World, issued: Certificate) -> float:
    """When the certificate is to be renewed; 0 when it does not fit the names or the CA any more."""
    ca = world.secrets.get(names.authority(world.name))
    if set(issued.names) != set(own_names(world)):
        return 0.0
    if ca is not None and not tls.issued_by(issued.chain, tls.Pair(_text(ca.data.get("tls.crt", b"")), "")):
        return 0.0
    start, end = tls.validity(issued.chain)
    return start + (end - start) * RENEWED_AT


def _read(world: World, name: str) -> Certificate | Finding:
    chain, key = text(world, name, "tls.crt"), text(world, name, "tls.key")
    if isinstance(chain, Finding):
        return chain
    if isinstance(key, Finding):
        return key
    try:
        tls.check_pair(chain[1], key[1])
        return Certificate(names=tls.names_of(chain[1]), chain=chain[1] + "\n", key=key[1] + "\n")
    except tls.BadCertificate as error:
        return Finding("BadCertificate", f"Secret {name}: {error}", "Replace tls.crt and tls.key in the Secret.")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
