"""APPEND: messages spooled as they come, stored all at once (RFC 9051 §6.3.12, RFC 3502, RFC 4315)."""

from __future__ import annotations

import asyncio
import errno

from postrider.edge.imap_session import Arriving, ImapSession
from postrider.ingest.content import content
from postrider.ingest.spool import IN_MEMORY, Spool, Spooled
from postrider.protocols.imap import events as e
from postrider.protocols.imap import responses as r
from postrider.store.transactions import NewMessage, Reason, StoreError


async def begin(session: ImapSession, event: e.AppendMessage) -> None:
    """A message is announced: is there a folder for it, and room?"""
    if not session.arriving:
        try:
            session.target = await session.folder(event.mailbox)
        except StoreError as error:
            if error.reason is not Reason.NO_MAILBOX:
                raise
            session.refuse("There is no such mailbox", b"TRYCREATE")
            return
    if not await _fits(session, sum(one.event.size for one in session.arriving) + event.size):
        session.drop_append()
        raise StoreError(Reason.OVER_QUOTA)
    session.arriving.append(Arriving(event, Spool(session.deps.spool, drop_return_path=False)))
    session.engine.accept_literal()


async def _fits(session: ImapSession, size: int) -> bool:
    """Whether there is room in the account and its domain, as far as one can know before the octets are here."""
    user, reader = session.user, session.deps.store.reader
    allowed = user.actions.allowed
    if allowed.quota_bytes and (await reader.usage(user.account))[0] + size > allowed.quota_bytes:
        return False
    if not allowed.domain_quota_bytes:
        return True
    used, _ = await reader.domain_usage(session.deps.directory().domain_key(user.mailbox))
    return used + size <= allowed.domain_quota_bytes


async def chunk(session: ImapSession, event: e.AppendChunk) -> None:
    """Octets of the message announced last. A full disk refuses the command once it is complete."""
    arriving = session.arriving[-1]
    await arriving.spool.write(event.data)
    if arriving.spool.size == arriving.event.size:  # clients that send the command's end apart wait for this
        session.link.acknowledge()


async def end(session: ImapSession, _: e.AppendEnd) -> None:
    """All is here: store it."""
    target = session.target
    if target is None:
        raise StoreError(Reason.NO_MAILBOX)
    try:
        messages = [await _message(session, arriving) for arriving in session.arriving]
        done = await session.user.actions.append(target.id, messages)
    finally:
        session.drop_append()
    await session.finish("Stored", b"APPENDUID %d %b" % (done.uidvalidity, r.compact_set(done.target)))


async def _message(session: ImapSession, arriving: Arriving) -> NewMessage:
    try:
        spooled = arriving.spool.finish()
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise StoreError(Reason.NO_SPACE if full else Reason.WRITE_FAILED) from error
    event = arriving.event
    if spooled.body.size <= IN_MEMORY:
        cached, keys = _content(spooled)
    else:
        cached, keys = await asyncio.to_thread(_content, spooled)
    received = int(session.deps.clock.now()) if event.received is None else event.received
    return NewMessage(spooled.body, received, cached, event.flags, event.keywords, keys)


def _content(spooled: Spooled) -> tuple[bytes, tuple[bytes, ...]]:
    with spooled.octets() as octets:
        return content(octets)
