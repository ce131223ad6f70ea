"""Bytes that were received and not yet understood: lines and counted octets, without copying what is not split."""

from __future__ import annotations


class LineTooLong(Exception):
    """No line end within the limit. Nothing was consumed: drop_line() skips to the next line."""


class BareLineFeed(Exception):
    """A line ended with LF alone; it was consumed. Engines refuse such lines, so nothing can hide behind them."""


class Buffer:
    """Collects input; every read either gives what is complete or says that more is needed."""

    __slots__ = ("_data", "_pos", "_scanned", "eof")

    def __init__(self) -> None:
        self._data = b""
        self._pos = 0  # first byte not consumed
        self._scanned = 0  # no LF between _pos and here
        self.eof = False

    def __len__(self) -> int:
        return len(self._data) - self._pos

    def feed(self, data: bytes) -> None:
        """Append what came from the peer; b"" is the end of the stream."""
        if not data:
            self.eof = True
        elif self._pos >= len(self._data):
            self._data = data
            self._pos = self._scanned = 0
        else:
            self._data = self._data[self._pos :] + data
            self._scanned -= self._pos
            self._pos = 0

    def line(self, limit: int, *, bare_lf: bool = False) -> bytes | None:
        """The next line without its end, None when there is none yet. `limit` counts octets without the CRLF.

        With `bare_lf` LF alone ends a line too (what servers say to a client). Raises LineTooLong, BareLineFeed.
        """
        data, start = self._data, self._pos
        end = data.find(b"\n", self._scanned)
        if (end if end >= 0 else len(data)) - start > limit + 1:
            raise LineTooLong
        if end < 0:
            self._scanned = len(data)
            return None
        self._pos = self._scanned = end + 1
        if end > start and data[end - 1] == 13:
            return data[start : end - 1]
        if bare_lf:
            return data[start:end]
        raise BareLineFeed

    def drop_line(self) -> tuple[int, bool]:
        """Skip through the next LF: how many octets went, and whether the line end was among them."""
        start = self._pos
        end = self._data.find(b"\n", self._scanned)
        self._pos = self._scanned = end + 1 if end >= 0 else len(self._data)
        return self._pos - start, end >= 0

    def take(self, size: int) -> bytes:
        """Up to `size` octets, b"" when there are none."""
        start = self._pos
        self._pos = self._scanned = min(start + size, len(self._data))
        return self._data if not start and self._pos == len(self._data) else self._data[start : self._pos]

    def peek(self) -> tuple[bytes, int]:
        """The bytes held and the offset of the first that is not consumed; consume with take()."""
        return self._data, self._pos

    def discard(self) -> None:
        """Forget what was received (RFC 3207 §6), but not the end of the stream."""
        self._data = b""
        self._pos = self._scanned = 0
