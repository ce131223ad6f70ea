"""The status of every object, and the events that tell of its transitions. Only what changed is handed out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from postrider.contract import dkim
from postrider.contract.dns import TTL, Record
from postrider.contract.model import Snapshot
from postrider_operator.kinds import DkimKey, MailDomain, Resource
from postrider_operator.plan import dkim as keys
from postrider_operator.plan import dns, secrets
from postrider_operator.plan.conditions import TRUE, UNKNOWN, Verdict, conditions
from postrider_operator.plan.desired import Event, StatusPatch
from postrider_operator.plan.findings import BUSY, Findings
from postrider_operator.plan.mine import Mine, ref
from postrider_operator.plan.readiness import Row, verdicts
from postrider_operator.world import World

#: Kinds whose becoming ready is worth an event; of thousands of mailboxes it is not.
_TOLD = frozenset({"MailServer", "MailDomain"})


@dataclass(slots=True)
class Statuses:
    """Patches and events, and the DNS questions that came up."""

    patches: list[StatusPatch] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    questions: list[tuple[str, str]] = field(default_factory=list)

    def put(
        self, world: World, resource: Resource, found: Mapping[str, Verdict], row: Row | None = None, **fields: Any
    ) -> None:
        """Note an object's status if it differs from the one it has; empty fields are left out.

        configGeneration is that of the row once it is served; until then the one that was served last stays.
        """
        status: dict[str, Any] = {name: value for name, value in fields.items() if value not in ("", (), [], 0, None)}
        served = row.changed if row and found["Ready"].status == TRUE else resource.status.get("configGeneration", 0)
        if served:
            status["configGeneration"] = served
        status["observedGeneration"] = resource.metadata.generation
        status["conditions"] = conditions(world, resource, found)
        if _comparable(status) == _comparable(resource.status):
            return
        self.patches.append(StatusPatch(ref(resource), resource.metadata.uid, status))
        event = _event(resource, found.get("Ready"))
        if event is not None:
            self.events.append(event)


@dataclass(frozen=True, slots=True)
class _Index:
    """Rows of the snapshot by the name of their resource."""

    domains: Mapping[str, int]
    mailboxes: Mapping[str, int]
    aliases: Mapping[str, int]
    keys: Mapping[str, int]


def statuses(world: World, mine: Mine, snapshot: Snapshot | None, findings: Findings) -> Statuses:
    """Statuses of everything but the MailServer itself."""
    result = Statuses()
    index = _index(snapshot)
    for name, domain in mine.domains:
        _domain(world, (name, domain, index.domains.get(domain.metadata.name, 0)), snapshot, (findings, result))
    for address, mailbox in mine.mailboxes:
        row = Row(index.mailboxes.get(mailbox.metadata.name, 0), f"{address} receives mail and may log in.")
        _plain(world, mailbox, row, (findings, result), secretName=secrets.secret_name(mailbox))
    for address, alias in mine.aliases:
        row = Row(index.aliases.get(alias.metadata.name, 0), f"Mail for {address} goes to its targets.")
        _plain(world, alias, row, (findings, result))
    for name, key in mine.keys:
        _key(world, (name, key, index.keys.get(key.metadata.name, 0)), snapshot, (findings, result))
    for orphan in mine.orphans:
        _plain(world, orphan, Row(0, ""), (findings, result))
    return result


def _index(snapshot: Snapshot | None) -> _Index:
    if snapshot is None:
        return _Index({}, {}, {}, {})

    def changed(rows: Iterable[Any]) -> dict[str, int]:
        return {row.resource: row.changed for row in rows}

    return _Index(
        changed(snapshot.domains), changed(snapshot.mailboxes), changed(snapshot.aliases), changed(snapshot.keys)
    )


def _plain(world: World, resource: Resource, row: Row, of: tuple[Findings, Statuses], **fields: Any) -> None:
    findings, result = of
    result.put(world, resource, verdicts(world, resource, row, findings), row, **fields)


def _domain(
    world: World, of: tuple[str, MailDomain, int], snapshot: Snapshot | None, to: tuple[Findings, Statuses]
) -> None:
    name, domain, changed = of
    findings, result = to
    records = dns.wanted(snapshot, name) if changed else dns.Wanted(())
    result.questions += records.questions()
    selectors = next((d.selectors for d in snapshot.domains if d.name == name), ()) if snapshot and changed else ()
    signed = "mail from it is signed" if selectors else "mail from it is not signed: none of its keys can be used"
    row = Row(changed, f"Mail for {name} is taken, and {signed}.")
    found = {**verdicts(world, domain, row, findings), **dns.verdicts(world, name, records)}
    fields = {"domain": name, "selectors": list(selectors), "dnsRecords": records.as_status()}
    result.put(world, domain, found, row, **fields)


def _key(world: World, of: tuple[str, DkimKey, int], snapshot: Snapshot | None, to: tuple[Findings, Statuses]) -> None:
    name, key, changed = of
    findings, result = to
    row = Row(changed, f"It signs mail from {name}.")
    found = dict(verdicts(world, key, row, findings))
    pem = next((r.pem for r in snapshot.keys if r.resource == key.metadata.name), "") if snapshot else ""
    fields: dict[str, Any] = {"secretName": keys.secret_name(key)}
    if pem:
        record = Record(dkim.record_name(key.spec.selector, name), "TXT", TTL, dkim.public_txt(pem))
        fields["dnsRecord"] = dns.Wanted((record,)).as_status()[0]
        found["DNSReady"] = dns.key_verdict(world, record)
    else:
        found["DNSReady"] = Verdict(UNKNOWN, "NotServed", "Nothing to publish before there is a key.")
    result.put(world, key, found, row, **fields)


def _event(resource: Resource, ready: Verdict | None) -> Event | None:
    """An event where Ready went over to another state or reason: failures of all, readiness of the few."""
    if ready is None:
        return None
    last = resource.condition("Ready")
    if (last.get("status"), last.get("reason")) == (ready.status, ready.reason):
        return None
    if ready.status == TRUE:
        told = resource.INFO.kind in _TOLD or last.get("reason") not in (None, BUSY, "Pending")
        type_ = "Normal"
    else:
        told = ready.reason not in (BUSY, "Loading", "Pending", "Generating", "Starting")
        type_ = "Warning"
    if not told:
        return None
    return Event(ref(resource), resource.metadata.uid, type_, ready.reason, ready.message)  # type: ignore[arg-type]


def _comparable(status: Mapping[str, Any]) -> Mapping[str, Any]:
    """A status without what the order of conditions or an absent empty field would make of it."""
    rows = {row["type"]: dict(row) for row in status.get("conditions", ())}
    return {**{key: value for key, value in status.items() if value}, "conditions": rows}
