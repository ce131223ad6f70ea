"""Kinds of text in resources - addresses, domains, sizes, durations - with the CEL rules that refuse malformed ones."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, Field

from postrider_operator.kinds.resource import Rule, ruled

# Everything but controls, space and the specials of RFC 5322 §3.2.3; beyond ASCII RFC 6531 §3.3 allows all.
_ATOM = r"[^\x00-\x20\x22(),.:;<>@\[\\\]\x7f]+"
_LOCAL = rf"({_ATOM}(\.{_ATOM})*|\x22([^\x00-\x1f\x22\\\x7f]|\\[\x20-\x7e])*\x22)"
# A letter, digit or character beyond ASCII; in the middle of a label a hyphen too (RFC 1123 §2.1, RFC 5890).
_EDGE = r"[^\x00-\x2f\x3a-\x40\x5b-\x60\x7b-\x7f]"
_INNER = r"[^\x00-\x2c\x2e\x2f\x3a-\x40\x5b-\x60\x7b-\x7f]"
_LABEL = rf"{_EDGE}({_INNER}{{0,61}}{_EDGE})?"
_DOMAIN = rf"{_LABEL}(\.{_LABEL})*"
#: Other people's domains may have underscores in their names too.
_ANY_DOMAIN = _DOMAIN.replace(r"\x5b-\x60", r"\x5b-\x5e\x60")
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)(k|Ki|M|Mi|G|Gi|T|Ti|P|Pi)?")
_SIZE_UNITS = {"": 1} | {
    prefix + suffix: base ** (power + 1)
    for suffix, base in (("", 1000), ("i", 1024))
    for power, prefix in enumerate(("k" if not suffix else "K", "M", "G", "T", "P"))
}
_DURATION_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _address_rules(local: str, example: str, domain: str = _DOMAIN) -> tuple[Rule, ...]:
    return (
        Rule("self.matches(r'^.+@[^@]+$')", f"an address is local@domain, for example {example}"),
        Rule(
            rf"!self.matches(r'^.+@[^@]+$') || self.matches(r'^{local}@[^@]+$')",
            "what stands before the @ is not a local part (RFC 5321 section 4.1.2): "
            "no spaces, no dot at either end or beside another, no ( ) < > [ ] , ; : @",
        ),
        Rule(
            rf"!self.matches(r'^.+@[^@]+$') || self.matches(r'@{domain}$')",
            "what stands after the @ is not a domain name: labels of letters, digits and hyphens, joined by dots",
        ),
        Rule(
            "!self.matches(r'^.+@[^@]+$') || self.matches(r'^.{1,64}@[^@]+$')",
            "what stands before the @ may have at most 64 characters (RFC 5321 section 4.5.3.1.1)",
        ),
    )


DOMAIN_RULES = (
    Rule(
        rf"self.matches(r'^{_DOMAIN}$')",
        "not a domain name: labels of letters, digits and hyphens, joined by dots, no dot at the end, "
        "for example example.org",
    ),
)
# RFC 1123 §2.1: the highest label of a name is never a number; what looks so is an address.
_NO_ADDRESS = Rule(r"!self.matches(r'(^|\.)[0-9]+$')", "an IP address is no name: what the server is called in DNS")
SELECTOR_RULES = (
    Rule(
        r"self.matches(r'^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$')",
        "not a selector: labels of letters, digits and hyphens, joined by dots (RFC 6376 section 3.1), "
        "for example s2026a",
    ),
)
# Less than 2**60 bytes: sizes are added up, and the sum of a store's has to fit into 64 bits.
_FRACTION = r"(\.[0-9]{1,9})?"
_SIZE_RULES = (
    Rule(
        rf"type(self) == int ? self >= 0 && self < {2**60} : string(self).matches(r'^([0-9]{{1,18}}{_FRACTION}|"
        rf"[0-9]{{1,9}}{_FRACTION}(k|Ki|M|Mi|G|Gi)|[0-9]{{1,6}}{_FRACTION}(T|Ti)|[0-9]{{1,3}}{_FRACTION}(P|Pi))$')",
        "not a size: a number of bytes, or a number with Ki, Mi, Gi, Ti (or k, M, G, T), for example 5Gi",
    ),
)
# Of as many digits that the end of the longest one still has a date.
_DURATION_RULES = (
    Rule(
        "self.matches(r'^([0-9]{1,8}[sm]|[0-9]{1,6}h|[0-9]{1,4}d)+$')",
        "not a duration: numbers with s, m, h or d, for example 90s, 5m, 4h or 5d",
    ),
)
_SOME_TIME = Rule("!self.matches(r'^(0+[smhd])+$')", "it must be longer than nothing, for example 5m")
_SOME_BYTES = Rule(r"!string(self).matches(r'^0+(\.0+)?[A-Za-z]*$')", "it must be more than nothing, for example 50Mi")

_CATCH_ALL = Rule("!self.startsWith('*@')", "*@domain is a catch-all, and only an Alias can be one")

AddressText = Annotated[
    str,
    Field(
        min_length=1,
        max_length=254,
        json_schema_extra=ruled(*_address_rules(_LOCAL, "alice@example.org"), _CATCH_ALL),
    ),
]
#: An address anywhere.
TargetText = Annotated[
    str,
    Field(
        min_length=1,
        max_length=254,
        json_schema_extra=ruled(*_address_rules(_LOCAL, "alice@example.org", _ANY_DOMAIN), _CATCH_ALL),
    ),
]
#: An address, or "*@domain".
AliasAddressText = Annotated[
    str,
    Field(
        min_length=1,
        max_length=254,
        json_schema_extra=ruled(*_address_rules(_LOCAL, "sales@example.org, or *@example.org for the catch-all")),
    ),
]
DomainText = Annotated[str, Field(min_length=1, max_length=253, json_schema_extra=ruled(*DOMAIN_RULES))]
#: A name the server gives itself.
HostText = Annotated[str, Field(min_length=1, max_length=253, json_schema_extra=ruled(*DOMAIN_RULES, _NO_ADDRESS))]
SelectorText = Annotated[str, Field(min_length=1, max_length=63, json_schema_extra=ruled(*SELECTOR_RULES))]
#: A number of bytes: "5Gi", "500M", 1000000. `size_bytes` reads it. Written as a number it becomes text.
SizeText = Annotated[
    str,
    BeforeValidator(lambda value: str(value) if isinstance(value, int) else value),
    Field(max_length=32, json_schema_extra=ruled(*_SIZE_RULES, **{"x-kubernetes-int-or-string": True})),
]
#: The same, and not 0.
SomeSizeText = Annotated[
    str,
    BeforeValidator(lambda value: str(value) if isinstance(value, int) else value),
    Field(max_length=32, json_schema_extra=ruled(*_SIZE_RULES, _SOME_BYTES, **{"x-kubernetes-int-or-string": True})),
]
#: "90s", "5m", "4h", "5d", "1h30m". `duration_seconds` reads it.
DurationText = Annotated[str, Field(min_length=1, max_length=32, json_schema_extra=ruled(*_DURATION_RULES))]

#: The same, and not 0.
SomeDurationText = Annotated[
    str, Field(min_length=1, max_length=32, json_schema_extra=ruled(*_DURATION_RULES, _SOME_TIME))
]


def size_bytes(text: str) -> int:
    """A SizeText in bytes. Raises ValueError."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a size such as 5Gi")
    return int(float(match[1]) * _SIZE_UNITS[match[2] or ""])


def duration_seconds(text: str) -> int:
    """A DurationText in seconds. Raises ValueError."""
    parts = re.findall(r"([0-9]+)([smhd])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r} is not a duration such as 5m")
    return sum(int(number) * _DURATION_UNITS[unit] for number, unit in parts)
