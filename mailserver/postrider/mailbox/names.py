"""Names of folders as people give them: what is looked up, and which names nobody may have."""

from __future__ import annotations

import unicodedata

from postrider.store.names import INBOX, MAX_NAME, SEPARATOR, canonical
from postrider.store.transactions import Reason, StoreError

__all__ = ["INBOX", "SEPARATOR", "found_name", "normal_name"]

MAX_DEPTH = 32


def found_name(name: str) -> str:
    """The name as it is looked up; a name that no folder can have is looked up in vain."""
    try:
        return _composed(name)
    except StoreError:
        return name


def normal_name(name: str) -> str:
    """The name as a new folder gets it. Raises StoreError(INVALID), with a text a user understands."""
    name = _composed(name)
    levels = name.split(SEPARATOR)
    if len(levels) > MAX_DEPTH:
        raise StoreError(Reason.INVALID, "The name has too many levels")
    # RFC 9051 §5.1: wildcards cannot be named in LIST; controls break clients and terminals.
    if any(c in "*%" or unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in name):
        raise StoreError(Reason.INVALID, "The name has characters that a mailbox cannot have")
    if any(level in (".", "..") for level in levels):
        raise StoreError(Reason.INVALID, "The name has a level that a mailbox cannot have")
    return name


def _composed(name: str) -> str:
    # Three characters compose to two octets at least, and a long run of combining marks is slow to put in order.
    if len(name) > 2 * MAX_NAME:
        raise StoreError(Reason.INVALID, "The name is too long")
    return canonical(unicodedata.normalize("NFC", name))
