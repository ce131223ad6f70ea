"""EML: a file a message, as it is; what a file cannot say (flags, the date it came) in a list beside. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from postrider.mime.header import fields, header_end
from postrider.ops.exchange.dates import parse_field
from postrider.protocols.imap.flags import flag_list, split_flags

ENDING = ".eml"
#: The list of a directory: lines of a file's name, the date in seconds since the epoch, and flags, tabs between.
LIST = ".flags"


@dataclass(frozen=True, slots=True)
class Entry:
    """What the list says about a message."""

    received: int
    flags: int
    keywords: tuple[str, ...]


def name_of(uidvalidity: int, uid: int) -> str:
    """The file of a message that we export: no other folder of a store gives the same."""
    return f"{uidvalidity}.{uid}{ENDING}"


def list_line(name: str, entry: Entry) -> str:
    """One line of the list."""
    return f"{name}\t{entry.received}\t{flag_list(entry.flags, entry.keywords).decode('ascii')}\n"


def parse_list(text: str) -> dict[str, Entry]:
    """The list by names; the last line of a name counts, and lines that are none do not."""
    found: dict[str, Entry] = {}
    for line in text.split("\n"):
        name, _, rest = line.partition("\t")
        received, tab, flags = rest.partition("\t")
        try:
            found[name] = Entry(int(received), *split_flags(flags.encode("ascii").split()))
        except ValueError:
            continue
        if not tab:
            del found[name]
    return found


def date_of(start: bytes) -> int | None:
    """The date of a message that begins so, by its Date field."""
    header = start[: header_end(start, 0, len(start))]
    return next((parse_field(value) for _, value in fields(header, (b"date",))), None)
