"""Where the rows of a staged copy go: how far above what is in use. Pure; the same in every driver."""

from __future__ import annotations

from postrider.store.shape import Reason, StoreError

#: UIDs left free for deliveries while a copy is staged: as many as it has messages, and at least these.
_UIDS = 1000
#: Modseqs left free for everything else that happens in the account meanwhile.
_MODSEQS = 1 << 24
#: UIDs have 32 bits (RFC 9051 §2.3.1.1).
LAST_UID = (1 << 32) - 1


def first_uid(uidnext: int, messages: int) -> int:
    """The UID of the first staged message. Raises StoreError(LIMIT) when UIDs are running out."""
    if messages < 1:
        raise StoreError(Reason.INVALID, "a copy of no messages")
    first = uidnext + max(_UIDS, messages)
    if first + messages + _UIDS > LAST_UID:
        raise StoreError(Reason.LIMIT, "the folder's UIDs are running out: copy into a new one")
    return first


def no_uids() -> StoreError:
    """What a folder answers that has given all its UIDs; UIDNEXT is never above the last one."""
    return StoreError(Reason.LIMIT, "the folder has no more UIDs: use a new one")


def first_modseq(modseq: int) -> int:
    """The modseq of the first slice."""
    return modseq + _MODSEQS
