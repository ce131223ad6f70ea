"""Declared objects as rows of the contract: what each would be if nothing is wrong with the whole."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from postrider.contract.model import (
    Alias,
    DkimKey,
    Domain,
    Limits,
    Mailbox,
    QueuePolicy,
    Relay,
    Server,
    Snapshot,
)
from postrider.model.address import AddressError, normal_domain, own_domain, parse_address
from postrider_operator import kinds
from postrider_operator.kinds.mailserver import Relay as RelaySpec
from postrider_operator.kinds.texts import duration_seconds, size_bytes
from postrider_operator.plan import keeping, secrets
from postrider_operator.plan.claims import Key, Settled
from postrider_operator.plan.dkim import Keys
from postrider_operator.plan.findings import Finding, Findings, busy
from postrider_operator.plan.mine import Mine, ref
from postrider_operator.world import World

_Row = TypeVar("_Row", Domain, Mailbox, Alias, DkimKey)


def server_row(world: World, findings: Findings) -> Server | None:
    """The MailServer as a row; the last good one while its hostname is no name."""
    server = world.server
    if server is None:
        return None
    spec = server.spec
    try:
        hostname = own_domain(spec.hostname)
    except AddressError as error:
        findings.add(ref(server), Finding("InvalidHostname", str(error), "Correct spec.hostname."))
        return world.previous.server if world.previous else None
    return Server(
        hostname=hostname,
        namespace=world.namespace,
        name=world.name,
        limits=Limits(
            message_bytes=size_bytes(spec.limits.message_size),
            recipients_per_message=spec.limits.recipients_per_message,
            connections=spec.limits.connections,
            connections_per_ip=spec.limits.connections_per_address,
            login_failures=spec.limits.login_failures,
        ),
        queue=QueuePolicy(
            first_retry=duration_seconds(spec.queue.first_retry),
            max_retry=duration_seconds(spec.queue.max_retry),
            lifetime=duration_seconds(spec.queue.lifetime),
            delay_notice=duration_seconds(spec.queue.delay_notice),
        ),
        relay=_relay(spec.relay),
        postmaster=_target(spec.postmaster) if spec.postmaster else "",
        **keeping.defaults(spec.mailboxes),
    )


def domain_rows(world: World, mine: Mine, keys: Keys, settled: Settled, findings: Findings) -> list[Domain]:
    """Domains that may serve, each with the selectors it signs with."""
    selectors: dict[str, list[str]] = {}
    # RSA first: what everybody verifies stands on top of the message.
    for key in sorted(keys.rows, key=lambda key: (key.algorithm != "RSA", key.selector)):
        selectors.setdefault(key.domain, []).append(key.selector)
    known = {row.resource for row in world.previous.domains} if world.previous else set()
    rows = []
    for name, domain in mine.domains:
        claim = ("MailDomain", domain.metadata.name, name)
        if settled.winner[name] != claim:
            findings.add(ref(domain), conflict(name, settled.winner[name]))
            continue
        if domain.metadata.name in keys.unsigned and domain.metadata.name not in known:
            findings.add(ref(domain), busy("its DKIM keys are being generated"))
            continue
        row = Domain(
            name=name,
            namespace=world.namespace,
            resource=domain.metadata.name,
            since=settled.since[claim],
            selectors=tuple(selectors.get(name, ())),
            subaddress_separator=domain.spec.subaddress_separator,
            quota_bytes=size_bytes(domain.spec.quota) if domain.spec.quota else 0,
            **keeping.defaults(domain.spec.mailboxes),
        )
        rows.append(row)
    return rows


def mailbox_rows(world: World, mine: Mine, settled: Settled, findings: Findings) -> list[Mailbox]:
    """Mailboxes that may serve; one whose password cannot be had keeps its last good row."""
    known = {row.resource: row for row in world.previous.mailboxes} if world.previous else {}
    rows = []
    for address, mailbox in mine.mailboxes:
        claim = ("Mailbox", mailbox.metadata.name, address)
        if settled.winner[address] != claim:
            findings.add(ref(mailbox), conflict(address, settled.winner[address]))
            continue
        last = known.get(mailbox.metadata.name)
        login = secrets.login(world, mailbox, last)
        if isinstance(login, Finding):
            findings.add(ref(mailbox), login)
            rows += [last] if last is not None and last.address == address else []
            continue
        row = Mailbox(
            address=address,
            namespace=world.namespace,
            resource=mailbox.metadata.name,
            verifiers=login.verifiers,
            password_source=login.source,
            since=settled.since[claim],
            display_name=mailbox.spec.display_name,
            release=mailbox.spec.deletion_policy == "Delete",
            **keeping.fields(mailbox.spec),
        )
        rows.append(row)
    return rows


def alias_rows(world: World, mine: Mine, settled: Settled, findings: Findings) -> list[Alias]:
    """Aliases that may serve."""
    rows = []
    for address, alias in mine.aliases:
        claim = ("Alias", alias.metadata.name, address)
        if settled.winner[address] != claim:
            findings.add(ref(alias), conflict(address, settled.winner[address]))
            continue
        row = Alias(
            address=address,
            targets=tuple(dict.fromkeys(_target(target) for target in alias.spec.targets)),
            namespace=world.namespace,
            resource=alias.metadata.name,
            since=settled.since[claim],
        )
        rows.append(row)
    return rows


def claimants(mine: Mine) -> tuple[tuple[str, kinds.Resource], ...]:
    """Everything that claims a domain or an address."""
    return (*mine.domains, *mine.mailboxes, *mine.aliases)


def claim_keys(snapshot: Snapshot) -> tuple[Key, ...]:
    """The claims that stand in the rows of a snapshot."""
    return (
        *(("MailDomain", row.resource, row.name) for row in snapshot.domains),
        *(("Mailbox", row.resource, row.address) for row in snapshot.mailboxes),
        *(("Alias", row.resource, row.address) for row in snapshot.aliases),
    )


def conflict(what: str, winner: Key) -> Finding:
    """The finding for who came too late."""
    holder = f"{winner[0].lower()}/{winner[1]}"
    other = "address" if "@" in what else "domain"
    return Finding("Conflict", f"{what} was claimed first by {holder}", f"Use another {other}, or delete {holder}.")


def stamped(snapshot: Snapshot, previous: Snapshot | None) -> Snapshot:
    """The snapshot with each row marked with the generation it last changed in."""

    def marked(rows: tuple[_Row, ...], last: tuple[_Row, ...]) -> tuple[_Row, ...]:
        known = {msgspec.structs.replace(row, changed=0): row.changed for row in last}
        return tuple(
            msgspec.structs.replace(row, changed=known.get(row) or snapshot.generation)
            for row in (msgspec.structs.replace(row, changed=0) for row in rows)
        )

    last = previous or Snapshot(server=snapshot.server)
    return msgspec.structs.replace(
        snapshot,
        domains=marked(snapshot.domains, last.domains),
        mailboxes=marked(snapshot.mailboxes, last.mailboxes),
        aliases=marked(snapshot.aliases, last.aliases),
        keys=marked(snapshot.keys, last.keys),
    )


def _relay(spec: RelaySpec | None) -> Relay | None:
    if spec is None:
        return None
    key = secrets.RELAY if spec.username else ""
    return Relay(host=spec.host, port=spec.port, tls=spec.tls, username=spec.username, password_key=key)


def _target(text: str) -> str:
    """A target with its domain in A-labels; the local part as it was written, for it may be somebody else's."""
    try:
        address = parse_address(text)
        return f"{address.local}@{normal_domain(address.domain)}"
    except AddressError:
        return text  # contract.check says what is wrong with it
