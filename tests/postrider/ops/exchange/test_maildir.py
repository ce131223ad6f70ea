"""Names in a Maildir: flags, keywords, what is exported; and files of subscriptions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postrider.ops.exchange import maildir
from postrider.ops.exchange.maildir import Exported
from postrider.store.values import Flag

WORDS = st.lists(st.sampled_from(["$Forwarded", *(f"k{number}" for number in range(30))]), unique=True)


@pytest.mark.parametrize(
    ("name", "unique", "flags", "letters"),
    [
        ("1700000000.M1P2.host", "1700000000.M1P2.host", 0, ""),
        ("1700000000.M1P2.host:2,", "1700000000.M1P2.host", 0, ""),
        ("1700000000.M1P2.host,S=12,W=14:2,FSab", "1700000000.M1P2.host", Flag.FLAGGED | Flag.SEEN, "ab"),
        ("1700000000.1_2.host,U=7;2,DRT", "1700000000.1_2.host", Flag.DRAFT | Flag.ANSWERED | Flag.DELETED, ""),
        ("1.2.host!2,PS", "1.2.host", Flag.SEEN, "P"),
        ("1.2.host:2,S,dovecot=x", "1.2.host", Flag.SEEN, ""),
        ("1.2.host:1,experimental", "1.2.host", 0, ""),
    ],
)
def test_names_of_many_programs(name, unique, flags, letters):
    assert maildir.parse_name(name) == maildir.FileName(unique, flags, letters)


@given(st.text(max_size=30))
def test_any_name_is_understood(name):
    maildir.parse_name(name)
    maildir.exported(name)


@given(st.integers(0, 31), WORDS)
def test_flags_and_keywords_come_back(flags, words):
    table = [f"k{number}" for number in range(26)]
    name = Exported(1700000000, 3, 7, 12).text(14, maildir.info(flags, words, table))
    said = maildir.parse_name(name)
    assert said.flags == flags
    kept = [word for word in words if word == "$Forwarded" or word in table]
    assert sorted(maildir.keywords(said.letters, table)) == sorted(kept)
    letters = name.partition(":2,")[2]
    assert list(letters) == sorted(letters)  # ASCII order, as the format has it


@given(st.integers(), st.integers(0), st.integers(0), st.integers(0))
def test_what_is_exported_is_known_again(received, uidvalidity, uid, size):
    given_ = Exported(received, uidvalidity, uid, size)
    assert maildir.exported(given_.text(size, ":2,S")) == given_
    assert maildir.exported(given_.text(size, "").replace("postrider", "elsewhere")) is None


def test_dovecots_keywords():
    table = maildir.parse_keywords("0 $Label1\n2 Work\nnonsense\n99 far\n")
    assert maildir.keywords("Pacz", table) == ("$Forwarded", "$Label1", "Work")
    assert maildir.keywords_text(["a", "b"]) == "0 a\n1 b\n"


@given(st.lists(st.lists(st.text(min_size=1, max_size=8).filter(lambda t: "\x01" not in t), min_size=1), max_size=5))
def test_subscriptions_come_back(names):
    assert maildir.parse_subscriptions(maildir.subscriptions_text(names)) == names


def test_subscriptions_of_older_programs():
    assert maildir.parse_subscriptions("INBOX.Sent\nWork.2026\n") == [["INBOX", "Sent"], ["Work", "2026"]]
    assert maildir.parse_subscriptions("Work/v1.0\n") == [["Work", "v1.0"]]
