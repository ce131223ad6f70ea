"""A session's view against the plainest model there is: a list of UIDs."""

from __future__ import annotations

from array import array
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postrider.mailbox.view import LostCount, News, NoSuchMessage, Picked, View, without
from postrider.model.runs import runs_of
from postrider.protocols.imap.grammar import STAR
from postrider.store.values import Changes, FlagRow, MailboxRow, Vanished

ROW = MailboxRow(1, "INBOX", 1, 100, 10, 0, 0, 0, 0)


def view_of(*uids: int, recent: int = 0) -> View:
    return View(ROW, read_only=False, uids=array("I", uids), modseq=10, recent=recent)


def taken(view: View, changes: Changes, most: int = 1000) -> list[News]:
    return list(view.take(changes, expunge=True, most=most))


def flags(uid: int, modseq: int) -> FlagRow:
    return FlagRow(uid, modseq, 0, ())


ENDS = st.one_of(st.integers(1, 30), st.just(STAR))


@given(st.sets(st.integers(1, 25)), st.lists(st.tuples(ENDS, ENDS), max_size=5))
def test_uid_sets(uids: set[int], ranges: list[tuple[int, int]]) -> None:
    view = view_of(*sorted(uids))
    ranges = [(min(pair), max(pair)) for pair in ranges]
    top = max(uids, default=0)
    ends = [(top if low == STAR else low, top if high == STAR else high) for low, high in ranges]
    wanted = sorted(uid for uid in uids if any(min(pair) <= uid <= max(pair) for pair in ends))
    picked = view.pick(tuple(ranges), by_uid=True)
    assert [uid for chunk in picked.chunks(3) for uid in view.uids_at(chunk)] == wanted
    assert list(view.uids_of(picked)) == wanted
    assert len(picked) == len(wanted)


@pytest.mark.parametrize(
    ("ranges", "numbers"),
    [
        (((1, 1),), [1]),
        (((1, STAR),), [1, 2, 3]),
        (((2, 3), (1, 2)), [1, 2, 3]),
        (((STAR, STAR),), [3]),
        (((7, STAR),), [3]),
    ],
)
def test_numbers(ranges: tuple[tuple[int, int], ...], numbers: list[int]) -> None:
    picked = view_of(5, 7, 9).pick(ranges, by_uid=False)
    assert [at + 1 for chunk in picked.chunks(2) for at in chunk] == numbers


def test_numbers_beyond_the_end() -> None:
    with pytest.raises(NoSuchMessage):
        view_of(5).pick(((1, 2),), by_uid=False)
    assert view_of().pick(((1, STAR),), by_uid=False) == Picked(())


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_client_and_server_agree(data: st.DataObject) -> None:
    """A client that obeys EXISTS and EXPUNGE in order sees what the view holds, whenever it is told."""
    mailbox = list(range(1, 6))
    view = view_of(*mailbox)
    client = list(mailbox)
    modseq, uidnext = 10, 6
    told = view.known
    for _ in range(data.draw(st.integers(1, 8))):
        modseq += 1
        fresh = data.draw(st.integers(0, 2))
        gone = data.draw(st.lists(st.sampled_from(mailbox), unique=True, max_size=3)) if mailbox else []
        added = list(range(uidnext, uidnext + fresh))
        uidnext += fresh
        mailbox = [uid for uid in mailbox if uid not in gone] + added
        changes = Changes(
            modseq,
            tuple(flags(uid, modseq) for uid in added),
            (Vanished(modseq, tuple(runs_of(sorted(gone)))),) if gone else (),
        )
        expunge = data.draw(st.booleans())
        stop = data.draw(st.none() | st.integers(1, 2))
        for news in islice(view.take(changes, expunge=expunge, most=2), stop):
            assert [client[number - 1] for number in news.expunged] == list(reversed(news.vanished))
            assert len(news.expunged) <= 2
            for number in news.expunged:
                del client[number - 1]
            if news.exists is not None:
                client += [uid for uid in view.uids if uid not in client]
                assert len(client) == news.exists
            assert client == list(view.uids)
            assert [view.number(uid) for uid in client] == list(range(1, len(client) + 1))
        if view.modseq < modseq:  # it was stopped in the middle: what is not taken in is asked for again
            uidnext -= fresh
            mailbox = [uid for uid in mailbox if uid not in added]
        else:
            assert client == mailbox or not expunge
            assert view.withheld == (client != mailbox)
        told = told if view.withheld else view.modseq
        assert view.known == told


def test_own_changes_are_not_told_again() -> None:
    view = view_of(1, 2, 3)
    view.told[1] = 11
    view.silent.add(12)
    news = taken(view, Changes(13, (flags(1, 11), flags(2, 12), flags(3, 13)), ()))[-1]
    assert [number for number, _ in news.changed] == [3]
    news = taken(view, Changes(14, (flags(1, 14),), ()))[-1]
    assert [number for number, _ in news.changed] == [1]


def test_many_expunged_at_once() -> None:
    view = view_of(*range(1, 1001), recent=500)
    view.saved = array("I", [1, 2, 999])
    gone = tuple(range(1, 1001, 2))
    told = taken(view, Changes(11, (), (Vanished(11, tuple(runs_of(gone))),)), most=200)
    assert [len(news.expunged) for news in told] == [200, 200, 100, 0]
    assert [number for news in told for number in news.expunged] == list(reversed(gone))
    assert sorted(uid for news in told for uid in news.vanished) == list(gone)
    assert list(view.uids) == list(range(2, 1001, 2))
    assert list(view.saved) == [2]
    assert view.recent_count == 251


def unfilled(messages: int, uidnext: int) -> View:
    row = MailboxRow(1, "INBOX", 1, uidnext, 10, messages, 0, 0, 0)
    return View(row, read_only=False, uids=array("I"), modseq=10, filled=False)


@given(st.sets(st.integers(1, 20)), st.sets(st.integers(1, 20)), st.sets(st.integers(21, 25)), st.integers(0, 3))
def test_a_view_that_is_filled_late_is_as_it_was_selected(
    uids: set[int], gone: set[int], came: set[int], early: int
) -> None:
    """Something happened between SELECT and the first command that needs numbers, or while the reads were made."""
    view = unfilled(len(uids), 21)
    assert len(view) == len(uids)
    gone &= uids
    late = set(sorted(gone)[:early])  # gone after the UIDs were read, before the changes were
    present = array("I", sorted((uids - gone) | late | came))
    changes = Changes(20, tuple(flags(uid, 15) for uid in sorted(came)), (Vanished(14, tuple(runs_of(sorted(gone)))),))
    view.fill(present, runs_of(sorted(gone)))
    assert list(view.uids) == sorted(uids)
    news = taken(view, changes)[0]
    assert list(view.uids) == sorted(uids - gone | came)
    assert news.vanished == tuple(sorted(gone))


def test_a_view_that_cannot_be_told_exactly_is_not_filled() -> None:
    view = unfilled(2, 5)
    with pytest.raises(LostCount):
        view.fill(array("I", [3]), [(1, 2), (4, 4)])
    assert not view.filled


@given(st.sets(st.integers(1, 40)), st.sets(st.integers(1, 40)))
def test_without(uids: set[int], gone: set[int]) -> None:
    assert list(without(array("I", sorted(uids)), sorted(gone))) == sorted(uids - gone)


def test_a_gap_as_wide_as_uids_are_is_not_counted_out() -> None:
    """A restored backup has such gaps."""
    wide = Changes(20, (), (Vanished(20, ((1, 1 << 31), (1 << 31, (1 << 32) - 2))),))
    with pytest.raises(LostCount):
        unfilled(2, (1 << 32) - 1).fill(array("I", [3]), wide.vanished[0].runs)
    view = view_of(1, 5, 7)
    assert view.absent(wide.vanished[0].runs, [(6, 8), (4, 6)]) == [(4, 4), (6, 6), (8, 8)]
    assert taken(view, wide)[0].vanished == (1, 5, 7)
