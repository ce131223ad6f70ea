"""The word index: whole words in any case and without accents, and which message answers a question best.

Where a script sets no spaces (Han, Kana) every two neighbours are a word.
"""

from __future__ import annotations

import itertools
import math
import re
import unicodedata
from collections.abc import Mapping

import apsw

from postrider.mime.text import fold
from postrider.store.search.wanted import Part

#: `detail=column` knows in which column a word is and not where, which is all that the rank asks for.
WORDS = (
    "CREATE VIRTUAL TABLE words USING fts5(subject, people, body, content='', contentless_delete=1, detail=column,"
    " tokenize='unicode61 remove_diacritics 2')"
)
#: What a word in each column is worth.
WEIGHTS = (4.0, 3.0, 1.0)
_BODY = 2
#: Words of a question that count.
MAX_WORDS = 16

_UNSPACED = re.compile("[\u2e80-\u2fdf\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u9fff\U00020000-\U0003ffff]{2,}")
_WORD = re.compile(r"[^\W_]+")
#: What the tokenizer leaves out of words.
_MARKS = re.compile("[\u0300-\u036f]+")


def columns(texts: Mapping[Part, str]) -> tuple[str, str, str]:
    """Subject, people and body of a document's folded texts, as they are put into the table."""
    people = "\n".join(_values(texts.get(part, "")) for part in (Part.SENDER, Part.RECIPIENTS))
    return _prepared(_values(texts.get(Part.SUBJECT, ""))), _prepared(people), _prepared(texts.get(Part.BODY, ""))


def question(text: str) -> str:
    """FTS5's query for messages that have all words of the text; "" where it has none."""
    words = dict.fromkeys(_WORD.findall(_MARKS.sub("", _prepared(fold(text)))))
    return " AND ".join(f'"{word}"' for word in itertools.islice(words, MAX_WORDS))


def rank(message: apsw.FTS5ExtensionApi, /, *_: object) -> float:
    """How well a message answers: where its words are, and how many others are beside them."""
    found = 0.0
    for phrase in range(message.phrase_count):
        found += max((WEIGHTS[column] for column in message.phrase_columns(phrase)), default=0.0)
    return found / (1.0 + math.log1p(message.column_size(_BODY)) / 8)


def _values(lines: str) -> str:
    """The values of "name: value" lines."""
    return "\n".join(line.partition(": ")[2] for line in lines.split("\n"))


def _prepared(text: str) -> str:
    # Folded text is decomposed, and the tokenizer knows only the marks of the Latin, Greek and Cyrillic scripts.
    return text if text.isascii() else _UNSPACED.sub(_pairs, unicodedata.normalize("NFC", text))


def _pairs(run: re.Match[str]) -> str:
    return " " + " ".join(one + other for one, other in itertools.pairwise(run[0])) + " "
