"""The SASL mechanisms of AUTHENTICATE: PLAIN (RFC 4616) and LOGIN, line by line."""

from __future__ import annotations

import binascii

MECHANISMS = ("PLAIN", "LOGIN")
_PROMPTS = (b"VXNlcm5hbWU6", b"UGFzc3dvcmQ6")  # "Username:", "Password:"


class SaslFault(ValueError):
    """The exchange is broken or was cancelled; the text goes to the client."""


class Exchange:
    """One AUTHENTICATE. Each step takes the client's line and gives a challenge (bytes) or (login, password)."""

    def __init__(self, mechanism: str) -> None:
        self.mechanism = mechanism
        self._given: list[str] = []

    def step(self, line: bytes | None) -> bytes | tuple[str, str]:
        """One more line, base64; None when there is no initial response. Raises SaslFault."""
        if line is None:
            return b"" if self.mechanism == "PLAIN" else _PROMPTS[0]
        if line == b"*":
            raise SaslFault("cancelled")
        data = _decode(line)
        if self.mechanism == "PLAIN":
            return _plain(data)
        self._given.append(data)
        return _PROMPTS[1] if len(self._given) == 1 else (self._given[0], self._given[1])


def _decode(line: bytes) -> str:
    try:
        return binascii.a2b_base64(line, strict_mode=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise SaslFault("not base64 of UTF-8") from error


def _plain(data: str) -> tuple[str, str]:
    match data.split("\x00"):
        case [authorisation, login, password] if login and password:
            if authorisation and authorisation != login:
                raise SaslFault("nobody can act for others here")
            return login, password
    raise SaslFault("not a PLAIN message")
