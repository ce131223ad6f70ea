"""Which of a namespace's objects belong to a World's MailServer, in their normal form."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from postrider.model.address import AddressError, normal_domain, own_domain, parse_address
from postrider_operator.kinds import Alias, DkimKey, Mailbox, MailDomain, Resource
from postrider_operator.plan.findings import Finding, Findings
from postrider_operator.world import Ref, World

R = TypeVar("R", bound=Resource)

#: The MailServer that is meant where none is named; it also tells objects that belong to none what they lack.
DEFAULT_SERVER = "default"


@dataclass(frozen=True, slots=True)
class Mine:
    """Objects of this MailServer that are not being deleted, each list sorted by name."""

    #: Domain in A-labels -> its MailDomains; more than one is a conflict.
    domains: tuple[tuple[str, MailDomain], ...]
    #: (address in normal form, object) in one of these domains.
    mailboxes: tuple[tuple[str, Mailbox], ...]
    aliases: tuple[tuple[str, Alias], ...]
    #: (domain in A-labels, object).
    keys: tuple[tuple[str, DkimKey], ...]
    #: Objects without a MailDomain anywhere in the namespace; only the default server's World has them.
    orphans: tuple[Resource, ...]


def ref(resource: Resource) -> Ref:
    """The Ref of one of our own objects."""
    return Ref(resource.INFO.kind, resource.metadata.namespace, resource.metadata.name)


def mine(world: World, findings: Findings) -> Mine:
    """Pick this server's objects; what has no readable name is reported and left out."""
    everywhere = {name: d for d in _alive(world.domains) if (name := _domain(d.domain))}
    domains = [
        (name, d) for d in _alive(world.domains) if d.spec.server_ref.name == world.name for name in _named(d, findings)
    ]
    names = {name for name, _ in domains}
    orphans: list[Resource] = []

    def chosen(objects: Iterable[R]) -> tuple[tuple[str, R], ...]:
        rows: list[tuple[str, R]] = []
        for resource in _alive(objects):
            key, fault = _key(resource)
            home = key.rpartition("@")[2]
            if home in names and not fault:
                rows.append((key, resource))
            elif world.name == DEFAULT_SERVER and (fault or home not in everywhere):
                orphans.append(resource)
                findings.add(ref(resource), fault or _no_domain(home))
        return tuple(rows)

    mailboxes, aliases, keys = chosen(world.mailboxes), chosen(world.aliases), chosen(world.keys)
    return Mine(tuple(domains), mailboxes, aliases, keys, tuple(orphans))


def _alive(objects: Iterable[R]) -> list[R]:
    return sorted((o for o in objects if not o.deleting), key=lambda o: o.metadata.name)


def _named(domain: MailDomain, findings: Findings) -> Iterable[str]:
    try:
        return (own_domain(domain.domain),)
    except AddressError as error:
        findings.add(ref(domain), Finding("InvalidDomain", str(error), "Make a new MailDomain with a valid domain."))
        return ()


def _domain(text: str) -> str:
    try:
        return normal_domain(text)
    except AddressError:
        return ""


def _key(resource: Resource) -> tuple[str, Finding | None]:
    """The address or domain an object is for, in normal form, or what is wrong with it."""
    try:
        if isinstance(resource, DkimKey):
            return normal_domain(resource.spec.domain), None
        if isinstance(resource, Mailbox | Alias):
            return parse_address(resource.spec.address).key, None
    except AddressError as error:
        kind = resource.INFO.kind
        return "", Finding("InvalidAddress", str(error), f"Make a new {kind} with a valid address.")
    raise TypeError(f"{resource.INFO.kind} has no address")


def _no_domain(domain: str) -> Finding:
    return Finding("Pending", f"there is no MailDomain for {domain}", "It will serve when there is one.", waits=True)
