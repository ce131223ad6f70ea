"""Folder names: their one spelling, their parents, what a new account begins with. Pure."""

from __future__ import annotations

from postrider.store.shape import Reason, StoreError
from postrider.store.values import Account

SEPARATOR = "/"
INBOX = "INBOX"
#: INBOX is the first folder of every account and stays so: a RENAME of it moves its messages, not its row.
INBOX_ID = 1
#: Octets of a whole name; a client can store one without being able to make the database swell.
MAX_NAME = 1000
MAX_MAILBOXES = 10_000

#: Folders made with an account, and their special use (RFC 6154 §2).
DEFAULT_FOLDERS = (
    (INBOX, ""),
    ("Sent", "\\Sent"),
    ("Drafts", "\\Drafts"),
    ("Trash", "\\Trash"),
    ("Junk", "\\Junk"),
    ("Archive", "\\Archive"),
)


def canonical(name: str) -> str:
    """The one spelling of a folder's name. Raises StoreError(INVALID) for a name no folder can have."""
    first, separator, rest = name.rstrip(SEPARATOR).partition(SEPARATOR)
    if first.upper() == INBOX:  # RFC 9051 §5.1: INBOX in any case
        first = INBOX
    whole = f"{first}{separator}{rest}"
    if "" in whole.split(SEPARATOR):
        raise StoreError(Reason.INVALID, "a part of the folder's name is empty")
    if any(character < " " or character == "\x7f" for character in whole):
        raise StoreError(Reason.INVALID, "control characters in the folder's name")
    try:
        length = len(whole.encode())
    except UnicodeEncodeError:
        raise StoreError(Reason.INVALID, "the folder's name is not Unicode text") from None
    if length > MAX_NAME:
        raise StoreError(Reason.INVALID, f"a folder's name has at most {MAX_NAME} octets")
    return whole


def parents(name: str) -> list[str]:
    """The names above this one, topmost first."""
    parts = name.split(SEPARATOR)
    return [SEPARATOR.join(parts[:count]) for count in range(1, len(parts))]


def released(account: Account, number: int) -> Account:
    """The name an account gets when it is released and kept: no address has a bare space, so nobody else has it."""
    namespace, _, address = account.partition("/")
    return Account(f"{namespace}/#{number} {address}")
