"""The snapshot to publish: good rows, last good rows in place of bad ones, claims, and a generation that only grows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from postrider.contract import check as contract
from postrider.contract import files
from postrider.contract.check import Problem
from postrider.contract.model import READABLE, Certificate, NamedSecret, Snapshot
from postrider_operator.plan import claims, rows
from postrider_operator.plan.claims import Memory, Settled
from postrider_operator.plan.desired import GROUP
from postrider_operator.plan.dkim import Keys
from postrider_operator.plan.findings import Finding, Findings, busy
from postrider_operator.plan.mine import Mine
from postrider_operator.plan.storage import Stored, with_storage
from postrider_operator.world import Ref, World

#: Annotation of a MailServer: the held generation whose losses are meant.
ACKNOWLEDGE = f"{GROUP}/acknowledge"
#: More than this many vanished mailboxes, and more than this share of all, are believed only when acknowledged.
LOSS_COUNT = 10
LOSS_SHARE = 0.05

_FIELDS = {"MailDomain": "domains", "Mailbox": "mailboxes", "Alias": "aliases", "DkimKey": "keys"}


@dataclass(frozen=True, slots=True)
class Held:
    """Losses that wait for their acknowledgement."""

    generation: int
    lost: int
    of: int


@dataclass(frozen=True, slots=True)
class Published:
    """The outcome."""

    #: None while there is nothing that could be served (no valid server, no certificate yet).
    snapshot: Snapshot | None
    #: Whether it differs from what is published.
    changed: bool = False
    held: Held | None = None


@dataclass(frozen=True, slots=True)
class Parts:
    """What other parts of the plan have found for the snapshot."""

    remembered: Memory
    settled: Settled
    keys: Keys
    certificates: tuple[Certificate, ...]
    secrets: tuple[NamedSecret, ...]
    #: None while mail could only be stored in another way than it is to be.
    stored: Stored | None


def build(world: World, mine: Mine, parts: Parts, findings: Findings) -> Published:
    """Everything declared as one snapshot; what is wrong with single objects is noted in `findings`."""
    server = with_storage(rows.server_row(world, findings), parts.stored)
    if server is None or not parts.certificates:
        return Published(world.previous)
    settled = parts.settled
    declared = Snapshot(
        server=server,
        version=_version(world),
        domains=tuple(rows.domain_rows(world, mine, parts.keys, settled, findings)),
        mailboxes=tuple(rows.mailbox_rows(world, mine, settled, findings)),
        aliases=tuple(rows.alias_rows(world, mine, settled, findings)),
        keys=tuple(parts.keys.rows),
        certificates=parts.certificates,
        secrets=(*parts.secrets, *(parts.stored.keys if parts.stored else ())),
    )
    good = _good(world, declared, findings)
    good, held = _with_losses_held(world, good)
    kept = claims.to_keep(settled, parts.remembered, rows.claim_keys(good), world.namespace, world.now)
    return _numbered(world, msgspec.structs.replace(good, claims=kept), held)


def next_generation(world: World) -> int:
    """The number after every one that was ever seen."""
    last = world.previous.generation if world.previous else 0
    return max([last, *(pod.loaded for pod in world.pods), *(pod.refused for pod in world.pods)]) + 1


def _version(world: World) -> int:
    """The highest snapshot version that all pods can read."""
    common = set(READABLE).intersection(*(pod.readable for pod in world.pods if pod.readable))
    return max(common or READABLE)


def _good(world: World, declared: Snapshot, findings: Findings) -> Snapshot:
    """The snapshot without what contract.check finds; instead of a bad row its last good one, where that still is."""
    problems = contract.check(declared)
    if not problems:
        return declared
    for problem in problems:
        findings.add(_subject(world, problem), _finding(problem))
    good = _with_last_rows(world, declared, [p for p in problems if p.drops])
    while found := [problem for problem in contract.check(good) if problem.drops and problem.kind in _FIELDS]:
        good = contract.without(good, found)
    return good


def _with_last_rows(world: World, declared: Snapshot, problems: Iterable[Problem]) -> Snapshot:
    changed = {}
    for kind, field in _FIELDS.items():
        bad = {problem.row for problem in problems if problem.kind == kind}
        if not bad or world.previous is None:
            continue
        last = {row.resource: row for row in getattr(world.previous, field)}
        now = getattr(declared, field)
        changed[field] = tuple(last.get(row.resource, row) if at in bad else row for at, row in enumerate(now))
    return msgspec.structs.replace(declared, **changed)


def _subject(world: World, problem: Problem) -> Ref:
    """Whose status tells of a problem; certificates and the relay's password are the MailServer's."""
    if problem.kind in _FIELDS:
        return Ref(problem.kind, world.namespace, problem.name)
    return Ref("MailServer", world.namespace, world.name)


def _finding(problem: Problem) -> Finding:
    if problem.reason == "UnknownDomain":
        return busy("its MailDomain does not serve yet")  # only objects of our own MailDomains come here
    waits = problem.reason == "UnknownTarget"
    reason = "Pending" if waits and problem.drops else problem.reason
    return Finding(reason, problem.message, problem.action, waits, problem.drops)


def _with_losses_held(world: World, good: Snapshot) -> tuple[Snapshot, Held | None]:
    """The snapshot with all vanished mailboxes put back when they are too many and nobody said that it is meant."""
    last = world.previous
    if last is None:
        return good, None
    there = {row.address for row in good.mailboxes}
    lost = [row for row in last.mailboxes if row.address not in there]
    if len(lost) <= max(LOSS_COUNT, LOSS_SHARE * len(last.mailboxes)):
        return good, None
    generation = last.held or next_generation(world)
    said = world.server.metadata.annotations.get(ACKNOWLEDGE, "").strip() if world.server else ""
    if last.held and said == str(generation):
        return good, None
    domains = {row.name for row in good.domains}
    homes = {row.address.rpartition("@")[2] for row in lost} - domains
    aliases = {row.address for row in good.aliases}
    kept = msgspec.structs.replace(
        good,
        mailboxes=(*good.mailboxes, *(row for row in lost if row.address not in aliases)),
        domains=(*good.domains, *(row for row in last.domains if row.name in homes)),
        keys=(*good.keys, *(row for row in last.keys if row.domain in homes)),
        held=generation,
    )
    return kept, Held(generation, len(lost), len(last.mailboxes))


def _numbered(world: World, wanted: Snapshot, held: Held | None) -> Published:
    last = world.previous
    # Pods that have served a later one (the manifest was lost) refuse to go back.
    if last is not None and next_generation(world) == last.generation + 1:
        same = rows.stamped(msgspec.structs.replace(wanted, generation=last.generation), last)
        if files.normal(same) == files.normal(last):
            return Published(last, changed=False, held=held)
    numbered = msgspec.structs.replace(wanted, generation=next_generation(world))
    return Published(files.normal(rows.stamped(numbered, last)), changed=True, held=held)
