"""FETCH: messages read in slices and sent as they are read; nothing of the store is held while output waits."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from postrider.edge.imap_sections import Letter, pieces, undecodable
from postrider.edge.imap_session import ImapSession
from postrider.mailbox.actions import FlagEdit
from postrider.mailbox.matching import flags_at
from postrider.protocols.imap import events as e
from postrider.protocols.imap import responses as r
from postrider.protocols.imap.fetch import Depth, depth, flag_lines, item_text
from postrider.protocols.imap.responses import Status
from postrider.store.transactions import FlagChange, StoreError
from postrider.store.values import Flag, FlagRow, MessageRow

#: Messages read at once, by how much is read of each.
SLICES = {Depth.FLAGS: 2000, Depth.ROW: 500, Depth.CONTENT: 200, Depth.BODY: 50}
#: A piece of a body beyond it is sent at once, with what was collected before it.
PIECE = 16 * 1024
#: Why messages are missing in the answer, the gravest first (RFC 9051 §7.1).
_FAILURES = {
    b"UNAVAILABLE": "Some messages could not be read",
    b"UNKNOWN-CTE": "Some parts are encoded in a way nobody here knows",
}


@dataclass(frozen=True, slots=True)
class Plan:
    """One FETCH, understood."""

    items: tuple[e.FetchItem, ...]
    depth: Depth
    #: Only messages changed after it; None is all.
    since: int | None
    #: Bodies are read as people read: \\Seen is set.
    seeing: bool
    #: An item asks for more than whole messages.
    structured: bool = False
    #: Items that ask for parts without their transfer encoding.
    binary: tuple[e.Section, ...] = ()


def _structured(item: e.FetchItem) -> bool:
    if isinstance(item, e.Section):
        return bool(item.part or item.text)
    return depth((item,)) is Depth.CONTENT


async def fetch(session: ImapSession, event: e.Fetch) -> None:
    """FETCH and UID FETCH."""
    if event.vanished and "QRESYNC" not in session.engine.enabled:
        session.engine.answer(Status.BAD, "ENABLE QRESYNC first")
        return
    if event.changed_since is not None or "MODSEQ" in event.items:
        session.enable_condstore()
    picked = session.view.pick(event.messages, by_uid=event.by_uid)
    if event.vanished and event.changed_since is not None:
        await _vanished(session, event, event.changed_since)
    plan = _plan(session, event)
    complete = True
    failures: set[bytes] = set()
    for positions in picked.chunks(SLICES[plan.depth]):
        rows = await _rows(session, plan, positions)
        complete = complete and len(rows) == len(positions)
        if plan.since is not None:
            rows = [row for row in rows if row[1].modseq > plan.since]
        if plan.depth is Depth.FLAGS:
            await session.send(flag_lines(plan.items, rows, session.view.recent))
        else:
            failures |= await _send_rows(session, plan, rows)
        await asyncio.sleep(0)  # the embedded reader never waits, nor does a client that takes everything at once
    for code, text in _FAILURES.items():
        if code in failures:
            await session.tell(expunge=event.by_uid)
            session.refuse(text, code)
            return
    # RFC 5530 §3: messages another session expunged, which this one was not told of yet.
    code = b"" if complete else b"EXPUNGEISSUED"
    await session.finish("Done" if complete else "Some messages are gone", code, expunge=event.by_uid)


def _plan(session: ImapSession, event: e.Fetch) -> Plan:
    items = event.items
    seeing = not session.view.read_only and any(
        isinstance(item, e.Section) and not item.peek and not item.size_only for item in items
    )
    if seeing and "FLAGS" not in items:
        items = (*items, "FLAGS")
    if event.changed_since is not None and "MODSEQ" not in items:
        items = (*items, "MODSEQ")  # RFC 7162 §3.1.4.1
    if event.by_uid and "UID" not in items:
        items = ("UID", *items)  # RFC 9051 §6.4.9
    binary = tuple(item for item in items if isinstance(item, e.Section) and (item.binary or item.size_only))
    return Plan(items, depth(items), event.changed_since, seeing, any(map(_structured, items)), binary)


async def _rows(session: ImapSession, plan: Plan, positions: Sequence[int]) -> list[tuple[int, FlagRow | MessageRow]]:
    """Message numbers and rows; those that are gone are missing."""
    view, reader, account = session.view, session.deps.store.reader, session.user.account
    rows: Sequence[FlagRow | MessageRow]
    if plan.depth is Depth.FLAGS:
        rows = await flags_at(reader, account, view, positions)
    else:
        rows = await reader.messages(account, view.mailbox.id, view.uids_at(positions))
    if plan.seeing:
        rows = await _see(session, rows)
    if len(rows) == len(positions):
        return [(at + 1, row) for at, row in zip(positions, rows, strict=True)]
    return [(view.number(row.uid), row) for row in rows]


async def _see(session: ImapSession, rows: Sequence[FlagRow | MessageRow]) -> Sequence[FlagRow | MessageRow]:
    r"""Set \Seen on those that lack it; the rows as they are then."""
    view = session.view
    unseen = [row.uid for row in rows if not row.flags & Flag.SEEN]
    if not unseen:
        return rows
    await session.user.actions.set_flags(view.mailbox.id, unseen, FlagEdit(FlagChange.ADD, Flag.SEEN))
    fresh = {row.uid: row for row in await flags_at(
        session.deps.store.reader, session.user.account, view, [view.number(uid) - 1 for uid in unseen]
    )}  # fmt: skip
    view.told.update((uid, row.modseq) for uid, row in fresh.items())
    return [
        msgspec.structs.replace(row, flags=found.flags, keywords=found.keywords, modseq=found.modseq)
        if (found := fresh.get(row.uid)) is not None
        else row
        for row in rows
    ]


async def _vanished(session: ImapSession, event: e.Fetch, since: int) -> None:
    """RFC 7162 §3.2.6: what of the asked-for set is gone since then."""
    view = session.view
    vanished = await session.vanished(since)
    highest = view.uids[-1] if view.uids else 0
    ranges = [(low, max(high if high <= 0xFFFFFFFF else highest, low)) for low, high in event.messages or ()]
    if gone := view.absent(vanished, ranges):
        await session.send([b"* VANISHED (EARLIER) %b\r\n" % r.set_of(gone)])


async def _send_rows(session: ImapSession, plan: Plan, rows: Sequence[tuple[int, FlagRow | MessageRow]]) -> set[bytes]:
    """Send whole responses; messages that cannot be read are left out, the codes of _FAILURES tell why."""
    lines: list[bytes] = []
    failures: set[bytes] = set()
    reader, account, contents = session.deps.store.reader, session.user.account, session.user.contents
    for number, row in rows:
        if not isinstance(row, MessageRow):
            continue
        begun = len(lines)
        sent = session.sent
        try:
            letter = Letter(reader, account, row, await contents.of(row) if plan.structured else None)
            if any(undecodable(letter, item) for item in plan.binary):
                failures.add(b"UNKNOWN-CTE")
                continue
            await _collect(session, plan, number, letter, lines)
        except StoreError as error:
            session.note(error, uid=row.uid)
            if session.sent != sent:  # half a response is out: nothing that follows could be understood
                session.link.abort()
                raise ConnectionAbortedError("a message could not be read to its end") from None
            del lines[begun:]
            failures.add(b"UNAVAILABLE")
        await session.send(lines, always=False)
    await session.send(lines)
    await contents.keep()
    return failures


async def _collect(session: ImapSession, plan: Plan, number: int, letter: Letter, lines: list[bytes]) -> None:
    """One message's response, sent on the way when it grows large."""
    lines.append(b"* %d FETCH (" % number)
    separator = b""
    for item in plan.items:
        lines.append(separator)
        separator = b" "
        if isinstance(item, str):
            lines.append(item_text(item, letter.row, letter.content, session.view.recent))
            continue
        async for piece in pieces(letter, item):
            lines.append(piece)
            if len(piece) > PIECE:
                await session.send(lines)
    lines.append(b")\r\n")
