"""Who may send as whom (RFC 6409 §6.1)."""

from __future__ import annotations

from postrider.gates.visit import Visit
from postrider.model.reply import Reply

NO_MAILBOX = Reply(550, "5.7.1", "Your mailbox does not exist any more")


def own_sender(visit: Visit) -> Reply | None:
    """Users send with addresses of their own; what strangers call themselves is judged with the whole message."""
    if not visit.submission:
        return None
    login, sender = visit.peer.login, visit.address
    if visit.directory.mailbox(login) is None:
        return NO_MAILBOX
    # The null reverse-path is for notifications that a mail program sends (RFC 8098 §3).
    if sender is None or visit.directory.may_send_as(login, sender):
        return None
    return Reply(550, "5.7.1", f"You may not send as {sender}")
