"""HTML as the text people see. For previews and search: it makes nothing safe to show as HTML."""

from __future__ import annotations

import html
import re
import sys

# HTML §13.2.5.6: only these behind "<" begin a tag, a comment or a declaration; any other "<" is text.
_OPENING = re.compile(r"<(?:(!--)|([a-z][^\s/>]*)|[/!?]([a-z]*))", re.IGNORECASE)
# int() raises for more than 4300 digits.
_OVERLONG = re.compile("&#[0-9]{20,};?")
_INVISIBLE = frozenset({"style", "script", "head", "title", "template"})
#: Elements that do not part words.
_INLINE = frozenset({
    "a", "abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "code", "del", "dfn", "em", "font", "i", "ins", "kbd",
    "mark", "nobr", "o:p", "q", "s", "samp", "small", "span", "strike", "strong", "sub", "sup", "tt", "u", "var", "wbr",
})  # fmt: skip


def visible_text(markup: str, enough: int = sys.maxsize) -> str:
    """Without tags, comments, styles and scripts; references resolved. It ends soon after `enough` characters.

    Each character is looked at a fixed number of times, whatever the markup.
    """
    lower = ""
    pieces: list[str] = []
    position = size = 0
    while size < enough:
        match = _OPENING.search(markup, position)
        piece = markup[position : match.start() if match else None]
        pieces.append(piece)
        size += len(piece)
        if match is None:
            break
        name = (match[2] or match[3] or "").lower()
        if match[2] and name in _INVISIBLE and not lower:
            lower = markup.replace("\u0130", "I").lower()  # the one character whose lower case is longer
        position = _behind(markup, lower, match, name)
        if position < 0:
            break
        if name not in _INLINE:
            pieces.append(" ")
    return html.unescape(_OVERLONG.sub("\ufffd", "".join(pieces)))


def _behind(markup: str, lower: str, match: re.Match[str], name: str) -> int:
    """Where text goes on behind the tag, comment or invisible element; -1 where the rest of the input is inside it.

    A missing end ends the search for good: nothing is looked through twice.
    """
    opening = match.end()
    if match[1]:
        end = markup.find("-->", opening)
        return end + 3 if end >= 0 else -1
    if match[2] and name in _INVISIBLE:
        opening = lower.find("</" + name, opening)
        if opening < 0:
            return -1
    end = markup.find(">", opening)
    return end + 1 if end >= 0 else -1
