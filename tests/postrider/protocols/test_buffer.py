"""The input buffer: lines and counted octets, whatever the pieces are."""

from __future__ import annotations

import pytest

from postrider.protocols.buffer import BareLineFeed, Buffer, LineTooLong


def buffer(*pieces: bytes) -> Buffer:
    made = Buffer()
    for piece in pieces:
        made.feed(piece)
    return made


def test_lines_and_octets_take_turns() -> None:
    held = buffer(b"one\r", b"\ntwo\r\n", b"{3}\r\nabcrest\r\n")
    assert held.line(10) == b"one"
    assert held.line(10) == b"two"
    assert held.line(10) == b"{3}"
    assert held.take(2) == b"ab"
    assert held.take(1) == b"c"
    assert held.line(10) == b"rest"
    assert held.line(10) is None
    assert held.take(5) == b""
    assert len(held) == 0


@pytest.mark.parametrize("pieces", [(b"12345\r\n",), (b"12345", b"\r\n"), (b"12345\r", b"\n")])
def test_the_limit_counts_without_the_line_end(pieces: tuple[bytes, ...]) -> None:
    assert buffer(*pieces).line(5) == b"12345"
    with pytest.raises(LineTooLong):
        buffer(*pieces).line(4)


def test_a_line_too_long_is_known_before_its_end_and_can_be_dropped() -> None:
    held = buffer(b"x" * 7)
    with pytest.raises(LineTooLong):
        held.line(5)
    assert held.drop_line() == (7, False)
    held.feed(b"yy\r\nnext\r\n")
    assert held.drop_line() == (4, True)
    assert held.line(5) == b"next"


def test_a_bare_line_feed_ends_a_line_only_where_that_is_allowed() -> None:
    with pytest.raises(BareLineFeed):
        buffer(b"one\n").line(5)
    held = buffer(b"one\ntwo\r\n")
    assert held.line(5, bare_lf=True) == b"one"
    assert held.line(5, bare_lf=True) == b"two"


def test_discarding_forgets_input_and_not_the_end_of_the_stream() -> None:
    held = buffer(b"one\r\ntw", b"")
    held.discard()
    assert held.line(5) is None
    assert held.eof
