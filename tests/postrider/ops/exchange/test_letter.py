"""Line ends one way and the other, whatever the pieces are; keywords that IMAP can tell."""

from hypothesis import given
from hypothesis import strategies as st

from postrider.ops.exchange.letter import LineEnds, UnixLineEnds, sound_keywords

LINES = st.binary(max_size=60).map(lambda b: b.replace(b"x", b"\r").replace(b"y", b"\n").replace(b"z", b"\r\n"))


def pieces_of(octets, cuts):
    at = sorted({min(cut, len(octets)) for cut in cuts})
    return [octets[a:b] for a, b in zip([0, *at], [*at, len(octets)], strict=True)]


def through(ends, octets, cuts=()):
    return b"".join(ends.feed(piece) for piece in pieces_of(octets, cuts)) + ends.end()


@given(LINES, st.lists(st.integers(0, 60)))
def test_pieces_make_no_difference(octets, cuts):
    assert through(LineEnds(), octets, cuts) == through(LineEnds(), octets)
    assert through(UnixLineEnds(), octets, cuts) == through(UnixLineEnds(), octets)


@given(LINES, st.lists(st.integers(0, 60)))
def test_every_line_ends_with_crlf(octets, cuts):
    ended = through(LineEnds(), octets, cuts)
    assert ended.count(b"\n") == ended.count(b"\r\n") == octets.count(b"\n")
    assert through(LineEnds(), ended) == ended


@given(st.lists(st.binary(max_size=9).map(lambda b: b.replace(b"\r", b"").replace(b"\n", b""))))
def test_mail_comes_back_as_it_was(lines):
    mail = b"\r\n".join(lines)
    assert through(LineEnds(), through(UnixLineEnds(), mail)) == mail


def test_keywords_become_atoms():
    assert sound_keywords(["$Forwarded", "two words", "a(b", "é", "", "x" * 101]) == (
        "$Forwarded",
        "two_words",
        "a_b",
        "_",
    )
    assert len(sound_keywords(f"k{number}" for number in range(80))) == 50
