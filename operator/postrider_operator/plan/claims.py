"""Who may have a domain or an address: the first to have claimed it, as remembered in the snapshot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import msgspec

from postrider.contract.model import Claim, Snapshot
from postrider_operator.kinds import Resource

#: A claim of a resource that is gone lapses when another has held the name for this long (seconds).
LAPSE = 3600
#: How long claims of what is gone are remembered (seconds).
REMEMBERED = 90 * 24 * 3600

#: (kind, name of the resource, what it claims)
Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Memory:
    """What the last snapshot knows of claims."""

    since: Mapping[Key, int]
    gone: Mapping[Key, Claim]
    #: What is claimed -> the resource whose row serves.
    holder: Mapping[str, Key]
    #: Of those that serve: whether their mail goes with them.
    release: frozenset[Key]


@dataclass(slots=True)
class Settled:
    """The outcome: since when each object claims, and who serves."""

    since: dict[Key, int] = field(default_factory=dict)
    winner: dict[str, Key] = field(default_factory=dict)


def memory(previous: Snapshot | None) -> Memory:
    """Read the claims out of a snapshot."""
    if previous is None:
        return Memory({}, {}, {}, frozenset())
    holder: dict[str, Key] = {}
    since: dict[Key, int] = {}
    for key, first in (
        *((("MailDomain", row.resource, row.name), row.since) for row in previous.domains),
        *((("Mailbox", row.resource, row.address), row.since) for row in previous.mailboxes),
        *((("Alias", row.resource, row.address), row.since) for row in previous.aliases),
    ):
        holder[key[2]] = key
        since[key] = first
    gone: dict[Key, Claim] = {(c.kind, c.resource, c.key): c for c in previous.claims if c.gone}
    since |= {(c.kind, c.resource, c.key): c.since for c in previous.claims}
    release = frozenset(("Mailbox", row.resource, row.address) for row in previous.mailboxes if row.release)
    return Memory(since, gone, holder, release)


def settle(claimants: Iterable[tuple[str, Resource]], remembered: Memory, now: float) -> Settled:
    """Decide for every name who has it: the earliest claim; among new ones the oldest object.

    New claims on one name get moments of their own, so that their order is remembered too.
    """
    settled = Settled()
    rivals: dict[str, list[tuple[str, Resource]]] = {}
    for what, resource in claimants:
        rivals.setdefault(what, []).append((what, resource))
    for what, group in rivals.items():
        known: list[tuple[int, bool, str, Key]] = []
        new: list[tuple[str, Key]] = []
        for _, resource in group:
            key = (resource.INFO.kind, resource.metadata.name, what)
            since = _remembered(key, remembered, now)
            if since:
                known.append((since, remembered.holder.get(what) != key, resource.metadata.creation_timestamp, key))
            else:
                new.append((resource.metadata.creation_timestamp, key))
        last = 0
        for since, _, _, key in sorted(known):
            settled.since[key] = last = max(since, last)
            settled.winner.setdefault(what, key)
        for _, key in sorted(new):
            settled.since[key] = last = max(int(now), last + 1)
            settled.winner.setdefault(what, key)
    return settled


def to_keep(
    settled: Settled, remembered: Memory, serving: Iterable[Key], namespace: str, now: float
) -> tuple[Claim, ...]:
    """The claims that no row of the new snapshot holds: of those that lost or wait, and of those that are gone."""
    rows = set(serving)
    held = {what for _, _, what in rows}
    living = (
        Claim(kind=key[0], key=key[2], namespace=namespace, resource=key[1], since=since)  # type: ignore[arg-type]
        for key, since in settled.since.items()
        if key not in rows
    )
    gone = (
        _gone(key, since, remembered, namespace, now)
        for key, since in remembered.since.items()
        if key not in settled.since and key not in rows
    )
    # An account that somebody else has by now is not to be emptied, not even after that one.
    kept = (msgspec.structs.replace(claim, release=claim.release and claim.key not in held) for claim in gone)
    return (*living, *(claim for claim in kept if now - claim.gone < REMEMBERED))


def _gone(key: Key, since: int, remembered: Memory, namespace: str, now: float) -> Claim:
    if key in remembered.gone:
        return remembered.gone[key]
    return Claim(
        kind=key[0],  # type: ignore[arg-type]
        key=key[2],
        namespace=namespace,
        resource=key[1],
        since=since,
        gone=int(now),
        release=key in remembered.release,
    )


def _remembered(key: Key, remembered: Memory, now: float) -> int:
    """Since when a resource claims; 0 when it is new, or was away while another held the name for long."""
    claim = remembered.gone.get(key)
    holder = remembered.holder.get(key[2])
    if claim is not None and holder not in (None, key) and now - claim.gone > LAPSE:
        return 0
    return remembered.since.get(key, 0)
