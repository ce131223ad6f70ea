"""EML: the list beside the files, and the date a message says."""

from hypothesis import given
from hypothesis import strategies as st

from postrider.ops.exchange import eml
from postrider.ops.exchange.eml import Entry

ENTRIES = st.builds(
    Entry,
    st.integers(-(2**40), 2**40),
    st.integers(0, 31),
    st.lists(st.sampled_from(["a", "$b"]), unique=True).map(tuple),
)


@given(st.dictionaries(st.integers(1, 99).map(lambda uid: eml.name_of(7, uid)), ENTRIES))
def test_the_list_comes_back(entries):
    assert eml.parse_list("".join(eml.list_line(name, entry) for name, entry in entries.items())) == entries


@given(st.text())
def test_any_list_is_read(text):
    eml.parse_list(text)


def test_the_last_line_counts_and_a_torn_one_does_not():
    text = eml.list_line("a.eml", Entry(1, 0, ())) + eml.list_line("a.eml", Entry(2, 1, ())) + "b.eml\t3"
    assert eml.parse_list(text) == {"a.eml": Entry(2, 1, ())}


def test_the_date_a_message_says():
    assert eml.date_of(b"Subject: x\r\nDate: Thu, 1 Jan 2009 12:00:00 +0000\r\n\r\nDate: never\r\n") == 1230811200
    assert eml.date_of(b"Subject: x\n\nDate: Thu, 1 Jan 2009 12:00:00 +0000\n") is None
