"""Mail addresses: parsing, IDN and the one normal form that keys, claims and look-ups use."""

from __future__ import annotations

import ipaddress
import re
import unicodedata

import idna
import msgspec

# RFC 5321 §4.5.3.1: octets, not characters.
MAX_LOCAL = 64
MAX_DOMAIN = 253  # RFC 1035 §3.1: 255 octets on the wire, two of which nobody writes
MAX_ADDRESS = 254  # RFC 3696 erratum 1690: a path of 256 less its angle brackets

# RFC 5322 §3.2.3 atext; RFC 6531 §3.3 adds every non-ASCII character.
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-\u0080-\ud7ff\ue000-\U0010ffff]+"
_DOT_STRING = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
# RFC 5321 §4.1.2: qtextSMTP and quoted-pairSMTP.
_QUOTED = re.compile(r'"(?:[\x20\x21\x23-\x5b\x5d-\x7e\u0080-\ud7ff\ue000-\U0010ffff]|\\[\x20-\x7e])*"')
# RFC 1123 §2.1, and the underscore: RFC 2181 §11 allows any octet, and hosts with one in their names send mail.
_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?")
_LITERAL = re.compile(r"\[(IPv6:)?([0-9A-Fa-f:.]+)\]", re.IGNORECASE)


class AddressError(ValueError):
    """The text is not a mail address or domain; the message says what is wrong with it."""


class Address(msgspec.Struct, frozen=True):
    """A mailbox address as it was written (RFC 5321 §4.1.2 Mailbox). Compare `key`, never the parts."""

    local: str
    domain: str

    @classmethod
    def of(cls, text: str) -> Address:
        """An address that was parsed before, from the text it was kept as."""
        local, _, domain = text.rpartition("@")
        return cls(local, domain)

    @property
    def key(self) -> str:
        """The normal form: local part unquoted, NFC and case-folded; domain as lower-case A-labels (RFC 5890)."""
        return f"{normal_local(self.local)}@{normal_domain(self.domain)}"

    @property
    def is_ascii(self) -> bool:
        """False when the local part needs SMTPUTF8 (RFC 6531); a U-label domain alone can be sent as A-labels."""
        return self.local.isascii()

    def __str__(self) -> str:
        return f"{self.local}@{self.domain}"


def parse_address(text: str) -> Address:
    """Parse `local@domain` without angle brackets or source route. Raises AddressError."""
    local, at, domain = text.rpartition("@")
    if not at:
        raise AddressError(f"{_shown(text)}: an address needs an @")
    if not local:
        raise AddressError(f"{_shown(text)}: nothing before the @")
    if not (_DOT_STRING.fullmatch(local) or _QUOTED.fullmatch(local)):
        raise AddressError(f"{_shown(text)}: {_shown(local)} is not a local part (RFC 5321 §4.1.2)")
    if len(local.encode()) > MAX_LOCAL:
        raise AddressError(f"{_shown(text)}: the part before the @ is longer than {MAX_LOCAL} octets")
    normal_domain(domain)
    if len(text.encode()) > MAX_ADDRESS:
        raise AddressError(f"{_shown(text)}: longer than {MAX_ADDRESS} octets")
    return Address(local, domain)


def normal_local(local: str) -> str:
    """The local part as keys hold it: no more quoting than it needs, NFC, case-folded."""
    if local.startswith('"') and local.endswith('"') and len(local) >= 2:
        bare = re.sub(r"\\(.)", r"\1", local[1:-1])
        local = bare if _DOT_STRING.fullmatch(bare) else '"' + re.sub(r'(["\\])', r"\\\1", bare) + '"'
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", local).casefold())


def normal_domain(domain: str) -> str:
    """The domain as lower-case A-labels, or an address literal in its canonical form. Raises AddressError."""
    if domain.startswith("["):
        return _normal_literal(domain)
    if domain.isascii():
        ascii_form = domain.lower()
    else:
        try:
            ascii_form = idna.encode(domain, uts46=True).decode("ascii").lower()
        except idna.IDNAError as error:
            raise AddressError(f"{_shown(domain)} is not a domain name: {error}") from error
    if not ascii_form or len(ascii_form) > MAX_DOMAIN:
        raise AddressError(f"{_shown(domain)}: a domain name has 1 to {MAX_DOMAIN} octets")
    for label in ascii_form.split("."):
        if not _LABEL.fullmatch(label) or len(label) > 63:
            raise AddressError(f"{_shown(domain)}: {_shown(label)} is not a label of a domain name (RFC 1123 §2.1)")
    return ascii_form


def own_domain(name: str) -> str:
    """`normal_domain` of a name of ours, in which RFC 1123 §2.1 counts. Raises AddressError."""
    if name.startswith("["):
        raise AddressError(f"{_shown(name)} is an address literal, not a domain name")
    normal = normal_domain(name)
    if "_" in normal:
        raise AddressError(f"{_shown(name)}: a domain of ours has no underscore in its name (RFC 1123 §2.1)")
    return normal


def _normal_literal(domain: str) -> str:
    match = _LITERAL.fullmatch(domain)
    try:
        address = ipaddress.ip_address(match[2]) if match else None
    except ValueError:
        address = None
    if match is None or address is None or bool(match[1]) is not (address.version == 6):
        raise AddressError(f"{_shown(domain)} is not an address literal (RFC 5321 §4.1.3)")
    return f"[IPv6:{address}]" if address.version == 6 else f"[{address}]"


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")
