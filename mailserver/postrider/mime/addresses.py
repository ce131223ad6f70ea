"""Address lists of header fields, as ENVELOPE wants them: whatever strangers write gives a list, never an error."""

from __future__ import annotations

import re

from postrider.mime.header import unquote
from postrider.model.mail import MailAddress

#: Octets of one field and addresses in it that are looked at.
MAX_FIELD = 256 * 1024
MAX_ADDRESSES = 5000

# Each alternative begins with other characters and none can fail after it began: linear for any input.
_TOKEN = re.compile(
    rb'"(?:[^"\\]+|\\.)*"?'  # quoted-string, perhaps unfinished
    rb"|\[[^\]]*\]?"  # domain-literal
    rb"|[<>,;:@()]"
    rb'|[^\s"<>,;:@\[\]()\\]+'
    rb"|\s+|\\.?|\]",
    re.DOTALL,
)
_SPACE = b" \t\r\n\x0b\x0c"
GROUP_END = MailAddress(None, None, None)


def parse_addresses(value: bytes) -> tuple[MailAddress, ...]:
    """The addresses of a From, To, ... value (RFC 5322 §3.4) with RFC 9051 §7.5.2 group markers."""
    reader = _Reader()
    for match in _TOKEN.finditer(value, 0, MAX_FIELD):
        reader.token(match[0])
        if len(reader.found) >= MAX_ADDRESSES:
            break
    reader.finish()
    return tuple(reader.found)


class _Reader:
    """Takes tokens one at a time; `found` grows."""

    def __init__(self) -> None:
        self.found: list[MailAddress] = []
        self._in_group = False
        self._begin()

    def _begin(self) -> None:
        self._words: list[bytes] = []  # the words outside <>, quoting kept
        self._angle: list[bytes] = []  # what stands in <>
        self._has_angle = self._in_angle = False
        self._comment: list[bytes] = []
        self._depth = 0
        self._apart = True  # white space lies between the last token and this one
        self._at = -1  # the word that holds the @, a quoted one aside

    def token(self, token: bytes) -> None:
        if self._depth or token == b"(":
            self._in_comment(token)
        elif self._in_angle:
            self._inside(token)
        elif token == b",":
            self._flush()
        elif token == b";":
            self._flush()
            if self._in_group:
                self.found.append(GROUP_END)
                self._in_group = False
        elif token == b":" and not self._in_group:
            self.found.append(MailAddress(None, _phrase(self._words), None))
            self._in_group = True
            self._begin()
        elif token == b"<":
            self._has_angle = self._in_angle = True
            self._angle = []
        elif token[:1] in _SPACE:
            self._apart = True
        elif token not in (b">", b")", b":"):
            self._word(token)

    def finish(self) -> None:
        self._flush()
        if self._in_group:
            self.found.append(GROUP_END)

    def _word(self, token: bytes) -> None:
        # RFC 5322 §4.4: white space may surround the @.
        if self._words and (not self._apart or token == b"@" or self._words[-1].endswith(b"@")):
            self._words[-1] += token
        else:
            self._words.append(token)
        if token == b"@" and self._at < 0:
            self._at = len(self._words) - 1
        self._apart = False

    def _inside(self, token: bytes) -> None:
        if token == b">":
            self._in_angle = False
        elif token[:1] not in _SPACE:
            self._angle.append(token)

    def _in_comment(self, token: bytes) -> None:
        if token == b"(":
            self._depth += 1
            if self._depth == 1:
                return
        elif token == b")":
            self._depth -= 1
            if not self._depth:
                self._apart = True
                return
        self._comment.append(token)

    def _flush(self) -> None:
        words = self._words
        if self._has_angle:
            name = _phrase(words)
            self.found.append(_address(name, _without_route(b"".join(self._angle))))
        elif words:
            # "a@example.org (Name)" is how it was written before RFC 822; "Name a@example.org" is plain wrong.
            at = self._at
            if at >= 0:
                name = _phrase(words[:at] + words[at + 1 :]) or b"".join(self._comment).strip()
                self.found.append(_address(name, words[at]))
            else:
                self.found.append(MailAddress(None, _phrase(words), b""))
        self._begin()


def _phrase(words: list[bytes]) -> bytes:
    return b" ".join(unquote(word) for word in words)


def _without_route(path: bytes) -> bytes:
    """RFC 5322 §4.4 obs-route: "@a,@b:user@host" is user@host."""
    if path.startswith(b"@"):
        _, colon, rest = path.partition(b":")
        return rest if colon else path
    return path


def _address(name: bytes, path: bytes) -> MailAddress:
    local, at, host = path.rpartition(b"@")
    if not at:
        local, host = path, b""
    # None is for groups: an address that lacks its host has an empty one.
    return MailAddress(name or None, unquote(local), host)
