"""Verdicts: what we do with a message, decided from facts and policy alone."""

from __future__ import annotations

import msgspec

from postrider.model.reply import Reply


class Verdict(msgspec.Struct, frozen=True):
    """Accept (perhaps into another mailbox), or refuse with a reply."""

    #: None accepts.
    refuse: Reply | None = None
    #: Special-use attribute of the mailbox it goes to instead of INBOX, as in "\\Junk"; "" is INBOX.
    special_use: str = ""


ACCEPT = Verdict()
