"""Mbox: where messages begin, quoting, flags in fields."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postrider.ops.exchange import mbox
from postrider.store.values import Flag

FROM = b"From alice@one.test Thu Jan  1 12:00:00 2009"
LINE = st.sampled_from(
    [b"", b"From here", b">From here", b">>From ", FROM, b">" + FROM, b"text", b"Fro", b">", b" From x", b"From"]
)
LINES = st.lists(LINE, max_size=8)
MESSAGE = LINES.map(lambda lines: b"".join(line + b"\n" for line in lines))


def split(data, undo=True):
    """(From_ line, octets) of each message; None where octets come before the first."""
    found = []
    for part in mbox.split(data.splitlines(keepends=True), undo=undo):
        if isinstance(part, mbox.Begin):
            found.append([part.line, b""])
        elif found:
            found[-1][1] += part
        else:
            found.append([None, part])
    return [tuple(one) for one in found]


def quoted(octets, size=None):
    quoting = mbox.Quoting()
    size = size or max(len(octets), 1)
    return b"".join(quoting.feed(octets[at : at + size]) for at in range(0, len(octets), size)) + quoting.end()


@given(st.lists(MESSAGE, max_size=4))
def test_messages_come_back(messages):
    file = b"".join(FROM + b"\n" + quoted(message) + b"\n" for message in messages)
    assert split(file) == [(FROM, message) for message in messages]


@given(MESSAGE, st.integers(1, 20))
def test_pieces_make_no_difference_to_quoting(message, size):
    assert quoted(message, size) == quoted(message)


@given(st.binary(max_size=200))
def test_any_octets_are_read(octets):
    split(octets)
    mbox.received(octets)
    mbox.take_status(octets)


def test_in_mboxo_nothing_is_undone():
    assert split(FROM + b"\n>From me\n\n", undo=False) == [(FROM, b">From me\n")]


def test_a_line_without_a_date_begins_no_message():
    file = FROM + b"\nSubject: a\n\nFrom here on it is easy\n\n" + FROM + b"\nSubject: b\n\n"
    assert split(file) == [(FROM, b"Subject: a\n\nFrom here on it is easy\n"), (FROM, b"Subject: b\n")]


def test_files_with_crlf_and_without_an_empty_line():
    file = FROM + b"\r\nSubject: a\r\n\r\nx\r\n\r\n" + FROM + b"\r\nSubject: b\r\n" + FROM + b"\r\n"
    assert split(file) == [(FROM, b"Subject: a\r\n\r\nx\r\n"), (FROM, b"Subject: b\r\n"), (FROM, b"")]


def test_what_stands_before_the_first_message_begins_none():
    assert split(b"\n\n" + FROM + b"\na: b\n") == [(None, b"\n"), (FROM, b"a: b\n")]
    assert split(b"hello\n" + FROM + b"\na: b\n") == [(None, b"hello\n"), (FROM, b"a: b\n")]


@pytest.mark.parametrize(
    "line",
    [
        FROM,
        b"From - Thu Jan 01 12:00:00 2009",
        b"From MAILER-DAEMON Thu Jan  1 12:00:00 2009",
        b"From 1234@xxx Thu Jan 01 12:00:00 +0000 2009",
        b'From "May I"@one.test  Thu Jan  1 12:00:00 2009\r\n',
        b"From alice at one.test  Thu Jan  1 12:00:00 2009",
    ],
)
def test_from_lines_in_the_wild(line):
    assert mbox.received(line) == 1230811200


def test_from_lines_of_ours():
    assert mbox.from_line("alice@one.test", 1230811200) == FROM + b"\n"
    for sender in ("", '"a b"@one.test', "a\n@one.test"):
        assert mbox.from_line(sender, 0) == b"From MAILER-DAEMON Thu Jan  1 00:00:00 1970\n"


@given(st.integers(0, 31), st.lists(st.sampled_from(["a", "$b", "c-d"]), unique=True), MESSAGE)
def test_flags_come_back_and_the_header_is_as_it_was(flags, words, message):
    marks = mbox.take_status(mbox.status_fields(flags, words, message) + message)
    assert marks == mbox.Marks(message, flags, tuple(words))


@pytest.mark.parametrize("own", [b"Status: RO\n", b"X-Keywords: mine\n", b"X-Status: A\nSubject: x\n\n"])
def test_a_message_keeps_status_fields_of_its_own(own):
    marks = mbox.take_status(mbox.status_fields(Flag.SEEN, (), own) + own)
    assert marks == mbox.Marks(own, Flag.SEEN, ())


def test_other_programs_have_status_fields_anywhere():
    header = b"Subject: x\nStatus: RO\nX-Keywords: a\n  b\nX-Status: AF\nTo: y\n\n"
    marks = mbox.take_status(header)
    assert marks == mbox.Marks(b"Subject: x\nTo: y\n\n", Flag.SEEN | Flag.ANSWERED | Flag.FLAGGED, ("a", "b"))


def test_what_is_no_status_is_left_alone():
    header = b"Status: shipped\nX-Status: ready to go\nSubject: order\n\nStatus: RO\n"
    assert mbox.take_status(header) == mbox.Marks(header, None, ())


def test_thunderbirds_marks():
    """They are its file's own: they change when somebody reads the message."""
    rest = b"X-UIDL: x\nReceived: x\nX-Mozilla-Status: 0009\n\n"  # and what a sender wrote is his
    marks = mbox.take_mozilla(
        b"X-Mozilla-Status: 0007\nX-Mozilla-Status2: 00000000\nX-Mozilla-Keys: $label1 Junk        \n" + rest
    )
    assert marks == mbox.Marks(rest, Flag.SEEN | Flag.ANSWERED | Flag.FLAGGED, ("$label1", "Junk"))
    assert mbox.take_mozilla(rest) == mbox.Marks(rest, None, ())
    assert mbox.take_mozilla(b"X-Mozilla-Status: 0009\r\n") is None
    assert mbox.take_mozilla(b"X-Mozilla-Status: odd\n") == mbox.Marks(b"", 0, ())


def test_what_imap_servers_note_in_an_mbox_is_its_files_own():
    message = b"Subject: x\n\nX-UID: 3\n"
    noted = b"X-IMAPbase: 1230811200 0000000007\n Work\nX-UID: 3\nStatus: RO\n" + message
    assert mbox.take_status(noted) == mbox.Marks(message, Flag.SEEN, ())
    for own in (b"X-UID: three\n" + message, b"Status: O\nX-UID: 3\n" + message):
        assert mbox.take_status(own).header == own.removeprefix(b"Status: O\n")


def test_notes_of_uw_imap_are_no_message():
    assert mbox.is_internal(b"Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\nX-IMAP: 1 2\n\n")
    assert not mbox.is_internal(b"Subject: DON'T DELETE THIS MESSAGE\n\n")
