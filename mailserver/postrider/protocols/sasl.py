"""SASL (RFC 4422) as servers speak it in base64 lines: PLAIN and LOGIN, for every line protocol."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

#: RFC 4954 §4: octets of a base64 line that must be accepted.
MAX_LINE = 12288
#: Octets of a login name or password beyond which nobody has one.
_MAX_WORD = 1024


class SaslError(Exception):
    """The exchange cannot go on; `cancelled` when the client said "*". The text may be told to the client."""

    def __init__(self, text: str, *, cancelled: bool = False) -> None:
        super().__init__(text)
        self.cancelled = cancelled


@dataclass(frozen=True, slots=True)
class Challenge:
    """Base64 text to send behind the protocol's continuation mark; the client answers with a line."""

    text: bytes


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the client claims to be, to be checked by accounts.login."""

    login: str
    password: str

    def __repr__(self) -> str:
        return f"Credentials(login={self.login!r})"


class Mechanism(Protocol):
    """One mechanism's side of an exchange, on decoded octets."""

    def step(self, response: bytes | None) -> bytes | Credentials:
        """The next challenge, or the end. `response` None: there was no initial response. Raises SaslError."""
        ...


class Plain:
    """RFC 4616."""

    def step(self, response: bytes | None) -> bytes | Credentials:
        """authzid NUL authcid NUL password, in one response."""
        if response is None:
            return b""
        parts = response.split(b"\0")
        if len(parts) != 3:
            raise SaslError("PLAIN wants three fields")
        authzid, login, password = (_word(part) for part in parts)
        if authzid not in ("", login):
            raise SaslError("acting for another user is not supported")
        return _credentials(login, password)


class Login:
    """draft-murchison-sasl-login: two questions. Obsolete, and all that some programs know."""

    def __init__(self) -> None:
        self._login: str | None = None

    def step(self, response: bytes | None) -> bytes | Credentials:
        """First the name (it may come as the initial response), then the password."""
        if response is None:
            return b"Username:"
        if self._login is None:
            self._login = _word(response)
            return b"Password:"
        return _credentials(self._login, _word(response))


#: In the order they are offered.
MECHANISMS: Mapping[str, Callable[[], Mechanism]] = {"PLAIN": Plain, "LOGIN": Login}


class Exchange:
    """One AUTH or AUTHENTICATE from its command to credentials or failure."""

    def __init__(self, mechanism: str) -> None:
        """Raises KeyError for a mechanism that is not in MECHANISMS (names in capitals)."""
        self.name = mechanism
        self._mechanism = MECHANISMS[mechanism]()

    def begin(self, initial: bytes | None) -> Challenge | Credentials:
        """`initial` is the initial response as it stood in the command: base64, "=" for an empty one, or None."""
        if initial is None:
            return self._step(None)
        return self._step(b"" if initial == b"=" else _decoded(initial))

    def answer(self, line: bytes) -> Challenge | Credentials:
        """A line the client sent after a challenge. Raises SaslError, also for "*"."""
        if line == b"*":
            raise SaslError("cancelled", cancelled=True)
        return self._step(_decoded(line))

    def _step(self, response: bytes | None) -> Challenge | Credentials:
        result = self._mechanism.step(response)
        return result if isinstance(result, Credentials) else Challenge(base64.b64encode(result))


def _decoded(text: bytes) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise SaslError("not base64") from None


def _word(octets: bytes) -> str:
    try:
        text = octets.decode()
    except UnicodeDecodeError:
        raise SaslError("not UTF-8") from None
    if len(octets) > _MAX_WORD or "\0" in text:
        raise SaslError("too long, or holds NUL")
    return text


def _credentials(login: str, password: str) -> Credentials:
    if not login or not password:
        raise SaslError("a login name and a password are needed")
    return Credentials(login, password)
