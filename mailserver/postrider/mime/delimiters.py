"""Delimiter lines of multiparts: where the next is, and whose. Each octet is searched once for each open multipart."""

from __future__ import annotations

from dataclasses import dataclass

from postrider.mime.header import Octets

#: Lines that begin like a boundary and are none, before boundaries are looked for no more.
MAX_FALSE_BOUNDARIES = 20_000
#: Octets that may follow a boundary on its line.
MAX_PADDING = 1000


@dataclass(slots=True)
class _Boundary:
    """An open multipart's boundary and its next delimiter line at or after where we last asked."""

    needle: bytes  # with the line break before it
    at: int = -1  # where its "--" begins
    after: int = 0  # where the next line begins
    closing: bool = False


class Delimiters:
    """Of the multiparts that are open, outermost first. Positions that are asked about never fall."""

    def __init__(self, data: Octets) -> None:
        self._data = data
        self._size = len(data)
        self._open: list[_Boundary] = []
        self._false = 0
        #: The next delimiter: where it is (the end of data: there is none), whose (-1), and where the next line begins.
        self.at = self._size
        self.level = -1
        self.after = 0
        self.closing = False

    def open(self, boundary: bytes) -> int:
        """A multipart begins; its level."""
        self._open.append(_Boundary(b"\n--" + boundary))
        self.at = -1  # to be found anew
        return len(self._open) - 1

    def close(self, level: int) -> None:
        """The multipart of this level has ended, and those inside."""
        del self._open[level:]
        self.at = -1 if self._open else self._size
        self.level = -1

    def seek(self, position: int) -> int:
        """The level of the next delimiter at or after position, -1 where there is none; the attributes say more."""
        if position <= self.at:
            return self.level
        best, level, length = self._size, -1, 0
        for index, boundary in enumerate(self._open):
            if boundary.at < position:
                self._find(boundary, position)
            at = boundary.at
            # A line that is the delimiter of several is that of the longest, and of two alike the inner one's.
            if at < best or (at == best < self._size and len(boundary.needle) >= length):
                best, level, length = at, index, len(boundary.needle)
        self.at, self.level = best, level
        if level >= 0:
            found = self._open[level]
            self.after, self.closing = found.after, found.closing
        return level

    def _find(self, boundary: _Boundary, position: int) -> None:
        data, needle = self._data, boundary.needle
        search = max(0, position - 1)
        while self._false < MAX_FALSE_BOUNDARIES:
            found = data.find(needle, search, self._size)
            if found < 0:
                break
            behind = found + len(needle)
            rest, line_break, _ = data[behind : behind + 4].partition(b"\n")
            if rest == b"\r" and line_break:  # as nearly all are
                boundary.at, boundary.closing, boundary.after = found + 1, False, behind + 2
                return
            if not line_break:
                rest, line_break, _ = data[behind : behind + MAX_PADDING].partition(b"\n")
            closing = rest.startswith(b"--")
            tail = rest[2:] if closing else rest
            # RFC 2046 §5.1.1 wants no more than the boundary at the beginning of the line. But many write boundaries
            # that begin like others: so white space has to follow it.
            if not tail or tail[:1].isspace():
                boundary.at, boundary.closing = found + 1, closing
                boundary.after = behind + len(rest) + len(line_break)
                return
            self._false += 1
            search = behind
        boundary.at = self._size
