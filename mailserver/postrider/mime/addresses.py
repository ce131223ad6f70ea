"""Address lists of header fields, as ENVELOPE wants them: whatever strangers write gives a list, never an error."""

from __future__ import annotations

import re

from postrider.mime.header import joined, unquote
from postrider.model.mail import MailAddress

#: Octets of one field and addresses in it that are looked at.
MAX_FIELD = 256 * 1024
MAX_ADDRESSES = 5000
#: Words and signs that are looked at one by one for one message; an address that is written as usual takes none.
MAX_TOKENS = 40_000

# An address as nearly all are written, up to the comma behind it: Name <a@b>, "Name" <a@b>, a@b. Possessive
# throughout, so that what does not match is given up after one look.
_USUAL = re.compile(
    rb'\s*+(?:(?:"([^"\\\r\n]*+)"|([^"(),:;<>@\[\]\\]*+))\s*+<([^\s"(),:;<>@\[\]\\]++)@([^\s"(),:;<>@\[\]\\]++)>'
    rb'|([^\s"(),:;<>@\[\]\\]++)@([^\s"(),:;<>@\[\]\\]++))\s*+(?:,|\Z)'
)
# Each alternative begins with other characters and none can fail after it began: linear for any input.
_TOKEN = re.compile(
    rb'"(?:[^"\\]++|\\.)*+"?'  # quoted-string, perhaps unfinished
    rb"|\[[^\]]*+\]?"  # domain-literal
    rb"|[<>,;:@()]"
    rb'|[^\s"<>,;:@\[\]()\\]++'
    rb"|\s++|\\.?|\]",
    re.DOTALL,
)
_SPACE = b" \t\r\n\x0b\x0c"
GROUP_END = MailAddress(None, None, None)


def parse_addresses(value: bytes) -> tuple[MailAddress, ...]:
    """The addresses of a From, To, ... value (RFC 5322 §3.4) with RFC 9051 §7.5.2 group markers."""
    return AddressParser().parse(value)


class AddressParser:
    """Parses the address fields of one message; all of them together cost no more than MAX_TOKENS allow."""

    def __init__(self) -> None:
        self._tokens = MAX_TOKENS

    def parse(self, value: bytes) -> tuple[MailAddress, ...]:
        """As `parse_addresses`."""
        found: list[MailAddress] = []
        value = value[:MAX_FIELD]
        position, end = 0, len(value)
        while position < end and len(found) < MAX_ADDRESSES:
            match = _USUAL.match(value, position)
            if match is None:
                position = self._unusual(value, position, found)
                continue
            position = match.end()
            quoted, words, local, host, bare, bare_host = match.groups()
            if bare is not None:
                found.append(MailAddress(None, bare, bare_host))
            else:
                name = b" ".join(words.split()) if quoted is None else quoted
                found.append(MailAddress(name or None, local, host))
        return tuple(found)

    def _unusual(self, value: bytes, position: int, found: list[MailAddress]) -> int:
        """One address or group that has to be read word by word, and where it ends."""
        reader = _Reader(found)
        for match in _TOKEN.finditer(value, position):
            if not self._tokens or len(found) >= MAX_ADDRESSES:
                position = len(value)
                break
            self._tokens -= 1
            position = match.end()
            if reader.token(match[0]):
                return position
        reader.finish()
        return position


class _Reader:
    """Takes tokens one at a time; `found` grows."""

    def __init__(self, found: list[MailAddress]) -> None:
        self._found = found
        self._in_group = False
        self._begin()

    def _begin(self) -> None:
        self._words: list[list[bytes]] = []  # the words outside <> in pieces, quoting kept
        self._angle: list[bytes] = []  # what stands in <>
        self._has_angle = self._in_angle = False
        self._comment: list[bytes] = []
        self._depth = 0
        self._apart = True  # white space lies between the last token and this one
        self._at = -1  # the word that holds the @, a quoted one aside

    def token(self, token: bytes) -> bool:
        """True when an address ended here, outside of any group."""
        if self._depth or token == b"(":
            self._in_comment(token)
        elif self._in_angle:
            self._inside(token)
        elif token in (b",", b";"):
            self._flush()
            if token == b";" and self._in_group:
                self._found.append(GROUP_END)
                self._in_group = False
            return not self._in_group
        elif token == b":" and not self._in_group:
            self._found.append(MailAddress(None, _phrase(self._joined()), None))
            self._in_group = True
            self._begin()
        elif token == b"<":
            self._has_angle = self._in_angle = True
            self._angle = []
        elif token[:1] in _SPACE:
            self._apart = True
        elif token not in (b">", b")", b":"):
            self._word(token)
        return False

    def finish(self) -> None:
        """The value ends here."""
        self._flush()
        if self._in_group:
            self._found.append(GROUP_END)

    def _joined(self) -> list[bytes]:
        return [b"".join(pieces) for pieces in self._words]

    def _word(self, token: bytes) -> None:
        # RFC 5322 §4.4: white space may surround the @.
        if self._words and (not self._apart or token == b"@" or self._words[-1][-1].endswith(b"@")):
            self._words[-1].append(token)
        else:
            self._words.append([token])
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
        words = self._joined()
        if self._has_angle:
            name = _phrase(words)
            self._found.append(_address(name, _without_route(b"".join(self._angle))))
        elif words:
            # "a@example.org (Name)" is how it was written before RFC 822; "Name a@example.org" is plain wrong.
            at = self._at
            if at >= 0:
                name = _phrase(words[:at] + words[at + 1 :]) or joined(b"".join(self._comment).strip())
                self._found.append(_address(name, words[at]))
            else:
                self._found.append(MailAddress(None, _phrase(words), b""))
        self._begin()


def _phrase(words: list[bytes]) -> bytes:
    return b" ".join(joined(unquote(word)) for word in words)


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
    return MailAddress(name or None, joined(unquote(local)), joined(host))
