"""The word index: which messages have the words, and which of them answers best."""

import io

import pytest

from postrider.store.search import file
from postrider.store.search.index import Index
from postrider.store.search.lookup import IndexLookup
from postrider.store.search.wanted import document
from postrider.store.search.words import question
from postrider.store.values import Account
from postrider.telemetry.events import Events

ALICE, BOB = Account("mail/alice@one.test"), Account("mail/bob@one.test")


@pytest.fixture
def index(tmp_path):
    index = Index(file.index_path(tmp_path), file.Marks("1", "boot"), 1)
    yield index
    index.close()


@pytest.fixture
def lookup(tmp_path):
    lookup = IndexLookup(tmp_path, Events(io.StringIO()))
    yield lookup
    lookup.close()


def letter(uid, subject="", text="", sender="ann@one.test"):
    return document(uid, f"From: {sender}\r\nSubject: {subject}\r\nX-Other: budget\r\n\r\n".encode(), [text])


async def uids(lookup, words, account=ALICE, limit=10):
    return [one.uid for one in await lookup.ranked(account, words, limit)]


async def test_the_subject_counts_more_than_the_text_and_a_short_text_more_than_a_long_one(index, lookup):
    folder = index.open_folder(ALICE, 7, 3)
    letters = [
        letter(1, "hello", "the budget " + "and so on " * 300),
        letter(2, "the Budget", "as said"),
        letter(3, "hello", "your budget"),
        letter(4, "hello", "nothing"),
        letter(5, "hello", "nothing", "Budget Office <ann@one.test>"),
    ]
    index.put(folder, letters, 5)
    assert await uids(lookup, "BUDGET") == [2, 5, 3, 1]
    assert await uids(lookup, "budget", limit=2) == [2, 5]
    (best,) = await lookup.ranked(ALICE, "budget", 1)
    assert (best.mailbox, best.uidvalidity) == (3, 7)


async def test_all_words_must_be_there_and_be_whole(index, lookup):
    index.put(index.open_folder(ALICE, 7, 1), [letter(1, "red apples", "and pears"), letter(2, "red", "plums")], 2)
    assert await uids(lookup, "pears, red!") == [1]
    assert await uids(lookup, "apple") == []
    assert await uids(lookup, "subject") == []
    assert await uids(lookup, '"*(-) _ ^:') == []


async def test_accents_do_not_count_and_scripts_without_spaces_are_found(index, lookup):
    letters = [
        letter(1, "Café Ångström", "naïve"),
        letter(2, "会議の資料を送ります", "がぎぐげご 한글 메일"),
        letter(3, "STRASSE", "Привет"),
    ]
    index.put(index.open_folder(ALICE, 7, 1), letters, 3)
    asked = {"cafe": 1, "CAFE\u0301": 1, "angstrom": 1, "会議": 2, "資料": 2, "議の資": 2, "がぎ": 2, "한글": 2}
    asked |= {"straße": 3, "ПРИВЕТ": 3}
    for words, uid in asked.items():
        assert await uids(lookup, words) == [uid], words
    assert await uids(lookup, "議料") == []


async def test_accounts_are_apart_and_folders_together(index, lookup):
    index.put(index.open_folder(ALICE, 7, 1), [letter(1, "plan")], 1)
    index.put(index.open_folder(ALICE, 8, 2), [letter(9, "plan")], 9)
    index.put(index.open_folder(BOB, 9, 1), [letter(5, "plan")], 5)
    assert await uids(lookup, "plan") == [9, 1]
    assert await uids(lookup, "plan", BOB) == [5]
    index.remove(index.folders(ALICE)[8], [9])
    assert await uids(lookup, "plan") == [1]


def test_a_question_has_no_operators():
    assert question('a" OR b* NEAR(c) -d') == '"a" AND "or" AND "b" AND "near" AND "c" AND "d"'
    assert question(" ") == ""
