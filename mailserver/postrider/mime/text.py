"""The text of a message as people see it, for whoever searches it: decoded, stripped of HTML, and folded to compare.

The indexer and the check of its candidates both use this, so that they cannot disagree. Linear and limited.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from postrider.mime.encoding import decode_charset, decode_transfer, decode_words
from postrider.mime.header import Octets, Parameters, fields, parameter, unfold
from postrider.mime.markup import visible_text
from postrider.model.mail import Content, Part

#: Octets of one text part, as it is stored, that are searched; those of the text parts of one message together.
MAX_PART = 4 * 1024 * 1024
MAX_MESSAGE = 16 * 1024 * 1024
#: Characters of a text that are folded at once, and beyond which a letter to cut in front of is looked for; characters
#: of one folded text.
PIECE = 64 * 1024
MAX_RUN = 1024
MAX_FOLDED = 2 * MAX_PART
#: Octets of the header of a message inside a message that are searched.
MAX_INNER_HEADER = 64 * 1024
#: Pieces that RFC 2231 §3 lets a parameter come in.
MAX_PIECES = 100

_HTML = frozenset({b"html", b"xhtml", b"xhtml+xml"})
# Written to be invisible: soft hyphens, joiners, variation selectors (all are Default_Ignorable_Code_Point).
_IGNORED = re.compile("[\u00ad\u034f\u200b-\u200f\u2060-\u2064\ufe00-\ufe0f\ufeff]+")
# Every character that combines is of these, but for two that become such (test_text.py looks at all of them).
_SIGNS = re.compile(r"[^\w\x00-\x7f]{16,}")
_LETTER = re.compile(r"\w")


def fold(text: str) -> str:
    """Text as it is compared: compatibility caseless (Unicode §3.13 D146), white space as one space.

    RFC 5051 (i;unicode-casemap) with full case folding in the place of simple title case: what it holds for equal is
    equal here, and "ß" equals "ss" too. NFC and NFD agree, half and full width agree, accents count. Characters made
    to be invisible are left out, a NUL is white space. fold(fold(x)) is fold(x); a text that contains another has its
    folded text contain the other's but where combining marks follow the other in the text. What is longer than
    MAX_FOLDED is cut. Long texts are folded in pieces, so that other threads get their turn.
    """
    if text.isascii():
        folded = text.lower()
    else:
        pieces: list[str] = []
        left = MAX_FOLDED
        for piece in _pieces(text.replace("\uff9e", "\u3099").replace("\uff9f", "\u309a")):
            pieces.append(_folded(piece)[:left])
            left -= len(pieces[-1])
            if not left:
                break
        folded = "".join(pieces)
    if "\x00" in folded:
        folded = folded.replace("\x00", " ")
    return " ".join(folded.split())


def _pieces(text: str) -> Iterator[str]:
    """The text in pieces that can be folded apart: a letter takes nothing from what stands before it."""
    start = 0
    while len(text) - start > PIECE:
        beyond = start + PIECE + MAX_RUN
        letter = _LETTER.search(text, start + PIECE, beyond)
        end = letter.start() if letter else beyond
        yield text[start:end]
        start = end
    yield text[start:]


def _folded(text: str) -> str:
    plain = _SIGNS.sub(_ordered, _IGNORED.sub("", text))
    # Case folding may compose what has to be decomposed again, and decomposition may give capitals (U+1D2C).
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", plain).casefold())
    return folded.replace("\u0131", "i")  # RFC 5051: the title case of a dotless i is I


def _ordered(run: re.Match[str]) -> str:
    """The same in canonical order (Unicode §3.11 D109).

    normalize() finds it in time that grows with the square of the combining marks in a row: a stranger's message of
    some megabytes of them would take hours.
    """
    signs = "".join([unicodedata.normalize("NFKD", sign) for sign in run[0]])
    parts = itertools.groupby(signs, key=lambda sign: unicodedata.combining(sign) > 0)
    return "".join(itertools.chain.from_iterable(sorted(part, key=unicodedata.combining) for _, part in parts))


def header_texts(header: bytes, wanted: Collection[bytes] | None = None) -> Iterator[tuple[str, str]]:
    """Names (lower case) and values of a header block for people: unfolded, RFC 2047 decoded; not folded to compare.

    With `wanted` (lower case) only those names.
    """
    for name, value in fields(header, wanted):
        yield name.decode("utf-8", "replace"), decode_words(unfold(value))


def searchable(data: Octets, content: Content) -> Iterator[str]:
    """The texts of a body, one by one: text parts, names of attachments, headers of messages inside. Not folded.

    `data` is the blob. The message's own header is not among them: see `header_texts`.
    """
    yield from names(content.root)
    for passage in passages(content.root):
        yield passage.text(data[passage.start : passage.end])


@dataclass(frozen=True, slots=True)
class Passage:
    """A range of a blob that holds text: octets [start, end), which may be read apart from the rest."""

    start: int
    end: int
    #: The text part it is the content of; None for the header of a message inside.
    part: Part | None

    def text(self, octets: bytes) -> str:
        """The text of these octets of the range."""
        part = self.part
        if part is None:
            return "\n".join(f"{name}: {value}" for name, value in header_texts(octets))
        text = decode_charset(decode_transfer(octets, part.encoding), parameter(part.params, b"charset"))
        return visible_text(text) if part.subtype in _HTML else text


def passages(root: Part) -> Iterator[Passage]:
    """Where in its blob the texts of a message lie, in order; MAX_MESSAGE octets at most."""
    left = MAX_MESSAGE
    for found in _passages(root):
        yield found
        left -= found.end - found.start
        if left <= 0:
            break


def names(part: Part) -> Iterator[str]:
    """What the parts of a message are called: file names and descriptions."""
    name = filename(part)
    if name:
        yield name
    if part.description:
        yield decode_words(part.description)
    for inner in part.parts:
        yield from names(inner)
    if part.message is not None:
        yield from names(part.message)


def filename(part: Part) -> str:
    """The file name of a part (RFC 2183 §2.3, else the name of its Content-Type), "" where it has none."""
    return parameter_text(part.disposition_params, b"filename") or parameter_text(part.params, b"name")


def parameter_text(params: Parameters, name: bytes) -> str:
    """A parameter for people: RFC 2231 pieces joined and decoded; encoded words too, which RFC 2047 §5 forbids."""
    found: dict[bytes, bytes] = {}
    for key, value in params:
        found.setdefault(key, value)
    whole = found.get(name + b"*")
    if whole is not None:
        return _extended(whole)
    joined: list[bytes] = []
    extended = False
    for number in range(MAX_PIECES):
        label = b"%b*%d" % (name, number)
        piece = found.get(label)
        if piece is None:
            piece = found.get(label + b"*")
            if piece is None:
                break
            extended = extended or not number
        elif extended:
            piece = piece.replace(b"%", b"%25")
        joined.append(piece)
    if joined:
        return _extended(b"".join(joined)) if extended else decode_words(b"".join(joined))
    return decode_words(found.get(name, b""))


def _extended(value: bytes) -> str:
    """charset'language'text with percent signs (RFC 2231 §4)."""
    charset, quote, rest = value.partition(b"'")
    _, second, text = rest.partition(b"'")
    if not quote or not second:
        charset, text = b"", value
    return decode_charset(unquote_to_bytes(text), charset)


def _passages(part: Part) -> Iterator[Passage]:
    if part.type == b"text" and part.end > part.body:
        yield Passage(part.body, min(part.end, part.body + MAX_PART), part)
    inner = part.message
    if inner is not None:
        if inner.body > inner.header:
            yield Passage(inner.header, min(inner.body, inner.header + MAX_INNER_HEADER), None)
        yield from _passages(inner)
    for child in part.parts:
        yield from _passages(child)
