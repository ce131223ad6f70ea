"""The index file: candidates that miss nothing, newest first; thrown away where it cannot be trusted."""

import io
import itertools
import random

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postrider.store.search import file, streams
from postrider.store.search.index import Index
from postrider.store.search.lookup import IndexLookup, postings
from postrider.store.search.wanted import MAX_INDEXED, Both, Document, Either, Has, Part, document
from postrider.store.values import Account
from postrider.telemetry.events import Events

ALICE, BOB = Account("mail/alice@one.test"), Account("mail/bob@one.test")
MARKS = file.Marks("1", "this boot")
LETTERS = 'ab "*会議é\U0001f600'


@pytest.fixture
def make(tmp_path):
    """An index opened for writing, again and again."""
    opened = []

    def make(marks=MARKS, build=1):
        opened.append(Index(file.index_path(tmp_path), marks, build))
        return opened[-1]

    yield make
    for index in opened:
        index.close()


@pytest.fixture
def log():
    return io.StringIO()


@pytest.fixture
def lookup(tmp_path, log):
    found = IndexLookup(tmp_path, Events(log))
    yield found
    found.close()


def body(uid, text, **parts):
    return Document(uid, {Part.BODY: text, **{Part[name.upper()]: value for name, value in parts.items()}})


def has(text, *parts):
    return Has(parts or (Part.BODY,), text)


async def ask(lookup, sought, *, account=ALICE, uidvalidity=7, most=1000):
    """All candidates of a folder, page by page."""
    covered = await lookup.covered(account, uidvalidity)
    found, limit = [], covered.uid
    while limit:
        page = await lookup.page(covered, sought, limit, most)
        assert len(page.found) <= most
        found += [uid for uid, _ in page.found]
        limit = page.next
    return found


async def test_what_is_there_is_found_newest_first_and_page_by_page(make, lookup):
    index = make()
    folder = index.open_folder(ALICE, 7, 1)
    index.put(
        folder, [body(uid, f"message {uid} says {'rare' if uid == 40 else 'common'}") for uid in range(1, 101)], 120
    )
    assert await ask(lookup, has("common"), most=7) == [uid for uid in range(100, 0, -1) if uid != 40]
    assert await ask(lookup, has("rare")) == [40]
    assert await ask(lookup, has("nowhere")) == []
    assert (await lookup.covered(ALICE, 7)).uid == 120
    assert await lookup.covered(ALICE, 8) is None
    assert await lookup.covered(BOB, 7) is None


async def test_folders_do_not_see_each_other(make, lookup):
    index = make()
    for account, uidvalidity, uid in ((ALICE, 7, 1), (BOB, 8, 2), (ALICE, 9, 3), (BOB, 10, 2**32 - 1)):
        index.put(index.open_folder(account, uidvalidity, uidvalidity), [body(uid, "the same words")], uid)
    for account, uidvalidity, uid in ((ALICE, 7, 1), (BOB, 8, 2), (ALICE, 9, 3), (BOB, 10, 2**32 - 1)):
        assert await ask(lookup, has("same"), account=account, uidvalidity=uidvalidity) == [uid]


async def test_parts_are_told_apart(make, lookup):
    index = make()
    folder = index.open_folder(ALICE, 7, 1)
    header = (
        b"From: Ann <ann@one.test>\r\nTo: Bob <bob@one.test>\r\nSubject: =?utf-8?q?caf=C3=A9?=\r\nX-Note: cat\r\n\r\n"
    )
    index.put(folder, [document(5, header, ["a dog", "and a bird"])], 5)
    expected = {
        ("ann", Part.SENDER): True,
        ("bob", Part.SENDER): False,
        ("bob", Part.RECIPIENTS): True,
        ("caffe", Part.SUBJECT): False,
        ("cafe\u0301", Part.SUBJECT): True,  # as fold leaves it
        ("x-note: cat", Part.OTHER): True,
        ("dog", Part.BODY): True,
        ("dog and", Part.BODY): False,
        ("cat", Part.BODY): False,
    }
    for (text, part), there in expected.items():
        assert await ask(lookup, has(text, part)) == ([5] if there else []), text


async def test_fields_are_told_apart(make, lookup):
    index = make()
    header = b"To: ann\r\nCc: bob\r\nSubject:\r\nList-Id: to: cats\r\nX-Subject: dogs\r\n\r\n"
    index.put(index.open_folder(ALICE, 7, 1), [document(5, header, [])], 5)
    expected = {
        ("to", "ann"): True,
        ("cc", "ann"): False,
        ("cc", "bob"): True,
        ("to", "to: ann"): False,
        ("subject", ""): True,
        ("subject", "dogs"): False,
        ("list-id", "to: cats"): True,
        ("to", "cats"): False,
        ("x-none", ""): False,
        ("x-subject", ""): True,
    }
    for (field, text), there in expected.items():
        part = {"to": Part.RECIPIENTS, "cc": Part.RECIPIENTS, "subject": Part.SUBJECT}.get(field, Part.OTHER)
        assert await ask(lookup, Has((part,), text, field)) == ([5] if there else []), (field, text)


async def test_a_message_too_long_is_always_a_candidate(make, lookup):
    index = make()
    folder = index.open_folder(ALICE, 7, 1)
    index.put(folder, [document(1, b"", ["x" * MAX_INDEXED, "needle"]), document(2, b"", ["x" * 10])], 3)
    covered = await lookup.covered(ALICE, 7)
    assert (await lookup.page(covered, has("needle"), 3, 10)).found == [(1, False)]
    assert (await lookup.page(covered, has("xxx"), 3, 10)).found == [(2, True), (1, True)]


def test_a_message_that_folding_makes_too_long_is_not_whole():
    assert document(1, b"", ["x" * MAX_INDEXED]).whole
    assert not document(1, b"", ["é" * (MAX_INDEXED // 2 + 1)]).whole  # two characters each


examples = itertools.count()
texts = st.text(LETTERS, max_size=12)


@settings(max_examples=60, deadline=None)
@given(st.lists(texts, min_size=1, max_size=12), st.lists(texts.filter(bool), min_size=1, max_size=8))
def test_candidates_are_never_too_few_and_short_texts_are_exact(stored, asked):
    path = f"file:/candidates-{next(examples)}?vfs=memdb"
    flags = apsw.SQLITE_OPEN_URI | apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    writer, db = apsw.Connection(path, flags), apsw.Connection(path, flags)
    writer.execute(file.TRIGRAMS.format(part="body"))
    for number, text in enumerate(stored, 1):
        writer.execute("INSERT INTO body (rowid, text) VALUES (?, ?)", (number, text + "\n\n"))
    file.ask_as_it_stands(db)
    for text in asked:
        source = postings(db, Part.BODY, text, 0)
        found, limit = [], 1 << 32
        while (limit := source.at_most(limit)) != streams.END:
            found.append(limit)
            limit -= 1
        right = [number for number in range(len(stored), 0, -1) if text in stored[number - 1]]
        assert set(right) <= set(found)
        if len(text) <= 3:
            assert right == found


async def test_and_or_of_texts(make, lookup):
    index, chance = make(), random.Random(5)
    folder = index.open_folder(ALICE, 7, 1)
    words = ["alpha", "bravo", "charlie", "delta", "echo"]
    stored = {uid: chance.sample(words, chance.randint(1, 4)) for uid in range(1, 400)}
    index.put(folder, [body(uid, " ".join(said)) for uid, said in stored.items()], 400)
    sought = Both((has("alpha"), Either((has("bravo"), has("delta"))), has("echo", *Part)))
    right = [u for u, said in stored.items() if {"alpha", "echo"} <= {*said} and {"bravo", "delta"} & {*said}]
    assert await ask(lookup, sought, most=3) == right[::-1]


async def test_removed_messages_and_folders_are_gone(make, lookup):
    index = make()
    folder = index.open_folder(ALICE, 7, 1)
    index.put(folder, [body(uid, "the words", sender="from: ann") for uid in range(1, 11)], 10)
    index.remove(folder, [2, 3, 3, 77])
    assert await ask(lookup, has("words")) == [10, 9, 8, 7, 6, 5, 4, 1]
    assert await ask(lookup, has("ann", Part.SENDER)) == [10, 9, 8, 7, 6, 5, 4, 1]
    assert index.folders(ALICE)[7].documents == 8
    assert not index.forget(index.folders(ALICE)[7])
    assert (await lookup.covered(ALICE, 7)).uid == 0
    assert index.forget(index.folders(ALICE)[7])
    assert await lookup.covered(ALICE, 7) is None
    assert index.accounts() == []


@pytest.mark.parametrize("others", [0, 20])
async def test_who_of_some_messages_has_what(make, lookup, others):
    """Whatever is asked beside it."""
    index, chance = make(), random.Random(6)
    folder = index.open_folder(ALICE, 7, 1)
    stored = {uid: chance.sample(["alpha", "bravo", "charlie", "delta"], 2) for uid in range(1, 200)}
    long = document(200, b"", ["delta " + "x" * MAX_INDEXED, "alpha"])
    index.put(folder, [*(body(uid, " ".join(said)) for uid, said in stored.items()), long], 200)
    index.remove(folder, [50, 51])
    asked = [has("alpha"), has("delta"), has("nowhere"), *(has(f"nowhere {other}") for other in range(others))]
    covered = await lookup.covered(ALICE, 7)
    found = await lookup.holders(covered, asked, range(20, 201, 2))
    right = [uid for uid in range(20, 200, 2) if uid != 50]
    assert found.having[0] == {uid for uid in right if "alpha" in stored[uid]}
    assert found.having[1] == {uid for uid in right if "delta" in stored[uid]} | {200}
    assert len(found.having) == len(asked)
    assert not any(found.having[2:])
    assert found.partial == {200}


async def test_no_transaction_outlives_an_answer(make, lookup):
    index = make()
    folder = index.open_folder(ALICE, 7, 1)
    index.put(folder, [body(uid, f"words {uid}", subject="words") for uid in range(1, 100)], 100)
    covered = await lookup.covered(ALICE, 7)
    sought = Both((has("words"), has("words", Part.SUBJECT)))
    assert len((await lookup.page(covered, sought, 100, 5)).found) == 5
    await lookup.holders(covered, [has("words"), has("rds 1")], [50, 60])
    index.put(folder, [body(101, "more")], 101)
    assert (await lookup.covered(ALICE, 7)).uid == 101


async def test_a_page_of_another_build_is_none(make, lookup, tmp_path):
    index = make()
    folder = index.open_folder(ALICE, 7, 1)
    index.put(folder, [body(1, "the words")], 1)
    covered = await lookup.covered(ALICE, 7)
    file.remove(file.index_path(tmp_path))
    assert await lookup.page(covered, has("words"), 1, 10) is None
    assert await lookup.holders(covered, [has("words")], [1]) is None
    assert not index.is_there()
    anew = make(build=2)
    anew.put(anew.open_folder(ALICE, 7, 1), [], 1)
    assert await lookup.page(covered, has("words"), 1, 10) is None
    assert await ask(lookup, has("words")) == []


async def test_it_is_kept_when_it_can_be_trusted_and_made_anew_when_not(make, tmp_path):
    index = make()
    assert index.begun_anew == "there was none"
    index.open_folder(ALICE, 7, 1)
    index.close()
    assert make(file.Marks("1", "another boot")).begun_anew == ""
    # Killed here, then the machine went down.
    assert make(file.Marks("1", "another boot")).begun_anew == ""
    assert "went down" in make(file.Marks("1", "a third boot")).begun_anew
    assert "read differently" in make(file.Marks("2", "a third boot")).begun_anew


async def test_the_mark_of_the_boot_is_in_the_file_itself_before_anything_is_written(make, tmp_path):
    """The log begins anew while nothing of the file is synced: a crash may leave the file as it was opened."""
    make(file.Marks("1", "this boot")).close()
    make(file.Marks("1", "this boot"))
    left = tmp_path / "left.db"
    left.write_bytes(file.index_path(tmp_path).read_bytes())
    db, reason = file.open_writer(left, file.Marks("1", "another boot"), 2)
    db.close()
    assert "went down" in reason


@pytest.mark.parametrize("damage", [b"no database at all" * 500, b""])
async def test_what_is_no_index_is_thrown_away_and_looked_over(make, lookup, log, tmp_path, damage):
    file.index_path(tmp_path).write_bytes(damage)
    assert await lookup.covered(ALICE, 7) is None
    assert file.index_path(tmp_path).exists() != bool(damage)
    assert make().begun_anew
    assert await lookup.covered(ALICE, 7) is None
    assert ("search.unusable" in log.getvalue()) == bool(damage)


async def test_a_front_that_meets_damage_has_the_index_made_anew(make, lookup, tmp_path):
    index = make()
    index.put(index.open_folder(ALICE, 7, 1), [body(uid, f"words {uid}") for uid in range(1, 300)], 300)
    covered = await lookup.covered(ALICE, 7)
    with apsw.Connection(str(file.index_path(tmp_path))) as db:
        db.execute("UPDATE document SET texts = x'00' WHERE id & 0xff = 9")
    assert await lookup.page(covered, has("words"), 300, 1000) is None
    assert not index.is_there()


async def test_an_index_that_was_prepared_answers_as_any(make, lookup, log):
    lookup.prepare()
    index = make()
    index.put(index.open_folder(ALICE, 7, 1), [body(1, "the words")], 1)
    lookup.prepare()
    assert await ask(lookup, has("words")) == [1]
    assert log.getvalue() == ""


async def test_no_index_at_all_is_none(lookup, log):
    lookup.prepare()
    assert await lookup.covered(ALICE, 7) is None
    assert log.getvalue() == ""
