"""The grammar of SMTP commands: paths and parameters (RFC 5321 §4.1, RFC 3461, RFC 6531). Raises Refused."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from postrider.model.address import Address, AddressError, parse_address
from postrider.model.envelope import Notify, Recipient
from postrider.model.reply import Refused, Reply

# RFC 5321 §4.1.2: a source route must be understood and should be ignored (appendix C).
_PATH = r'<(?:@[^\s:<>"]+:)?((?:"(?:[^"\\]|\\.)*"|[^"<>\s@])*(?:@[^<>\s]*)?)>'
# A space behind the colon is no part of the grammar; enough programs send one.
_MAIL = re.compile(rf"FROM: *{_PATH}(?: +(\S.*))?", re.IGNORECASE)
_RCPT = re.compile(rf"TO: *{_PATH}(?: +(\S.*))?", re.IGNORECASE)
_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([^\s\x00-\x1f\x7f]+))?")
# RFC 3461 §4: xtext, and its form for UTF-8 addresses (RFC 6533 §3).
_XTEXT = re.compile(r"(?:[\x21-\x2a\x2c-\x3c\x3e-\x7e]|\+[0-9A-F]{2})+")
_ORCPT = re.compile(r"[A-Za-z0-9-]+;[^\s\x00-\x1f\x7f]+")
# What a client may call itself: a domain, an address literal, or what old programs make of a host's name.
_HELO = re.compile(r"[A-Za-z0-9._:\[\]-]{1,255}")

_NOT_A_PATH = Reply(501, "5.5.4", "Syntax: MAIL FROM:<address> [parameters]")
_NOT_A_RCPT = Reply(501, "5.5.4", "Syntax: RCPT TO:<address> [parameters]")
_NOT_UTF8 = Reply(501, "5.5.2", "Command is not UTF-8")
_NEEDS_SMTPUTF8 = Reply(553, "5.6.7", "An internationalised address needs SMTPUTF8")


@dataclass(frozen=True, slots=True)
class Mail:
    """MAIL with its parameters; `sender` None is the null reverse-path."""

    sender: Address | None
    size: int = 0
    body: str = "7BIT"
    smtputf8: bool = False
    ret: str = ""
    envid: str = ""


@dataclass(frozen=True, slots=True)
class Chunk:
    """BDAT (RFC 3030 §2)."""

    size: int
    last: bool


# The same few senders and recipients come again and again.
@functools.lru_cache(maxsize=1024)
def parse_mail(argument: bytes) -> Mail:
    """What follows MAIL."""
    match = _MAIL.fullmatch(_text(argument))
    if match is None:
        raise Refused(_NOT_A_PATH)
    values = _parameters(match[2], _MAIL_PARAMETERS)
    try:
        sender = parse_address(match[1]) if match[1] else None
    except AddressError:
        raise Refused(Reply(501, "5.1.7", "Bad sender address")) from None
    mail = Mail(sender, **values)
    # RFC 6531 §3.5
    if sender is not None and not mail.smtputf8 and not match[1].isascii():
        raise Refused(_NEEDS_SMTPUTF8)
    return mail


@functools.lru_cache(maxsize=1024)
def parse_rcpt(argument: bytes, hostname: str, smtputf8: bool) -> Recipient:
    """What follows RCPT; `hostname` completes <postmaster>, which every server takes (RFC 5321 §4.5.1)."""
    match = _RCPT.fullmatch(_text(argument))
    if match is None or not match[1]:
        raise Refused(_NOT_A_RCPT)
    values = _parameters(match[2], _RCPT_PARAMETERS)
    path = f"postmaster@{hostname}" if match[1].lower() == "postmaster" else match[1]
    try:
        address = parse_address(path)
    except AddressError:
        raise Refused(Reply(501, "5.1.3", "Bad recipient address")) from None
    if not smtputf8 and not path.isascii():
        raise Refused(_NEEDS_SMTPUTF8)
    return Recipient(address, **values)


def parse_helo(argument: bytes) -> str:
    """The name in HELO and EHLO; it goes into Received, so it is held to what a host's name is made of."""
    name = argument.decode("ascii", "replace")
    if not _HELO.fullmatch(name):
        raise Refused(Reply(501, "5.5.4", "Syntax: EHLO host.name or EHLO [address]"))
    return name


def parse_bdat(argument: bytes) -> Chunk:
    """What follows BDAT."""
    match = re.fullmatch(rb"([0-9]{1,20})( +LAST)?", argument, re.IGNORECASE)
    if match is None:
        raise Refused(Reply(501, "5.5.4", "Syntax: BDAT size [LAST]"))
    return Chunk(int(match[1]), last=match[2] is not None)


def _text(argument: bytes) -> str:
    try:
        return argument.decode()
    except UnicodeDecodeError:
        raise Refused(_NOT_UTF8) from None


# -- parameters ----------------------------------------------------------------------------------------------------

_Convert = Callable[[str | None], object]


def _parameters(text: str | None, table: Mapping[str, tuple[str, _Convert]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for word in text.split() if text else ():
        match = _PARAMETER.fullmatch(word)
        if match is None:
            raise Refused(Reply(501, "5.5.4", "Bad parameter"))
        keyword = match[1].upper()
        if keyword not in table:
            # RFC 5321 §4.1.1.11
            raise Refused(Reply(555, "5.5.4", f"Parameter {keyword[:32]} is not supported"))
        field, convert = table[keyword]
        if field in values:
            raise Refused(Reply(501, "5.5.4", f"Parameter {keyword} is given twice"))
        try:
            values[field] = convert(match[2])
        except ValueError:
            raise Refused(Reply(501, "5.5.4", f"Bad value of parameter {keyword}")) from None
    values.pop("", None)
    return values


def _one_of(*words: str) -> _Convert:
    def convert(value: str | None) -> str:
        if value is None or value.upper() not in words:
            raise ValueError
        return value.upper()

    return convert


def _number(value: str | None) -> int:
    if value is None or not value.isascii() or not value.isdigit() or len(value) > 20:  # RFC 1870 §3
        raise ValueError
    return int(value)


def _flag(value: str | None) -> bool:
    if value is not None:
        raise ValueError
    return True


def _envid(value: str | None) -> str:
    # Kept as it is: RFC 3461 §4.4 wants it back unchanged.
    if value is None or len(value) > 100 or not _XTEXT.fullmatch(value):
        raise ValueError
    return value


def _orcpt(value: str | None) -> str:
    # RFC 3461 §4.2. Taken more widely than xtext, since many programs forget to encode "=".
    if value is None or len(value) > 500 or not _ORCPT.fullmatch(value):
        raise ValueError
    return value


def _notify(value: str | None) -> Notify:
    words = (value or "").upper().split(",")
    notify = Notify.DEFAULT
    for word in words:
        if word not in Notify.__members__ or word == "DEFAULT":
            raise ValueError
        notify |= Notify[word]
    if Notify.NEVER in notify and len(words) > 1:  # RFC 3461 §4.1
        raise ValueError
    return notify


def _xtext(value: str | None) -> str:
    if value is None or not (value == "<>" or _XTEXT.fullmatch(value)):
        raise ValueError
    return value


#: keyword -> field of Mail, how its value is read. "" is checked and not kept.
_MAIL_PARAMETERS: Mapping[str, tuple[str, _Convert]] = {
    "SIZE": ("size", _number),  # RFC 1870
    "BODY": ("body", _one_of("7BIT", "8BITMIME", "BINARYMIME")),  # RFC 6152, RFC 3030
    "SMTPUTF8": ("smtputf8", _flag),  # RFC 6531
    "RET": ("ret", _one_of("FULL", "HDRS")),  # RFC 3461 §4.3
    "ENVID": ("envid", _envid),  # RFC 3461 §4.4
    "AUTH": ("", _xtext),  # RFC 4954 §5: who submitted it elsewhere; we trust nobody's word on that
}
_RCPT_PARAMETERS: Mapping[str, tuple[str, _Convert]] = {
    "NOTIFY": ("notify", _notify),  # RFC 3461 §4.1
    "ORCPT": ("orcpt", _orcpt),  # RFC 3461 §4.2
}
