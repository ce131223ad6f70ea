"""Flags on the wire: the five system flags as bits (in the order of store.values.Flag), keywords as words beside."""

from __future__ import annotations

from collections.abc import Iterable

#: RFC 9051 §2.3.2; bit n of a flags number is the n-th name.
SYSTEM_FLAGS = (b"\\Seen", b"\\Answered", b"\\Flagged", b"\\Deleted", b"\\Draft")
SEEN, ANSWERED, FLAGGED, DELETED, DRAFT = (1 << bit for bit in range(5))
_BITS = {name.lower(): 1 << bit for bit, name in enumerate(SYSTEM_FLAGS)}
_LISTS = tuple(b" ".join(name for bit, name in enumerate(SYSTEM_FLAGS) if bits >> bit & 1) for bits in range(32))

MAX_KEYWORD = 100  # octets
MAX_KEYWORDS = 50  # in one command


def split_flags(names: Iterable[bytes]) -> tuple[int, tuple[str, ...]]:
    r"""Bits and keywords of a flag list. Raises ValueError for a system flag that nobody may set (\Recent, unknown)."""
    bits, keywords = 0, []
    for name in names:
        if not name.startswith(b"\\"):
            keywords.append(name.decode("ascii"))
        elif (bit := _BITS.get(name.lower())) is not None:
            bits |= bit
        else:
            raise ValueError("this system flag cannot be set")
    unique = tuple(dict.fromkeys(keywords))
    if len(unique) > MAX_KEYWORDS or any(len(keyword) > MAX_KEYWORD for keyword in unique):
        raise ValueError("too many keywords, or one is too long")
    return bits, unique


def flag_list(bits: int, keywords: Iterable[str] = (), *, recent: bool = False) -> bytes:
    """The inside of a FLAGS list, without the parentheses."""
    text = _LISTS[bits & 31]
    if keywords:
        text = b" ".join((*filter(None, (text,)), *(keyword.encode("ascii", "replace") for keyword in keywords)))
    if recent:
        text = text + b" \\Recent" if text else b"\\Recent"
    return text
