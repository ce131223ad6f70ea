"""Message bytes on the wire: dot transparency both ways, and what may not be in a message at all."""

from __future__ import annotations

import re

from postrider.protocols.buffer import Buffer

_END = b"\r\n.\r\n"
_DOT_LINE = b"\r\n."
# What may be the beginning of CRLF.CRLF, or of a stuffed dot: held back until more is known.
_OPEN_ENDS = (b"\r\n.\r", b"\r\n.", b"\r\n", b"\r")

_IMPURE = re.compile(rb"\r(?=[^\n])|(?<!\r)\n|\0")
_PROBLEMS = {13: "bare CR", 10: "bare LF", 0: "NUL"}
_TOO_LONG = "a line that is too long"


class DotBody:
    """Decodes a DATA body piece by piece. Only CRLF.CRLF ends it (RFC 5321 §4.1.1.4, §4.5.2)."""

    __slots__ = ("_start", "done")

    def __init__(self) -> None:
        self.done = False
        self._start = True  # nothing consumed yet: we stand behind the CRLF of the DATA command

    def read(self, buffer: Buffer) -> bytes:
        """Whatever of the message can be told from what is buffered; b"" when nothing can, or when `done`."""
        data, start = buffer.peek()
        if self._start:
            head = data[start : start + 3]
            if head == b".\r\n":
                buffer.take(3)
                self.done = True
                return b""
            if b".\r\n".startswith(head):  # also the empty head
                return b""
            if head[0] == 0x2E:
                buffer.take(1)
                start += 1
            self._start = False
        # Hardly any message has a line that begins with a dot but the last: one search finds both.
        dotted = data.find(_DOT_LINE, start)
        end = dotted if dotted < 0 or data.startswith(_END, dotted) else data.find(_END, dotted)
        if end >= 0:
            self.done = True
            cut = end + 2
        else:
            cut = len(data)
            for tail in _OPEN_ENDS:
                if data.endswith(tail, start):
                    cut -= len(tail)
                    break
        buffer.take(cut - start)
        if self.done:
            buffer.take(3)
        taken = data[start:cut]
        return taken if dotted < 0 or dotted == end else taken.replace(_DOT_LINE, b"\r\n")


class Purity:
    """Watches message bytes go by: CR and LF only as CRLF, no NUL, no line beyond `max_line` octets.

    Bare CR and LF are what SMTP smuggling is made of (RFC 5321 §2.3.8 forbids them); NUL RFC 5322 §4.
    """

    __slots__ = ("_cr", "_line", "_max_line", "problem")

    def __init__(self, max_line: int) -> None:
        self._cr = False  # the bytes so far end with CR
        self._line = 0  # octets since the last LF
        self._max_line = max_line
        #: What is wrong, "" while nothing is.
        self.problem = ""

    def check(self, data: bytes) -> bool:
        """Look at the next bytes (not empty); False when the message cannot be accepted."""
        pairs = data.count(b"\r\n")
        returns = data.count(b"\r") - (data[-1] == 13)  # the last one may find its LF yet
        feeds = data.count(b"\n") - (self._cr and data[0] == 10)
        if returns != pairs or feeds != pairs or b"\0" in data or (self._cr and data[0] != 10):
            self.problem = self._first_problem(data)
        elif not self._lines_fit(data):
            self.problem = _TOO_LONG
        self._cr = data[-1] == 13
        return not self.problem

    def finish(self) -> bool:
        """The message ends here; False when it cannot be accepted."""
        if self._cr and not self.problem:
            self.problem = _PROBLEMS[13]
        return not self.problem

    def _first_problem(self, data: bytes) -> str:
        """What a reader of single bytes would have stumbled over: the same wherever the pieces are cut."""
        held = b"\r" if self._cr else b""
        found = _IMPURE.search(held + data)
        if found is None:
            raise RuntimeError("no impurity where one was counted")
        bare = found[0][0]
        before = found.start() - len(held) + (bare == 13)  # a CR is bare only when another byte has come
        return _PROBLEMS[bare] if self._lines_fit(data[:before]) else _TOO_LONG

    def _lines_fit(self, data: bytes) -> bool:
        start, room = 0, self._max_line - self._line
        while len(data) - start > room:
            end = data.rfind(b"\n", start, start + room + 1)
            if end < 0:
                return False
            start, room = end + 1, self._max_line
        last = data.rfind(b"\n", start)
        self._line = len(data) - last - 1 if last >= 0 else len(data) - start + (self._max_line - room)
        return True


class DotStuffer:
    """Encodes a body for DATA, piece by piece (RFC 5321 §4.5.2)."""

    __slots__ = ("_tail",)

    def __init__(self) -> None:
        self._tail = b"\r\n"  # the last two bytes sent

    def encode(self, data: bytes) -> bytes:
        """The next bytes as they go over the wire."""
        if not data:
            return b""
        joined = self._tail + data
        self._tail = joined[-2:]
        return joined.replace(b"\r\n.", b"\r\n..")[2:]

    def end(self) -> bytes:
        """What ends the message; a last line without CRLF gets one."""
        return b".\r\n" if self._tail == b"\r\n" else _END
