"""FETCH: messages read in slices and sent as they are read; nothing of the store is held while output waits."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import msgspec

from postrider.edge.imap_session import ImapSession
from postrider.mailbox.actions import FlagEdit
from postrider.mailbox.query import flags_at
from postrider.mime.encoding import decode_transfer
from postrider.model.mail import Content
from postrider.protocols.imap import events as e
from postrider.protocols.imap import responses as r
from postrider.protocols.imap.fetch import Depth, depth, flag_lines, item_text
from postrider.protocols.imap.responses import Status
from postrider.protocols.imap.sections import Place, Span, locate, select_fields
from postrider.store.transactions import FlagChange, Reason, StoreError
from postrider.store.values import Flag, FlagRow, MessageRow

#: Messages read at once, by how much is read of each.
SLICES = {Depth.FLAGS: 2000, Depth.ROW: 500, Depth.CONTENT: 200, Depth.BODY: 50}
#: Octets of a body read and sent at once.
BODY_SLICE = 128 * 1024
#: A piece of a body beyond it is sent at once, with what was collected before it.
PIECE = 16 * 1024


@dataclass(frozen=True, slots=True)
class Plan:
    """One FETCH, understood."""

    items: tuple[e.FetchItem, ...]
    depth: Depth
    #: Only messages changed after it; None is all.
    since: int | None
    #: Bodies are read as people read: \\Seen is set.
    seeing: bool

    @property
    def structured(self) -> bool:
        """True when an item asks for more than whole messages."""
        return self.depth is Depth.CONTENT or any(_structured(item) for item in self.items)


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
    complete = readable = True
    for positions in picked.chunks(SLICES[plan.depth]):
        rows = await _rows(session, plan, positions)
        complete = complete and len(rows) == len(positions)
        if plan.since is not None:
            rows = [row for row in rows if row[1].modseq > plan.since]
        if plan.depth is Depth.FLAGS:
            await session.send(flag_lines(plan.items, rows, session.view.recent))
        else:
            readable = await _send_rows(session, plan, rows) and readable
    if not readable:
        await session.tell(expunge=event.by_uid)
        session.refuse("Some messages could not be read", b"UNAVAILABLE")
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
    return Plan(items, depth(items), event.changed_since, seeing)


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
    changes = await session.deps.store.reader.changes(session.user.account, view.mailbox.id, since)
    highest = view.uids[-1] if view.uids else 0
    ranges = [(low, max(high if high <= 0xFFFFFFFF else highest, low)) for low, high in event.messages or ()]
    gone = sorted(
        uid
        for vanished in changes.vanished
        for uid in vanished.uids
        if not view.number(uid) and any(low <= uid <= high for low, high in ranges)
    )
    if gone:
        await session.send([b"* VANISHED (EARLIER) %b\r\n" % r.compact_set(gone)])


async def _send_rows(session: ImapSession, plan: Plan, rows: Sequence[tuple[int, FlagRow | MessageRow]]) -> bool:
    """Send whole responses; False when a message could not be read: it is left out, the others are not."""
    lines: list[bytes] = []
    complete = True
    structured = plan.structured
    for number, row in rows:
        if not isinstance(row, MessageRow):
            continue
        begun = len(lines)
        sent = session.sent
        try:
            content = await session.scanned(row) if structured else None
            await _collect(session, plan, (number, row, content), lines)
        except StoreError:
            session.deps.events.emit("server.failure", listener="imap", uid=row.uid, exc_info=True)
            if session.sent != sent:  # half a response is out: nothing that follows could be understood
                session.link.abort()
                raise ConnectionAbortedError("a message could not be read to its end") from None
            del lines[begun:]
            complete = False
        await session.send(lines, always=False)
    await session.send(lines)
    return complete


async def _collect(
    session: ImapSession, plan: Plan, message: tuple[int, MessageRow, Content | None], lines: list[bytes]
) -> None:
    """One message's response, sent on the way when it grows large."""
    number, row, content = message
    lines.append(b"* %d FETCH (" % number)
    separator = b""
    for item in plan.items:
        lines.append(separator)
        separator = b" "
        if isinstance(item, str):
            lines.append(item_text(item, row, content, session.view.recent))
            continue
        async for piece in _section(session, row, content, item):
            lines.append(piece)
            if len(piece) > PIECE:
                await session.send(lines)
    lines.append(b")\r\n")


async def _section(
    session: ImapSession, row: MessageRow, content: Content | None, section: e.Section
) -> AsyncIterator[bytes]:
    """A section's response, piece by piece. Without `content` it is the whole message."""
    whole = Place(True, Span(0, row.blob.size))
    place = whole if content is None else locate(section, content, row.blob.size)
    if section.size_only:
        size = 0 if place is None else len(await _decoded(session, row, place))
        yield b"%b %d" % (section.label, size)
    elif place is None:
        yield section.label + b" NIL"
    elif section.binary:
        data = _cut(await _decoded(session, row, place), section.partial)
        # RFC 9051 §4.3: only a literal8 may hold NUL.
        yield b"%b %b{%d}\r\n" % (section.label, b"~" if b"\x00" in data else b"", len(data))
        yield data
    elif content is not None and section.text.startswith("HEADER"):
        data = await _header(session, row, content, place)
        if section.fields:
            data = select_fields(data, section.fields, exclude=section.text == "HEADER.FIELDS.NOT")
        data = _cut(data, section.partial)
        yield b"%b {%d}\r\n" % (section.label, len(data))
        yield data
    else:
        async for piece in _raw(session, row, place, section):
            yield piece


async def _raw(session: ImapSession, row: MessageRow, place: Place, section: e.Section) -> AsyncIterator[bytes]:
    """Octets as they are: prefix and blob, or a slice of them (RFC 9051 §6.4.5 partial)."""
    prefix = row.prefix if place.prefix else b""
    whole = len(prefix) + place.span.end - place.span.start
    start, length = section.partial or (0, whole)
    start = min(start, whole)
    stop = min(start + length, whole)
    yield b"%b {%d}\r\n" % (section.label, stop - start)
    if start < len(prefix):
        yield prefix[start:stop]
    at = place.span.start + max(start - len(prefix), 0)
    end = place.span.start + max(stop - len(prefix), 0)
    reader = session.deps.store.reader
    while at < end:
        piece = await reader.body(session.user.account, row.blob, at, min(BODY_SLICE, end - at))
        if not piece:
            raise StoreError(Reason.UNAVAILABLE, "a body is shorter than it should be")
        yield piece
        at += len(piece)


async def _header(session: ImapSession, row: MessageRow, content: Content, place: Place) -> bytes:
    """A header, out of the cache where it is there."""
    prefix = row.prefix if place.prefix else b""
    if content.header and place.span == Span(content.root.header, content.root.body):
        return prefix + content.header
    return prefix + await _blob(session, row, place)


async def _blob(session: ImapSession, row: MessageRow, place: Place) -> bytes:
    span = place.span
    if span.start >= span.end:
        return b""
    return await session.deps.store.reader.body(session.user.account, row.blob, span.start, span.end - span.start)


async def _decoded(session: ImapSession, row: MessageRow, place: Place) -> bytes:
    prefix = row.prefix if place.prefix else b""
    return prefix + decode_transfer(await _blob(session, row, place), place.encoding)


def _cut(data: bytes, partial: tuple[int, int] | None) -> bytes:
    return data if partial is None else data[partial[0] : partial[0] + partial[1]]
