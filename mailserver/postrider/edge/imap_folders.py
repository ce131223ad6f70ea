"""IMAP's commands on folders: SELECT, LIST, STATUS, CREATE and their like (RFC 9051 §6.3)."""

from __future__ import annotations

import asyncio
from array import array
from bisect import bisect_left
from collections.abc import Callable, Mapping

from postrider.edge.imap_session import ImapSession
from postrider.mailbox.listing import Folders, listing
from postrider.mailbox.names import INBOX, found_name
from postrider.mailbox.view import View
from postrider.protocols.imap import events as e
from postrider.protocols.imap import responses as r
from postrider.protocols.imap.fetch import flag_lines
from postrider.protocols.imap.responses import Status
from postrider.store.transactions import Reason, StoreError
from postrider.store.values import MailboxRow

#: Special uses that a client may give a new folder (RFC 6154 §2).
SPECIAL_USES = {use.lower(): use for use in ("\\Archive", "\\Drafts", "\\Flagged", "\\Junk", "\\Sent", "\\Trash")}

#: Wildcards of a LIST that is made without a thread.
FEW_WILDCARDS = 10


async def select(session: ImapSession, event: e.Select) -> None:
    """SELECT and EXAMINE."""
    engine = session.engine
    if event.qresync is not None and "QRESYNC" not in engine.enabled:
        engine.answer(Status.BAD, "ENABLE QRESYNC first")  # RFC 7162 §3.2.5
        return
    if session.view_or_none is not None:
        session.select(None)  # a SELECT that fails leaves nothing selected (RFC 9051 §6.3.2)
        engine.untagged(r.ok_code(b"CLOSED", b"Previous mailbox closed"))
    row = await session.folder(event.mailbox)
    if event.condstore:
        session.enable_condstore()
    view = View(row, event.read_only, array("I"), row.modseq, filled=False)
    recent = None
    if not session.rev2:
        view.recent = await _claim_recent(session, row, read_only=event.read_only)
        recent = await _count_recent(session, row, view.recent)
    opened = r.Opened(
        exists=len(view),
        uidvalidity=row.uidvalidity,
        uidnext=row.uidnext,
        modseq=row.modseq,
        read_only=event.read_only,
        recent=recent,
        mailbox_id=row.object_id,
    )
    engine.untagged(r.opened(opened))
    if session.rev2:
        engine.untagged(r.listed(r.Listed(row.name), utf8=True))
    session.select(view)
    if event.qresync is not None and event.qresync.uidvalidity == row.uidvalidity:
        await _resync(session, event.qresync)
    engine.answer(Status.OK, "Selected", b"READ-ONLY" if event.read_only else b"READ-WRITE")


async def _claim_recent(session: ImapSession, row: MailboxRow, *, read_only: bool) -> int:
    r"""From which UID on messages are \Recent to this session; those that nobody claimed (RFC 3501 §2.3.2)."""
    if read_only or row.recent >= row.uidnext:
        return row.recent
    try:
        return (await session.user.actions.take_recent(row.id)).first
    except StoreError as error:
        if error.reason is not Reason.NO_SPACE:
            raise
        return row.recent  # on a full disk mail can be read and expunged; the next SELECT claims it


async def _count_recent(session: ImapSession, row: MailboxRow, first: int) -> int:
    r"""How many messages of the row are \Recent to a session to which those from UID `first` on are."""
    if first <= 1 or first >= row.uidnext:
        return 0 if first >= row.uidnext else row.messages
    uids = await session.deps.store.reader.uids(session.user.account, row.id, above=first - 1)
    return bisect_left(uids, row.uidnext)


async def _resync(session: ImapSession, known: e.Resync) -> None:
    """What happened while the client was away (RFC 7162 §3.2.5.1)."""
    await session.fill()
    view = session.view
    gone = view.absent(await session.vanished(known.modseq), known.known or ((1, max(view.mailbox.uidnext - 1, 1)),))
    await session.send([b"* VANISHED (EARLIER) %b\r\n" % r.set_of(gone)] if gone else [])
    async for changes in session.history(known.modseq):
        changed = [(number, row) for row in changes.changed if (number := view.number(row.uid))]
        await session.send(flag_lines(("UID", "FLAGS", "MODSEQ"), changed, view.recent))


async def list_folders(session: ImapSession, event: e.List) -> None:
    """LIST and LSUB."""
    engine = session.engine
    if event.patterns == ("",) and not event.extended:
        engine.untagged(r.SEPARATOR_LSUB if event.lsub else r.SEPARATOR_LIST)
        await session.finish()
        return
    reader = session.deps.store.reader
    rows = await reader.mailboxes(session.user.account)
    folders = Folders(rows, frozenset(await reader.subscriptions(session.user.account)))
    by_name = {row.name: row for row in rows}
    # Long names and many wildcards in a pattern can take seconds, in which nobody else must have to wait.
    many = event.wildcards > FEW_WILDCARDS
    found = await asyncio.to_thread(listing, folders, event) if many else listing(folders, event)
    lines: list[bytes] = []
    for line in found:
        lines.append(r.listed(line, utf8=engine.utf8, lsub=event.lsub))
        if event.status and line.name in by_name:
            lines.append(await _status_line(session, by_name[line.name], event.status))
    engine.untagged(*lines)
    await session.finish()


async def namespace(session: ImapSession, _: e.Namespace) -> None:
    """NAMESPACE."""
    session.engine.untagged(r.NAMESPACE)
    await session.finish()


async def status(session: ImapSession, event: e.Status) -> None:
    """STATUS."""
    row = await session.folder(event.mailbox)
    if "HIGHESTMODSEQ" in event.items:
        session.enable_condstore()
    session.engine.untagged(await _status_line(session, row, event.items))
    await session.finish()


_STATUS: Mapping[str, Callable[[MailboxRow], int | str]] = {
    "MESSAGES": lambda row: row.messages,
    "UIDNEXT": lambda row: row.uidnext,
    "UIDVALIDITY": lambda row: row.uidvalidity,
    "UNSEEN": lambda row: row.unseen,
    "DELETED": lambda row: row.deleted,
    "SIZE": lambda row: row.bytes,
    "HIGHESTMODSEQ": lambda row: row.modseq,
    "MAILBOXID": lambda row: row.object_id,
}


async def _status_line(session: ImapSession, row: MailboxRow, names: tuple[str, ...]) -> bytes:
    items: list[tuple[str, int | str]] = []
    for name in names:
        if name == "RECENT":
            items.append((name, await _count_recent(session, row, row.recent)))
        elif name == "APPENDLIMIT":
            items.append((name, session.engine.config.append_limit))
        else:
            items.append((name, _STATUS[name](row)))
    return r.status(row.name, items, utf8=session.engine.utf8)


async def create(session: ImapSession, event: e.Create) -> None:
    """CREATE."""
    use = SPECIAL_USES.get(event.special_use.lower(), "") if event.special_use else ""
    if event.special_use and not use:
        session.refuse("This special use is not known", b"USEATTR")  # RFC 6154 §3
        return
    if found_name(event.mailbox) == INBOX:
        raise StoreError(Reason.EXISTS)
    made = await session.user.actions.create(event.mailbox, use)
    await session.finish("Created", b"MAILBOXID (%b)" % made.object_id.encode())


async def delete(session: ImapSession, event: e.Delete) -> None:
    """DELETE."""
    row = await session.folder(event.mailbox)
    await session.user.actions.delete(row.id)
    if session.view_or_none is not None and session.view.mailbox.id == row.id:
        session.select(None)
    await session.finish("Deleted")


async def rename(session: ImapSession, event: e.Rename) -> None:
    """RENAME."""
    row = await session.folder(event.mailbox)
    await session.user.actions.rename(session.deps.store.reader, row, event.name)
    await session.finish("Renamed")


async def subscribe(session: ImapSession, event: e.Subscribe) -> None:
    """SUBSCRIBE and UNSUBSCRIBE."""
    await session.user.actions.subscribe(event.mailbox, subscribed=event.subscribed)
    await session.finish()


async def close(session: ImapSession, event: e.Close) -> None:
    """CLOSE and UNSELECT."""
    view = session.view
    if event.expunge and not view.read_only:
        await session.user.actions.expunge_deleted(session.deps.store.reader, view.mailbox.id)
    session.select(None)
    session.engine.answer(Status.OK, "Closed")
