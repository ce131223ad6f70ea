"""Signing keys: generated ones for domains that declare none, and the rows of all that can be used."""

from __future__ import annotations

from dataclasses import dataclass, field

from postrider.contract import dkim
from postrider.contract.model import DkimKey as Row
from postrider_operator.kinds import DkimKey, MailDomain
from postrider_operator.kinds.dkimkey import DkimKeySpec
from postrider_operator.kinds.resource import Metadata
from postrider_operator.plan import children, names
from postrider_operator.plan.claims import Settled
from postrider_operator.plan.desired import GROUP, Apply, Delete, Generate, KeyMaterial
from postrider_operator.plan.findings import Finding, Findings, busy
from postrider_operator.plan.mine import Mine, ref
from postrider_operator.plan.secrets import name_taken, text
from postrider_operator.world import Ref, World


@dataclass(slots=True)
class Keys:
    """What was found and is to be made."""

    #: Candidates for the snapshot.
    rows: list[Row] = field(default_factory=list)
    generates: list[Generate] = field(default_factory=list)
    applies: list[Apply] = field(default_factory=list)
    deletes: list[Delete] = field(default_factory=list)
    #: Domains whose generated keys are still being made: they do not serve before, or they would send unsigned mail.
    unsigned: set[str] = field(default_factory=set)


def is_generated(key: DkimKey) -> bool:
    """Whether the operator made this DkimKey object."""
    return key.metadata.labels.get(names.CONTENT) == "dkim" and names.is_ours(key.metadata.labels)


def secret_name(key: DkimKey) -> str:
    """The Secret that holds, or will hold, a private key."""
    return key.spec.secret_ref.name if key.spec.secret_ref else names.dkim_secret(key.metadata.name)


def plan_keys(world: World, mine: Mine, settled: Settled, findings: Findings) -> Keys:
    """Keys of all domains that have been settled on somebody."""
    result = Keys()
    declared: dict[str, list[DkimKey]] = {}
    for name, key in mine.keys:
        declared.setdefault(name, []).append(key)
    for name, domain in mine.domains:
        if settled.winner[name] != ("MailDomain", domain.metadata.name, name):
            continue
        _domain(world, (name, domain, declared.get(name, [])), findings, result)
    return result


def wanted(world: World) -> set[str]:
    """Names of the Secrets private keys are in, those of DkimKeys that are still to be generated included."""
    found = {secret_name(key) for key in world.keys}
    for domain in world.domains:
        found |= {secret_name(_generated(world, domain, *row)) for row in names.GENERATED_SELECTORS}
    return found


def _domain(world: World, of: tuple[str, MailDomain, list[DkimKey]], findings: Findings, result: Keys) -> None:
    name, domain, declared = of
    made = {key.metadata.name: key for key in declared if is_generated(key)}
    before = len(result.rows)
    for key in declared:
        if key.metadata.name not in made:
            _key(world, (name, domain, key), findings, result)
    if len(result.rows) > before:
        # Whoever declares keys declares all of them; the Secrets of ours stay.
        result.deletes += [Delete(ref(key), key.metadata.uid) for key in made.values()]
        return
    if domain.metadata.name in result.unsigned:
        return  # a declared key is on its way
    for row in names.GENERATED_SELECTORS:
        key = _generated(world, domain, *row)
        if key.metadata.name not in made:
            spec = key.spec.model_dump(by_alias=True, exclude_defaults=True) | {"algorithm": key.spec.algorithm}
            result.generates.append(
                Generate(ref(key), children.generated(ref(key), world.name, "dkim", domain, spec=spec))
            )
            made[key.metadata.name] = key
    for key in made.values():
        _key(world, (name, domain, key), findings, result)


def _generated(world: World, domain: MailDomain, selector: str, algorithm: dkim.Algorithm) -> DkimKey:
    name = names.dkim_key(domain.metadata.name, selector)
    spec = DkimKeySpec(
        domain=domain.domain, selector=selector, algorithm=algorithm, deletion_policy=domain.spec.deletion_policy
    )
    labels = names.labels(world.name) | {names.CONTENT: "dkim"}
    return DkimKey(metadata=Metadata(name=name, namespace=world.namespace, labels=labels), spec=spec)


def _key(world: World, row: tuple[str, MailDomain, DkimKey], findings: Findings, result: Keys) -> None:
    domain, parent, key = row
    at = Ref("Secret", world.namespace, secret_name(key))
    if key.spec.secret_ref is None and not _ours(world, at, key, (parent, findings, result)):
        return
    found = text(world, at.name, key.spec.secret_ref.key if key.spec.secret_ref else "key.pem")
    pem = found if isinstance(found, Finding) else _checked(key, found[1])
    if isinstance(pem, Finding):
        findings.add(ref(key), pem)
        result.rows += _last_good(world, key)
        return
    row_ = Row(
        domain=domain,
        selector=key.spec.selector,
        algorithm=key.spec.algorithm,
        pem=pem,
        namespace=world.namespace,
        resource=key.metadata.name,
    )
    result.rows.append(row_)


def _ours(world: World, at: Ref, key: DkimKey, about: tuple[MailDomain, Findings, Keys]) -> bool:
    """Whether the generated Secret is there; asks for it where it is not."""
    parent, findings, result = about
    present = children.child(world, at)
    if present is not None and not names.is_ours(present.labels):
        findings.add(ref(key), name_taken(at))
        return False
    # What holds for generated keys the MailDomain says, now and not when they were made.
    policy = parent.spec.deletion_policy if is_generated(key) else key.spec.deletion_policy
    owner = key if policy == "Delete" and key.metadata.uid else None
    if at.name in world.secrets or at.name in world.unreadable:
        if present is not None and (apply := children.ownership(at, present, owner)):
            result.applies.append(apply)
        return True
    body = children.generated(at, world.name, "dkim", None, type="Opaque")
    body["metadata"]["annotations"] = {
        f"{GROUP}/domain": key.spec.domain,
        f"{GROUP}/selector": key.spec.selector,
        f"{GROUP}/algorithm": key.spec.algorithm,
    }
    result.generates.append(Generate(at, body, KeyMaterial(key.spec.algorithm)))
    result.unsigned.add(parent.metadata.name)
    findings.add(ref(key), busy("the key is being generated"))
    return False


def _checked(key: DkimKey, pem: str) -> str | Finding:
    action = "Replace it, or delete the Secret and a new key is generated."
    if key.spec.secret_ref:
        action = "Store the private key as PEM."
    try:
        algorithm = dkim.algorithm_of(dkim.load(pem))
    except dkim.BadKey as error:
        return Finding("BadKey", f"the key in Secret {secret_name(key)} is {error}", action)
    if algorithm != key.spec.algorithm:
        return Finding("BadKey", f"spec.algorithm is {key.spec.algorithm}, the key is {algorithm}", action)
    return pem + "\n"


def _last_good(world: World, key: DkimKey) -> list[Row]:
    rows = world.previous.keys if world.previous else ()
    return [row for row in rows if row.resource == key.metadata.name]
