"""Who may be written to: our own addresses by everybody while they have room, others by our users alone."""

from __future__ import annotations

from collections.abc import Awaitable

from postrider.accounts.directory import NotLocal, ToMailbox, Unknown
from postrider.gates.visit import Visit
from postrider.model.reply import Reply

RELAY_DENIED = Reply(550, "5.7.1", "Relay access denied")
UNKNOWN = Reply(550, "5.1.1", "No such mailbox here")
JUST_VANISHED = Reply(450, "4.1.1", "No such mailbox here at this moment, try again later")


def known_recipient(visit: Visit) -> Reply | Awaitable[Reply | None] | None:
    """Unknown addresses are refused while the sender's server can still tell its user, never bounced later."""
    if visit.address is None:
        return None
    match visit.directory.resolve(visit.address):
        case Unknown():
            return _unknown(visit, visit.address.key)
        case NotLocal() if not visit.submission:
            return RELAY_DENIED
        case _:
            return None


def has_room(visit: Visit) -> Reply | Awaitable[Reply | None] | None:
    """Senders hear of a full mailbox before they send. Of those whom an alias stands for, a full one stops nobody."""
    if visit.address is None:
        return None
    match visit.directory.resolve(visit.address):
        case ToMailbox(mailbox=mailbox):
            return visit.room.refusal(visit.directory, mailbox, visit.size)
        case _:
            return None


async def _unknown(visit: Visit, address: str) -> Reply:
    # A mistake in the declaration must not bounce mail at once: for an hour the answer is a temporary one.
    return JUST_VANISHED if await visit.recently(address) else UNKNOWN
