"""Maildir's file names: unique part, sizes, flags; and Dovecot's keywords. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from postrider.protocols.imap.flags import ANSWERED, DELETED, DRAFT, FLAGGED, SEEN

#: Letters of the info part and the flags they mean; in the order names have them.
LETTERS: Mapping[str, int] = {"D": DRAFT, "F": FLAGGED, "R": ANSWERED, "S": SEEN, "T": DELETED}
#: P, passed: it was forwarded, bounced or resent.
PASSED, FORWARDED = "P", "$Forwarded"
#: Dovecot's file that says which keyword a letter a to z means in this folder.
KEYWORDS = "dovecot-keywords"
MAX_LETTERS = 26

# Filesystems without colons have ";" or "!" in its place.
_NAME = re.compile(r"(?P<unique>[^,:;!]*)[^:;!]*(?:[:;!]2,(?P<info>[A-Za-z]*).*)?", re.DOTALL)
_OURS = re.compile(
    r"(-?[0-9]+)\.V([0-9]+)U([0-9]+)\.postrider(?:-([0-9]+))?,S=([0-9]+)(?:[,:].*)?", re.DOTALL | re.ASCII
)


@dataclass(frozen=True, slots=True)
class FileName:
    """What a file's name says. `unique` stays when flags change or a program notes sizes or UIDs behind it."""

    unique: str
    flags: int
    letters: str


def parse_name(name: str) -> FileName:
    """Any name; what is no info part says nothing."""
    match = _NAME.match(name)
    info = match["info"] or "" if match else ""
    flags = 0
    for letter, flag in LETTERS.items():
        flags |= flag if letter in info else 0
    return FileName(match["unique"] if match else name, flags, "".join(c for c in info if c == PASSED or c.islower()))


def keywords(letters: str, table: Sequence[str]) -> tuple[str, ...]:
    """The keywords of a name's letters; `table` is the folder's, by letter."""
    found = [FORWARDED] if PASSED in letters else []
    found += [table[ord(c) - ord("a")] for c in letters if c.islower() and ord(c) - ord("a") < len(table)]
    return tuple(word for word in found if word)


def parse_keywords(text: str) -> list[str]:
    """The table of a `dovecot-keywords` file: lines of a number and a keyword; "" where a number is missing."""
    table = [""] * MAX_LETTERS
    for line in text.splitlines():
        number, _, word = line.partition(" ")
        if number.isascii() and number.isdigit() and int(number) < MAX_LETTERS:
            table[int(number)] = word.strip()
    return table


def keywords_text(table: Sequence[str]) -> str:
    """The `dovecot-keywords` file of a table."""
    return "".join(f"{number} {word}\n" for number, word in enumerate(table))


def info(flags: int, words: Iterable[str], table: Sequence[str]) -> str:
    """The info part: letters in ASCII order, as the format wants them. Keywords that the table lacks have none."""
    letters = {letter for letter, flag in LETTERS.items() if flags & flag}
    for word in words:
        if word == FORWARDED:
            letters.add(PASSED)
        elif word in table:
            letters.add(chr(ord("a") + table.index(word)))
    return ":2," + "".join(sorted(letters))


@dataclass(frozen=True, slots=True)
class Exported:
    """The name of a message that we write: no other folder of a store gives the same, and a later run knows it."""

    received: int
    uidvalidity: int
    uid: int
    #: Octets of the file.
    size: int
    #: Of a link to a body of the store, the file's inode: a copy of it has the name too, and another inode.
    inode: int = 0

    @property
    def unique(self) -> str:
        """The part that is there before the size is known."""
        link = f"-{self.inode}" if self.inode else ""
        return f"{self.received}.V{self.uidvalidity}U{self.uid}.postrider{link}"

    def text(self, wire_size: int, info: str) -> str:
        """The whole name; `wire_size` counts CRLF at the line ends (Dovecot and others read both sizes)."""
        return f"{self.unique},S={self.size},W={wire_size}{info}"


def exported(name: str) -> Exported | None:
    """What `Exported.text` made, None of another name."""
    match = _OURS.fullmatch(name)
    if match is None:
        return None
    received, uidvalidity, uid, inode, size = (int(group or 0) for group in match.groups())
    return Exported(received, uidvalidity, uid, size, inode)


# -- subscriptions -----------------------------------------------------------------------------------------------

_V2 = "V\t2"
# Dovecot's str_tabescape.
_ESCAPES = {"\x00": "\x010", "\x01": "\x011", "\t": "\x01t", "\r": "\x01r", "\n": "\x01n"}
_UNESCAPE = {escaped[1]: plain for plain, escaped in _ESCAPES.items()}


def subscriptions_text(names: Iterable[Sequence[str]]) -> str:
    """Dovecot's `subscriptions` file, version 2, of names as their levels are called in the filesystem."""
    lines = ["\t".join("".join(_ESCAPES.get(c, c) for c in level) for level in name) for name in names]
    return "\n".join([_V2, "", *lines, ""])


def parse_subscriptions(text: str) -> list[list[str]]:
    """The levels of each name in a `subscriptions` (Dovecot, both versions) or `courierimapsubscribed` file."""
    lines = [line for line in text.split("\n") if line]
    if lines[:1] == [_V2]:
        return [[_unescaped(level) for level in line.split("\t")] for line in lines[1:]]
    found = [line.split("/" if "/" in line else ".") for line in lines]
    return [[level for level in name if level] for name in found]


def _unescaped(level: str) -> str:
    return re.sub("\x01(.)", lambda match: _UNESCAPE.get(match[1], match[1]), level, flags=re.DOTALL)
