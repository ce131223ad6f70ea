"""Rows of the database as values, with the columns each is made of."""

from __future__ import annotations

from typing import Any

from postrider.store.cells import Cell, is_sealed, opened
from postrider.store.codecs import BadFrame
from postrider.store.keys import Keys
from postrider.store.records import KEY_NONE
from postrider.store.values import Blob, FlagRow, MailboxRow, MessageRow, QueueRow

QUEUE_COLUMNS = (
    "queue.id, lane, destination, sender, recipient, prefix, blob_id, blob.size, created, due, attempts, epoch,"
    " notify, orcpt, ret, envid, body, smtputf8, account, delay_told, last_reply, state"
)
MAILBOX_COLUMNS = (
    "mailbox.id, mailbox.name, uidvalidity, uidnext, mailbox.modseq, mailbox.messages, unseen, deleted, mailbox.bytes,"
    " special_use,"
    " subscription.name IS NOT NULL, object_id, recent, deleted_bytes, mailbox.created, changed"
)
MESSAGE_COLUMNS = (
    "uid, message.modseq, flags, keywords, message.size, received, saved, email.id, coalesce(thread_id, email.id),"
    " prefix, blob_id, blob.size, cached, key_id"
)


def queue_row(row: Any, keys: Keys) -> QueueRow:
    """From QUEUE_COLUMNS. Raises KeyMissing, BadFrame."""
    (
        row_id, lane, destination, sender, recipient, prefix, blob_id, blob_size, created, due, attempts, epoch,
        notify, orcpt, ret, envid, body, smtputf8, account, delay_told, last_reply, state,
    ) = row  # fmt: skip
    plain = opened(keys, Cell.QUEUED, blob_id, prefix)
    return QueueRow(
        row_id, lane, destination, sender, recipient, plain, Blob(blob_id, blob_size), created, due, attempts, epoch,
        notify, orcpt, ret, envid, body, bool(smtputf8), account, bool(delay_told), last_reply, state,
    )  # fmt: skip


def mailbox_row(row: Any) -> MailboxRow:
    """From MAILBOX_COLUMNS."""
    (
        mailbox_id, name, uidvalidity, uidnext, modseq, messages, unseen, deleted, octets, special_use, subscribed,
        object_id, recent, deleted_bytes, created, changed,
    ) = row  # fmt: skip
    return MailboxRow(
        mailbox_id, name, uidvalidity, uidnext, modseq, messages, unseen, deleted, octets, special_use,
        bool(subscribed), object_id, recent, deleted_bytes, created, changed,
    )  # fmt: skip


def message_row(row: Any, keys: Keys) -> MessageRow:
    """From MESSAGE_COLUMNS. Raises KeyMissing, BadFrame."""
    (
        uid, modseq, flags, keywords, size, received, saved, email_id, thread_id, prefix, blob_id, blob_size, cached,
        key_id,
    ) = row  # fmt: skip
    body_sealed = key_id != KEY_NONE
    sealed = body_sealed or is_sealed(cached)
    if sealed:
        prefix = opened(keys, Cell.PREFIX, blob_id, prefix, only_sealed=body_sealed)
        try:
            cached = opened(keys, Cell.CACHED, blob_id, cached, only_sealed=body_sealed)
        except BadFrame:
            cached = b""  # it is damaged: whoever needs it looks into the body, which is not
    return MessageRow(
        uid, modseq, flags, tuple(keywords.split()), size, received, saved, f"M{email_id:x}", f"T{thread_id:x}",
        prefix, Blob(blob_id, blob_size), cached, sealed,
    )  # fmt: skip


def flag_row(row: Any) -> FlagRow:
    """From uid, modseq, flags, keywords."""
    uid, modseq, flags, keywords = row
    return FlagRow(uid, modseq, flags, tuple(keywords.split()) if keywords else ())
