"""One message's text, folded, for SEARCH to look into."""

from __future__ import annotations

import functools
import re
from datetime import date

from postrider.mime.header import fields
from postrider.mime.text import fold, header_texts

_DATE = re.compile(rb"(?:^|[\s,])([0-9]{1,2})[\s-]+([A-Za-z]{3})[A-Za-z]*[\s-]+([0-9]{2,4})")
_MONTHS = (b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec")


class Words:
    """One message's text. What is asked for is folded; None answers for what cannot be read."""

    def __init__(self, header: bytes | None) -> None:
        #: The whole header block, prefix included; None: it cannot be read.
        self.header = header
        #: The texts of the body, folded, once they have been read.
        self.body: list[str] | None = None

    @functools.cached_property
    def _fields(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name, value in header_texts(self.header or b""):
            found.setdefault(name, []).append(fold(value))
        return found

    def field_has(self, name: bytes, wanted: str) -> bool | None:
        """A field of this name has the text; any such field for "" (RFC 9051 §6.4.4 HEADER)."""
        if self.header is None:
            return None
        return any(wanted in value for value in self._fields.get(name.decode("utf-8", "replace"), ()))

    def header_has(self, wanted: str) -> bool | None:
        """The text is in the header, field names included."""
        if self.header is None:
            return None
        return any(wanted in f"{name}: {value}" for name, values in self._fields.items() for value in values)

    def body_has(self, wanted: str) -> bool | None:
        """The text is in a text part, or in the header of a message inside."""
        return None if self.body is None else any(wanted in piece for piece in self.body)

    @property
    def sent_day(self) -> int | None:
        """The day of the Date field as it was written, its zone disregarded, in days since the epoch."""
        for name, value in fields(self.header or b"", (b"date",)):
            if name == b"date" and (match := _DATE.search(value)):
                return _day(match)
        return None


def _day(match: re.Match[bytes]) -> int | None:
    year = int(match[3])
    if len(match[3]) < 4:  # RFC 5322 §4.3
        year += 2000 if year < 50 else 1900
    try:
        return (date(year, _MONTHS.index(match[2].lower()) + 1, int(match[1])) - date(1970, 1, 1)).days
    except ValueError:
        return None
