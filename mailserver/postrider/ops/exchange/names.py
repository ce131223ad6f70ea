"""Folder names as files and directories are called, each way back exact; and which folders mail is usually sorted in.

Maildir has modified UTF-7 (RFC 3501 §5.1.3), other trees have names as people write them. What a name of ours cannot
be called there (a leading dot, `cur`) has that character shifted, which every reader of modified UTF-7 undoes. Pure.
"""

from __future__ import annotations

import binascii
import unicodedata
from collections.abc import Collection, Mapping

from postrider.mailbox.names import INBOX, SEPARATOR, normal_name
from postrider.protocols.imap.names import decode_name, encode_name
from postrider.store.transactions import StoreError

#: The directories a Maildir consists of.
MAILDIR = ("cur", "new", "tmp")
#: Endings by which importers tell what a file or directory is.
_MARKED = (".mbox", ".sbd", ".eml")

#: What other programs call the folders of a special use (RFC 6154 §2); ours have the first name.
_CALLED: Mapping[str, tuple[str, ...]] = {
    "\\Sent": ("Sent", "Sent Items", "Sent Messages", "Sent Mail", "Sent-Mail"),
    "\\Drafts": ("Drafts", "Draft"),
    "\\Trash": ("Trash", "Deleted Items", "Deleted Messages", "Deleted"),
    "\\Junk": ("Junk", "Spam", "Junk E-mail", "Junk Email", "Bulk Mail"),
    "\\Archive": ("Archive", "Archives"),
}
_USES = {name.casefold(): use for use, names in _CALLED.items() for name in names}


def special_use(name: str) -> str:
    """The special use that a folder of this name has everywhere, "" for none."""
    return _USES.get(name.casefold(), "")


def places(names: Collection[str], uses: Mapping[str, str]) -> dict[str, str]:
    """Where the folders of a source go: source name to ours. `uses` are ours, special use to name.

    "Sent Items" goes into the folder for sent mail unless the source has a folder with that folder's own name too, and
    of several such names the first alone does.
    """
    taken = set(names)
    found: dict[str, str] = {}
    for name in sorted(names):
        ours = uses.get(special_use(name), "")
        if ours and ours not in taken:
            taken.add(ours)
            found[name] = ours
        else:
            found[name] = name
    return found


def acceptable(name: str) -> str:
    """A name that a folder can have, from one that came from outside. Raises StoreError where there is no such name."""
    try:
        return normal_name(name)
    except StoreError:
        text = "".join("_" if c in "*%" or unicodedata.category(c)[0] == "C" else c for c in name)
        levels = ["_" if level in (".", "..") else level for level in text.split(SEPARATOR) if level]
        return normal_name(SEPARATOR.join(levels) or "_")


# -- Maildir++: one level of directories, ".Work.2026" -----------------------------------------------------------


def plus_entry(folder: str) -> str:
    """The directory of a folder beside the others; "" is the Maildir itself, which is INBOX."""
    return "" if folder == INBOX else "".join(f".{level}" for level in plus_levels(folder))


def plus_levels(folder: str) -> list[str]:
    """The levels of a folder's name; dots part them, so that none has one."""
    return [_utf7(level).replace(".", _shift(".")) for level in folder.split(SEPARATOR)]


# -- trees of directories ----------------------------------------------------------------------------------------


def maildir_levels(folder: str) -> list[str]:
    """The path of a folder in a tree of Maildirs."""
    return [_guarded(_utf7(level)) for level in folder.split(SEPARATOR)]


def levels(folder: str) -> list[str]:
    """The path of a folder in a tree that people look at."""
    return [
        _guarded(level if level_of(level) == level else level.replace("&", "&-")) for level in folder.split(SEPARATOR)
    ]


def level_of(part: str) -> str:
    """One level of a folder's name, from a name that the filesystem has (any octets)."""
    raw = part.encode("utf-8", "surrogateescape")
    try:
        text = decode_name(raw, utf8=False)
    except ValueError:
        text = part if raw.isascii() else raw.decode("latin-1")
    return text.replace(SEPARATOR, "_")


def _utf7(level: str) -> str:
    return encode_name(level, utf8=False).decode("ascii")


def _guarded(part: str) -> str:
    if part.startswith(".") or part in MAILDIR:
        return _shift(part[0]) + part[1:]
    if part.endswith(_MARKED):
        stem, _, ending = part.rpartition(".")
        return f"{stem}{_shift('.')}{ending}"
    return part


def _shift(character: str) -> str:
    encoded = binascii.b2a_base64(character.encode("utf-16-be"), newline=False).rstrip(b"=").decode("ascii")
    return f"&{encoded.replace('/', ',')}-"
