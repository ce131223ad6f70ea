"""Names of folders: the one normal form, and which names nobody may have."""

from __future__ import annotations

import unicodedata

from postrider.store.transactions import Reason, StoreError

SEPARATOR = "/"
INBOX = "INBOX"
MAX_NAME = 1024  # octets of UTF-8
MAX_DEPTH = 32


def found_name(name: str) -> str:
    """The name as it is looked up: INBOX in any case (RFC 9051 §5.1), also as the top of a hierarchy; NFC."""
    name = unicodedata.normalize("NFC", name)
    top, slash, rest = name.partition(SEPARATOR)
    return INBOX + slash + rest if top.upper() == INBOX else name


def normal_name(name: str) -> str:
    """The name as a folder gets it. Raises StoreError(INVALID), with a text a user understands."""
    # RFC 9051 §6.3.4: a trailing separator says that names below it will be made; the name itself is without.
    name = found_name(name.removesuffix(SEPARATOR))
    levels = name.split(SEPARATOR)
    if not all(levels):
        raise StoreError(Reason.INVALID, "A level of the name is empty")
    if len(name.encode()) > MAX_NAME or len(levels) > MAX_DEPTH:
        raise StoreError(Reason.INVALID, "The name is too long")
    # RFC 9051 §5.1: wildcards cannot be named in LIST; controls break clients and terminals.
    if any(c in "*%" or unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in name):
        raise StoreError(Reason.INVALID, "The name has characters that a mailbox cannot have")
    if any(level in (".", "..") for level in levels):
        raise StoreError(Reason.INVALID, "The name has a level that a mailbox cannot have")
    return name
