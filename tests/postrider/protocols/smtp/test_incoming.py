"""One message on its way in: limits hold to the octet, and the pieces it comes in change nothing."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postrider.protocols.smtp.events import Body
from postrider.protocols.smtp.incoming import TOO_BIG, Incoming

LIMIT = 10


def taken(data, cuts=()):
    """What is said at the end of a message that comes in these pieces, None where it is taken."""
    incoming = Incoming(LIMIT, binary=False)
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    for start, stop in pairwise(edges):
        incoming.take(data[start:stop])
    incoming.finish()
    return incoming.void


def test_as_much_as_is_allowed_is_taken():
    incoming = Incoming(LIMIT, binary=False)
    assert incoming.fits(LIMIT)
    assert not incoming.fits(LIMIT + 1)
    assert incoming.take(b"12345678\r\n") == Body(b"12345678\r\n")
    assert incoming.finish() is None
    assert not incoming.fits(1)


@given(st.lists(st.integers(1, 14)))
@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"12345678\r\n", None),
        (b"123456789\r\n", 552),
        (b"1\n345678\r\n", 550),
        # What is wrong within the limit comes first, what is wrong beyond it is not looked at.
        (b"1\n345678\r\nabc", 550),
        (b"12345678\r\n9\nabc", 552),
    ],
)
def test_pieces_change_nothing(data, code, cuts):
    said = taken(data, cuts)
    assert (said and said.code) == code
    assert (said == TOO_BIG) == (code == 552)
