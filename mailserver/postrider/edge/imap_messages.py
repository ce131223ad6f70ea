"""IMAP's commands that search and change messages: SEARCH, STORE, COPY, MOVE, EXPUNGE (RFC 9051 §6.4)."""

from __future__ import annotations

import asyncio
import functools
from array import array

from postrider.edge.imap_session import ImapSession
from postrider.mailbox import query
from postrider.mailbox.actions import FlagEdit, MovedInPart, Transferred
from postrider.mailbox.candidates import Scope
from postrider.mailbox.matching import flags_at
from postrider.protocols.imap import events as e
from postrider.protocols.imap import responses as r
from postrider.protocols.imap.fetch import flag_lines
from postrider.protocols.imap.flags import DELETED
from postrider.protocols.imap.search import asks_modseq
from postrider.store.transactions import FlagChange, Reason, StoreError
from postrider.store.values import MailboxRow

#: Hits of a SEARCH whose answer is written in a thread: a million numbers take a fifth of a second.
MANY = 20_000
#: Messages of a STORE changed and told at once.
STORE_SLICE = 1000
_CHANGES = {
    e.StoreWay.ADD: FlagChange.ADD,
    e.StoreWay.REMOVE: FlagChange.REMOVE,
    e.StoreWay.REPLACE: FlagChange.REPLACE,
}


async def search(session: ImapSession, event: e.Search) -> None:
    """SEARCH and UID SEARCH."""
    view, deps = session.view, session.deps
    with_modseq = asks_modseq(event.key)
    if with_modseq:
        session.enable_condstore()
    scope = Scope(deps.store.reader, session.user.account, view, deps.index, deps.clock.now(), deps.events)
    matching = await query.find(scope, event.key, 1 if _wants_last(event.returns, with_modseq) else 0)
    returns = event.returns
    if returns is None and session.rev2:
        returns = frozenset({"ALL"})  # RFC 9051 §7.3.4: SEARCH is gone
    if returns is not None and "SAVE" in returns:
        view.saved = _saved(matching.uids, returns)
    if returns != frozenset({"SAVE"}):  # RFC 9051 §6.4.4.2
        numbers = matching.uids if event.by_uid else matching.numbers
        found = r.Found(numbers, event.by_uid, matching.highest if with_modseq else None)
        answer = r.search if returns is None else functools.partial(r.esearch, returns=returns, tag=session.engine.tag)
        session.engine.untagged(await asyncio.to_thread(answer, found) if len(numbers) > MANY else answer(found))
    text = f"Done, but for {matching.unread} that could not be read" if matching.unread else "Done"
    await session.finish(text, expunge=event.by_uid)


def _wants_last(returns: frozenset[str] | None, with_modseq: bool) -> bool:
    """Only MAX is asked for; with MODSEQ the highest one of all that match is told too (RFC 7162 §3.1.10)."""
    return returns is not None and "MAX" in returns and returns <= {"MAX", "SAVE"} and not with_modseq


def _saved(uids: array[int], returns: frozenset[str]) -> array[int]:
    """What SAVE saves: all that was found, or only the ends where only they were asked for (§6.4.4.1)."""
    if returns & {"ALL", "COUNT"} or not returns & {"MIN", "MAX"} or not uids:
        return uids
    ends = {uids[0]} if "MIN" in returns else set()
    return array("I", sorted(ends | ({uids[-1]} if "MAX" in returns else set())))


async def store(session: ImapSession, event: e.Store) -> None:
    """STORE and UID STORE."""
    if _read_only(session):
        return
    if event.unchanged_since is not None:
        session.enable_condstore()
    view = session.view
    picked = view.pick(event.messages, by_uid=event.by_uid)
    edit = FlagEdit(_CHANGES[event.way], event.flags, event.keywords, event.unchanged_since)
    modified: list[int] = []
    for positions in picked.chunks(STORE_SLICE):
        uids = view.uids_at(positions)
        stored = await session.user.actions.set_flags(view.mailbox.id, uids, edit)
        modified.extend(stored.modified)
        if not event.silent:
            await _tell_flags(session, positions, set(stored.modified))
        elif not session.condstore:
            view.silent |= stored.modseqs
        elif stored.modseqs:
            await _tell_modseqs(session, positions, stored.modseqs)
        await session.tell(expunge=False)  # what others did, and so that ours need not be remembered to the end
    code = b""
    if modified:  # RFC 7162 §3.1.3
        numbers = modified if event.by_uid else [view.number(uid) for uid in modified]
        code = b"MODIFIED " + r.compact_set(numbers)
    await session.finish("Conditional STORE failed for some" if modified else "Done", code, expunge=event.by_uid)


async def _tell_flags(session: ImapSession, positions: list[int], modified: set[int]) -> None:
    """The flags as they are now, of each message the STORE named."""
    view = session.view
    rows = await flags_at(session.deps.store.reader, session.user.account, view, positions)
    told = [(view.number(row.uid), row) for row in rows if row.uid not in modified]
    view.told.update((row.uid, row.modseq) for _, row in told)
    items = ("UID", "FLAGS", "MODSEQ") if session.condstore else ("UID", "FLAGS")
    await session.send(flag_lines(items, told, view.recent))


async def _tell_modseqs(session: ImapSession, positions: list[int], ours: frozenset[int]) -> None:
    """RFC 7162 §3.1.3: .SILENT keeps flags back, not modseqs."""
    view = session.view
    rows = await flags_at(session.deps.store.reader, session.user.account, view, positions)
    told = [(view.number(row.uid), row) for row in rows if row.modseq in ours]
    view.told.update((row.uid, row.modseq) for _, row in told)
    await session.send(flag_lines(("UID", "MODSEQ"), told, 0))


async def copy(session: ImapSession, event: e.Copy) -> None:
    """COPY and MOVE, with their UID forms."""
    if event.move and _read_only(session):
        return
    view, actions = session.view, session.user.actions
    picked = view.pick(event.messages, by_uid=event.by_uid)
    uids = view.uids_of(picked)
    target = await _target(session, event.mailbox)
    if target is None:
        return
    if not uids:
        await session.finish("No messages")
        return
    if not event.move:
        await session.finish("Done", _copyuid(await actions.copy(view.mailbox.id, uids, target.id)))
        return
    try:
        _tell_moved(session, await actions.move(view.mailbox.id, uids, target.id))
    except MovedInPart as refused:
        _tell_moved(session, refused.done)
        raise
    await session.finish("Done")


def _tell_moved(session: ImapSession, done: Transferred) -> None:
    """RFC 6851 §4.3: before the EXPUNGEs, and before a NO too where some are moved."""
    if code := _copyuid(done):
        session.engine.untagged(r.ok_code(code, b"Moved"))


def _copyuid(done: Transferred) -> bytes:
    """RFC 4315 §3: nothing where nothing was there."""
    if not done.source:
        return b""
    return b"COPYUID %d %b %b" % (done.uidvalidity, r.set_of(done.source), r.set_of(done.target))


async def _target(session: ImapSession, name: str) -> MailboxRow | None:
    """Where to copy to; a missing folder is refused with TRYCREATE (RFC 9051 §6.4.7)."""
    try:
        return await session.folder(name)
    except StoreError as error:
        if error.reason is not Reason.NO_MAILBOX:
            raise
    session.refuse("There is no such mailbox", b"TRYCREATE")
    return None


async def expunge(session: ImapSession, event: e.Expunge) -> None:
    """EXPUNGE and UID EXPUNGE."""
    if _read_only(session):
        return
    view, actions, reader = session.view, session.user.actions, session.deps.store.reader
    if event.by_uid:
        for positions in view.pick(event.uids, by_uid=True).chunks(STORE_SLICE):
            rows = await flags_at(reader, session.user.account, view, positions)
            await actions.expunge(view.mailbox.id, [row.uid for row in rows if row.flags & DELETED])
            await asyncio.sleep(0)  # where none carries it nothing has waited
    else:
        await actions.expunge_deleted(reader, view.mailbox.id)
    await session.tell()
    code = b"HIGHESTMODSEQ %d" % view.modseq if "QRESYNC" in session.engine.enabled else b""  # RFC 7162 §3.2.7
    session.engine.answer(r.Status.OK, "Done", code)


def _read_only(session: ImapSession) -> bool:
    if session.view.read_only:
        session.refuse("The mailbox was selected read-only", b"READ-ONLY")
    return session.view.read_only
