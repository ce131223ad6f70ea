"""Mail from before encryption was switched on becomes encrypted: nothing of it is left, nothing else changes."""

import asyncio
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path

import apsw
import pytest
import store_process
from powerloss import Disk, Traced
from rows_of import again, dump, lose
from stored import ALICE, BOB, EVERY_LANE, INBOX, MASTERS, NOON, StillClock, append, intake

from postrider.store import open as stores
from postrider.store import transactions as t
from postrider.store.journal import About
from postrider.store.keyring import Masters
from postrider.store.meta import incoming
from postrider.store.open import keyring, open_local
from postrider.store.pack_files import pack_ids
from postrider.store.records import KEY_NONE, KIND_BODY
from postrider.store.sealer import Pace
from postrider.store.sqlite.committer import SqliteCommitter
from postrider.store.sqlite.rota import Portion
from postrider.store.survey import Damage, read_pack
from postrider.store.values import account_of
from postrider.telemetry.metrics import Metrics

needs_strace = pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")

WORD = b"xylophonist"
CAROL = account_of("mail", "carol@a.test")
#: What encryption may change, by table: the columns.
_CHANGES = {
    "account": ("key_id",),
    "blob": ("id", "hash", "codec", "key_id", "pack", "start", "stored", "refs"),
    "email": ("blob_id", "prefix", "thread_keys"),
    "queue": ("blob_id", "prefix"),
    "thread_key": ("key",),
}


class Told:
    """Collects events."""

    def __init__(self):
        self.events = []

    def emit(self, event, **fields):
        self.events.append((event, fields))

    def fields(self, event):
        return dict(self.events)[event]

    def names(self):
        return [name for name, _ in self.events if name.startswith("store.encr")]


def letter(number, *accounts, **fields):
    data = b"Subject: %b %d\r\n\r\n" % (WORD, number) + WORD * 40 + b"\r\n"
    prefix = b"Received: from %b\r\n" % WORD
    given = {
        "deliver": tuple(t.Deliver(account, prefix) for account in accounts),
        "cached": b"\1\2\3\4" + WORD,
        "thread_keys": (b"%b%d" % (WORD, number // 3),),
    }
    return intake(data=data, **(given | fields))


def queued(recipient):
    return t.Enqueue("c.test", recipient, b"Received: queued %b\r\n" % WORD, NOON)


def fill(data, options):
    """Mail in the clear of every kind: shared, queued, expunged and kept, gone for good, of users' own things."""
    committer = SqliteCommitter(data, options)
    # Many at once are not compressed, so that the word can be seen.
    committer.commit([letter(number, ALICE, BOB, ALICE) for number in range(12)])
    committer.commit([letter(n, BOB, enqueue=(queued("d@c.test"), queued("e@c.test"))) for n in range(12, 18)])
    committer.commit([append(INBOX, b"Subject: %b %d\r\n\r\n" % (WORD, n), thread_keys=(WORD,)) for n in range(8)])
    committer.commit([append(INBOX, (WORD * 150_000)[:1_200_000], account=CAROL), letter(20, CAROL)])
    committer.commit([t.Copy(ALICE, INBOX, (1, 2, 3), INBOX), t.CreateMailbox(ALICE, "Gone")])
    doomed = tuple(range(5, 12))
    committer.commit([t.SetFlags(ALICE, INBOX, doomed, t.FlagChange.ADD, 8)])
    committer.commit([t.Expunge(ALICE, INBOX, doomed[:4], keep=True), t.Expunge(ALICE, INBOX, doomed[4:])])
    committer.commit([t.PutThing(ALICE, "sieve", "main", b"keep;"), t.Annotate(ALICE, INBOX, ALICE, (("/x", b"y"),))])
    committer.between()
    committer.close()


def turn(committer, clock):
    committer._upkeep.compaction.join()
    committer._upkeep.encryption.join()
    committer._upkeep._journal.join()
    clock.seconds += 61
    committer.between()


def until(committer, clock, done, most=3000):
    """Housekeeping until that is so."""
    for _ in range(most):
        if done():
            return
        turn(committer, clock)
    raise AssertionError("it does not come to an end")


def finished(committer):
    return lambda: committer._upkeep.encryption._step is None


@pytest.fixture
def place():
    """A directory on a real disk, with a short name for the socket."""
    path = Path(tempfile.mkdtemp(prefix="postrider-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def told():
    return Told()


@pytest.fixture
def sealed(data, options, told):
    return replace(options, keys=keyring(data, MASTERS), events=told)


def seen(directory):
    """The files that have the word."""
    return [str(path) for path in directory.rglob("*") if path.is_file() and WORD in path.read_bytes()]


def switched_on(data, sealed, clock, told):
    """The next start is with keys: the word is there before, and nowhere when it says that it is done."""
    assert seen(data)
    committer = SqliteCommitter(data, sealed)
    until(committer, clock, finished(committer))
    committer.close()
    assert seen(data) == []
    assert told.names() == ["store.encrypting", "store.encrypted"]


def clear_bodies(data):
    """Damage is the end of a pack that compaction is writing just now."""
    return [
        found for pack in pack_ids(data / "packs") for found in read_pack(data / "packs", pack)
        if not isinstance(found, Damage) and found.header.kind == KIND_BODY and found.header.key_id == KEY_NONE
    ]  # fmt: skip


def unchanged(data):
    """All rows without what encryption may change."""
    db = apsw.Connection(str(data / "mail.db"), flags=apsw.SQLITE_OPEN_READONLY)
    rows = {}
    for table in dump(data):
        names = [name for _, name, *_ in db.execute(f"PRAGMA table_xinfo({table})")]
        kept = [name for name in names if name not in (*_CHANGES.get(table, ()), "cached")]
        found = db.execute(f"SELECT {', '.join(kept)} FROM {table}").fetchall() if kept else []
        rows[table] = sorted(map(repr, found))
    rows["blob"] = []
    rows["sequence"] = rows["sqlite_sequence"] = []
    db.close()
    return rows


def left(metrics):
    return metrics.registry.get_sample_value("postrider_store_clear_messages")


async def contents(data, options):
    """All mail as readers see it."""
    store = open_local(data, options)
    found = {}
    for account in (ALICE, BOB, CAROL):
        found[account, "folders"] = await store.reader.mailboxes(account)
        for row in await store.reader.messages(account, INBOX, await store.reader.uids(account, INBOX)):
            body = await store.reader.body(account, row.blob)
            found[account, row.uid] = (
                row.modseq, row.email_id, row.thread_id, row.flags, row.size, row.prefix, row.cached, body
            )  # fmt: skip
    for row in await store.reader.queue():
        found["queue", row.id] = row.recipient, row.prefix, await store.reader.body(ALICE, row.blob)
    for kept in await store.reader.expunged(ALICE):
        found["kept", kept.id] = kept
    found["usage"] = [await store.reader.usage(account) for account in (ALICE, BOB, CAROL)]
    await store.close()
    return found


async def test_what_was_there_before_is_encrypted(data, options, sealed, clock, told):
    fill(data, options)
    metrics = Metrics()
    sealed = replace(sealed, metrics=metrics)
    assert {"mail.db", "00000001.pack"} <= {path.rpartition("/")[2] for path in seen(data)}
    before, rows = await contents(data, options), unchanged(data)
    committer = SqliteCommitter(data, sealed)
    waiting = []
    until(committer, clock, lambda: waiting.append(left(metrics)) or finished(committer)())
    assert (max(waiting), waiting[-1]) == (36 - 3 + 6 + 6 * 2 + 8 + 2, 0)
    assert seen(data) == [] == clear_bodies(data)
    committer.close()
    assert seen(data) == []
    assert told.names() == ["store.encrypting", "store.encrypted"]
    assert unchanged(data) == rows
    assert await contents(data, sealed) == before
    done = stores.verify(data, lambda *_: None, keyring(data, MASTERS))
    assert (done.problems, done.dead) == ([], [])
    shared = apsw.Connection(str(data / "mail.db")).execute("SELECT count(*) FROM blob WHERE refs > 1").fetchone()
    assert shared == (12 - 2 + 6,)


async def test_a_lost_database_is_made_again_afterwards(data, options, sealed, clock):
    fill(data, options)
    committer = SqliteCommitter(data, sealed)
    until(committer, clock, finished(committer))
    committer.close()
    before = dump(data)
    lose(data)
    done = again(data, keyring(data, MASTERS))
    assert (done.damage, done.delivered_again, done.lost_bodies) == ([], 0, 0)
    assert dump(data) == before
    committer = SqliteCommitter(data, sealed)  # it knows nothing of the work that was done
    until(committer, clock, finished(committer))
    committer.close()
    assert seen(data) == []


@pytest.mark.parametrize("most", [1, pytest.param(3, marks=pytest.mark.crash)])
async def test_killed_at_any_step_it_loses_nothing_and_goes_on(data, options, sealed, clock, monkeypatch, most):
    monkeypatch.setattr("postrider.store.sqlite.encryption._MOST", 4)
    monkeypatch.setattr("postrider.store.sqlite.clear._ENOUGH", 10)
    fill(data, options)
    before, rows = await contents(data, options), unchanged(data)
    where = data.with_name(data.name + "-copy")
    committer = SqliteCommitter(data, sealed)
    steps = Counter()
    try:
        while not finished(committer)():
            turn(committer, clock)
            name = getattr(committer._upkeep.encryption._step, "__name__", "")
            steps[name] += 1
            if steps[name] > most:
                continue
            shutil.rmtree(where, ignore_errors=True)
            shutil.copytree(data, where, ignore=shutil.ignore_patterns("*-shm"))
            later = StillClock(clock.seconds)  # that of the first goes on only while it does nothing
            there = replace(sealed, keys=keyring(where, MASTERS), clock=later)
            if len(steps) % 2:
                lose(where)
                done = again(where, keyring(where, MASTERS))
                assert (done.damage, done.delivered_again, done.lost_bodies) == ([], 0, 0)
            other = SqliteCommitter(where, there)
            until(other, later, finished(other))
            other.close()
            assert seen(where) == [] == clear_bodies(where)
            assert unchanged(where) == rows
            now = await contents(where, there)
            assert {key: _lasting(value) for key, value in now.items()} == {
                key: _lasting(value) for key, value in before.items()
            }
        assert len(steps) > 12
    finally:
        shutil.rmtree(where, ignore_errors=True)
        committer.close()


@pytest.mark.parametrize("about", [lambda batch: About(batch, snapshot=batch + 1, slice=4), About])
def test_packs_that_no_commit_came_to_tell_of_are_no_obstacle(data, options, sealed, clock, about):
    """Killed when slices of a snapshot, or the records of batches, had filled a pack since the last COMMIT."""
    fill(data, options)
    committer = SqliteCommitter(data, options)
    committer.commit([t.Subscribe(ALICE, "Somewhere", True)])
    for _ in range(3):
        committer._journal.write(WORD + random.Random(1).randbytes(200_000), about(committer._journal.batch))
    where = data.with_name(data.name + "-copy")
    try:
        shutil.copytree(data, where, ignore=shutil.ignore_patterns("*-shm"))
        committer.close()
        other = SqliteCommitter(where, replace(sealed, keys=keyring(where, MASTERS)))
        until(other, clock, finished(other))
        other.close()
        assert seen(where) == [] == clear_bodies(where)
    finally:
        shutil.rmtree(where, ignore_errors=True)


def test_a_pack_with_mail_that_the_database_does_not_know_stays(data, options, sealed, clock, told):
    """The database is an older one: a rebuild can find that mail."""
    fill(data, options)
    committer = SqliteCommitter(data, options)
    committer._packs.begin_next(NOON)
    committer._packs.append(incoming(letter(90, ALICE), 10_000, lambda *_: "INBOX", apart=False), NOON)
    committer._packs.begin_next(NOON)
    unknown = max(pack_ids(data / "packs")) - 1
    committer.close()
    committer = SqliteCommitter(data, sealed)
    until(committer, clock, lambda: "store.encryption_waits" in told.names())
    turn(committer, clock)
    committer.close()
    assert unknown in pack_ids(data / "packs")
    reason = told.fields("store.encryption_waits")["reason"]
    assert reason == "the database knows nothing of 1 packs with something in the clear"


def test_a_rest_is_short_however_long_the_machine_stood_still(clock):
    rests = []
    pace = Pace(clock, rests.append, lambda: 0, threading.Event())
    clock.seconds += 0.5
    pace.rest()
    clock.seconds += 3600
    pace.rest()
    assert rests == [0.25, 1.0]


def _lasting(value):
    """Without what is cached, which a rebuild makes anew."""
    return (*value[:6], value[7]) if isinstance(value, tuple) and len(value) == 8 else value


async def test_mail_comes_and_goes_meanwhile(data, options, sealed, clock, monkeypatch):
    monkeypatch.setattr("postrider.store.sqlite.encryption._MOST", 2)
    fill(data, options)
    before = await contents(data, options)
    committer = SqliteCommitter(data, sealed)
    turns = iter(range(10_000))

    def at_work():
        number = next(turns)
        if number < 60 and number % 3 == 0:
            new = letter(100 + number, ALICE, thread_keys=(b"new %d" % number,))
            committer.commit([new, t.Claim(EVERY_LANE, NOON, 60, 1)])
        if number == 20:
            flags = t.SetFlags(BOB, INBOX, tuple(range(1, 19)), t.FlagChange.ADD, 8)
            committer.commit([flags, t.Expunge(BOB, INBOX, tuple(range(1, 19)))])
        if number == 24:
            committer.commit([t.Release(CAROL)])
        return finished(committer)()

    until(committer, clock, at_work)
    committer.close()
    assert seen(data) == [] == clear_bodies(data)
    now = await contents(data, sealed)
    assert not [key for key in now if key[0] == CAROL and isinstance(key[1], int)]
    for key, value in before.items():
        if key[0] == ALICE and isinstance(key[1], int):
            assert now[key] == value
    assert stores.verify(data, lambda *_: None, keyring(data, MASTERS)).problems == []


async def test_without_the_master_key_it_waits_and_says_so_once(data, options, sealed, clock, told):
    fill(data, options)
    ring = keyring(data, Masters("2026a"))
    committer = SqliteCommitter(data, replace(sealed, keys=ring))
    for _ in range(200):
        turn(committer, clock)
    assert told.names() == ["store.encrypting", "store.encryption_waits"]
    ring.load(MASTERS)
    until(committer, clock, finished(committer))
    assert told.names()[2:] == ["store.encrypted"]
    committer.close()
    assert seen(data) == []


async def test_what_is_left_of_mail_that_is_gone_goes_too(data, options, sealed, clock, told):
    committer = SqliteCommitter(data, options)
    committer.commit([letter(number, ALICE) for number in range(12)])
    every = tuple(range(1, 13))
    committer.commit([t.SetFlags(ALICE, INBOX, every, t.FlagChange.ADD, 8), t.Expunge(ALICE, INBOX, every)])
    committer.close()
    switched_on(data, sealed, clock, told)


async def test_a_store_that_was_encrypted_from_the_start_is_left_alone(data, sealed, clock, told):
    committer = SqliteCommitter(data, sealed)
    committer.commit([letter(number, ALICE) for number in range(12)])
    packs = pack_ids(data / "packs")
    until(committer, clock, finished(committer))
    committer.close()
    assert told.names() == []
    assert pack_ids(data / "packs") == packs


async def test_a_large_database_is_cleaned_at_the_next_start(data, options, sealed, clock, told, monkeypatch):
    monkeypatch.setattr("postrider.store.sqlite.encryption._QUICK", 4096)
    fill(data, options)
    committer = SqliteCommitter(data, sealed)
    until(committer, clock, finished(committer))
    committer.close()
    assert told.names() == ["store.encrypting", "store.encryption_waits"]
    committer = SqliteCommitter(data, sealed)
    until(committer, clock, finished(committer))
    assert seen(data) == []
    committer.close()
    assert told.names()[2:] == ["store.encrypted"]
    told.events.clear()
    committer = SqliteCommitter(data, sealed)
    until(committer, clock, finished(committer))
    committer.close()
    assert told.names() == []


def damaged(data):
    """The pack in which a body of three messages is damaged now."""
    db = apsw.Connection(str(data / "mail.db"))
    pack, start = db.execute("SELECT pack, start FROM blob WHERE id = 3").fetchone()
    db.close()
    with (data / "packs" / f"{pack:08d}.pack").open("r+b") as file:
        file.seek(start + 500)
        file.write(b"?!?")
    return pack


async def test_a_body_that_cannot_be_read_is_told_and_stays(data, options, sealed, clock, told):
    fill(data, options)
    pack = damaged(data)
    committer = SqliteCommitter(data, sealed)
    until(committer, clock, finished(committer))
    committer.close()
    assert told.events[-1] == ("store.encrypted", {"unreadable": 3, "damaged_packs": [pack]})
    assert {found.pack for found in clear_bodies(data)} == {pack}
    committer = SqliteCommitter(data, sealed)  # perhaps it can be read by now
    until(committer, clock, finished(committer))
    committer.close()
    assert told.names() == ["store.encrypting", "store.encrypted"] * 2


async def test_a_reader_in_the_way_is_waited_for(data, options, sealed, clock):
    fill(data, options)
    db = apsw.Connection(str(data / "mail.db"), flags=apsw.SQLITE_OPEN_READONLY)
    committer = SqliteCommitter(data, sealed)
    job = committer._upkeep.encryption
    until(committer, clock, lambda: job._step == job._looked)
    db.execute("BEGIN")
    db.execute("SELECT count(*) FROM blob").fetchall()
    until(committer, clock, lambda: job._step == job._empty_wal)
    for _ in range(20):
        turn(committer, clock)
    assert job._step == job._empty_wal
    db.execute("COMMIT")
    until(committer, clock, finished(committer))
    assert seen(data) == []
    db.close()
    committer.close()


async def test_packs_of_journal_alone_go_too(data, options, sealed, clock):
    """Their rows say that they end before it: what is dead in them is more than they have."""
    fill(data, options)
    committer = SqliteCommitter(data, options)
    for number in range(16):
        committer.commit([t.PutThing(ALICE, "sieve", str(number), os.urandom(250_000))])
        committer._packs.begin_next(NOON)
    committer.close()
    committer = SqliteCommitter(data, sealed)
    until(committer, clock, finished(committer))
    committer.close()
    assert seen(data) == []
    assert sum(path.stat().st_size for path in (data / "packs").glob("*.pack")) < 9_000_000


async def test_mail_that_is_being_cleared_away_is_waited_for(data, options, sealed, clock):
    committer = SqliteCommitter(data, options)
    for first in range(0, 200, 20):
        committer.commit([letter(number, CAROL) for number in range(first, first + 20)])
    committer.commit([letter(1, ALICE), t.Release(CAROL)])
    committer.close()
    committer = SqliteCommitter(data, sealed)
    committer._upkeep._removal.portion = Portion(1, 1)  # it takes longer than all that is to be encrypted
    until(committer, clock, finished(committer))
    committer.close()
    assert seen(data) == []


async def test_what_the_journal_has_of_mail_that_is_gone_goes_too(data, options, sealed, clock, told):
    committer = SqliteCommitter(data, options)
    for first in range(0, 120, 20):
        committer.commit([letter(number, ALICE) for number in range(first, first + 20)])
    every = tuple(range(1, 121))
    committer.commit([t.SetFlags(ALICE, INBOX, every, t.FlagChange.ADD, 8), t.Expunge(ALICE, INBOX, every)])
    committer._packs.begin_next(NOON)
    for number in range(40):
        committer.commit([t.PutThing(ALICE, "sieve", f"{number}", b"keep;" * 2000)])
    until(committer, clock, lambda: not clear_bodies(data))
    committer.close()
    switched_on(data, sealed, clock, told)


class Killed(BaseException):
    """The process came no further."""


def killed(_):
    raise Killed


async def test_a_start_that_was_killed_over_a_large_database_is_the_last_that_tries(
    data, options, sealed, clock, told, monkeypatch
):
    monkeypatch.setattr("postrider.store.sqlite.encryption._QUICK", 4096)
    fill(data, options)
    committer = SqliteCommitter(data, sealed)
    until(committer, clock, finished(committer))
    committer.close()
    told.events.clear()
    with monkeypatch.context() as patched:
        patched.setattr("postrider.store.sqlite.database.write_anew", killed)
        with pytest.raises(Killed):
            SqliteCommitter(data, sealed)
        committer = SqliteCommitter(data, sealed)
        until(committer, clock, finished(committer))
        committer.close()
    assert told.names() == ["store.encryption_waits"]
    assert not is_done(data)
    stores.compact(data, sealed, 0.2)
    assert told.names()[-1] == "store.encrypted"
    assert is_done(data)


async def test_a_database_too_large_for_a_start_waits_for_a_tool(data, options, sealed, clock, told, monkeypatch):
    for limit in ("_QUICK", "_AT_START"):
        monkeypatch.setattr(f"postrider.store.sqlite.encryption.{limit}", 4096)
    fill(data, options)
    for _ in range(2):
        committer = SqliteCommitter(data, sealed)
        until(committer, clock, finished(committer))
        committer.close()
    assert told.names() == ["store.encrypting", "store.encryption_waits", "store.encryption_waits"]
    assert not is_done(data)
    stores.compact(data, sealed, 0.2)
    assert is_done(data)


async def test_a_body_that_cannot_be_read_is_not_forgotten_for_a_large_database(
    data, options, sealed, clock, told, monkeypatch
):
    monkeypatch.setattr("postrider.store.sqlite.encryption._QUICK", 4096)
    fill(data, options)
    damaged(data)
    for _ in range(2):
        committer = SqliteCommitter(data, sealed)
        until(committer, clock, finished(committer))
        committer.close()
    assert told.events[-1][1]["unreadable"] == 3
    committer = SqliteCommitter(data, sealed)
    until(committer, clock, finished(committer))
    committer.close()
    assert told.names()[-2:] == ["store.encrypting", "store.encryption_waits"]


async def test_a_writer_that_ends_does_not_wait_for_it(data, options, sealed, clock, monkeypatch):
    monkeypatch.setattr("postrider.store.sqlite.clear._ROWS", 1)
    fill(data, options)
    rests = []

    def ends_meanwhile(_):
        rests.append(committer)
        committer._upkeep.encryption._stopping.set()

    committer = SqliteCommitter(data, replace(sealed, sleep=ends_meanwhile))
    until(committer, clock, lambda: rests)
    committer.close()
    assert len(rests) == 1
    committer = SqliteCommitter(data, sealed)
    until(committer, clock, finished(committer))
    committer.close()
    assert seen(data) == []


@pytest.mark.crash
async def test_kill_in_the_middle_loses_nothing_and_it_goes_on(place, options, sealed):
    """A real process, killed at random moments until all is encrypted."""
    luck = random.Random(5)
    data = place / "data"
    options, sealed = replace(options, **store_process.SMALL), replace(sealed, **store_process.SMALL)
    fill(data, options)
    committer = SqliteCommitter(data, options)
    some = [account_of("mail", f"user{number}@a.test") for number in range(30)]
    for first in range(0, 1500, 100):
        committer.commit([letter(n, CAROL, some[n % 30]) for n in range(first, first + 100)])
    committer.close()
    before, rows = await contents(data, options), unchanged(data)
    shutil.copytree(data, place / "clear")
    kills = 0
    while kills < 6:  # one that was quicker than its killer is followed by another
        shutil.rmtree(data)
        shutil.copytree(place / "clear", data)
        kills += await killed_until_done(data, luck, rows)
        assert seen(data) == [] == clear_bodies(data)
        keys = keyring(data, MASTERS)
        assert await contents(data, replace(sealed, keys=keys)) == before
        assert stores.verify(data, lambda *_: None, keys).problems == []


async def killed_until_done(data, luck, rows):
    """Returns how often it was killed before it was done."""
    kills, socket = 0, data.parent / "s"
    while True:
        running = subprocess.Popen(process(data), stderr=subprocess.DEVNULL)
        while not socket.exists():
            assert running.poll() is None
            await asyncio.sleep(0.01)
        await asyncio.sleep(luck.uniform(0, 0.3 + kills / 5))
        running.kill()
        running.wait()
        socket.unlink()
        assert unchanged(data) == rows
        if is_done(data):
            return kills
        kills += 1


@needs_strace
@pytest.mark.crash
async def test_power_loss_at_any_moment_loses_nothing(place, options, sealed):
    data, before, image = place / "data", place / "before", place / "image"
    options, sealed = replace(options, **store_process.SMALL), replace(sealed, **store_process.SMALL)
    fill(data, options)
    mail, rows = await contents(data, options), unchanged(data)
    shutil.copytree(data, before)
    trace = Traced(place / "trace", *process(data))
    while not is_done(data):
        await asyncio.sleep(0.2)
    trace.end()
    luck = random.Random(6)
    calls = sum(1 for _ in Disk(data, before).replay(trace.output))
    moments = sorted(luck.sample(range(calls), 60))
    disk = Disk(data, before)
    stages = Counter()
    for moment, _ in enumerate(disk.replay(trace.output)):
        while moments and moments[0] == moment:
            moments.pop(0)
            disk.image(image, luck if luck.random() < 0.8 else None)
            stages[is_done(image)] += 1
            there = replace(sealed, keys=keyring(image, MASTERS))
            assert unchanged(image) == rows
            assert await contents(image, there) == mail
            done = stores.verify(image, lambda *_: None, keyring(image, MASTERS))
            assert done.problems == []
            shutil.rmtree(image)
    assert stages[False] > 30


def process(data):
    """A writer that encrypts, and keeps no pack that it has emptied."""
    return list(map(str, [sys.executable, store_process.__file__, data, data.parent / "s", "encrypted", "compacting"]))


def is_done(data):
    db = apsw.Connection(str(data / "mail.db"))
    db.setbusytimeout(10_000)  # a writer may be opening it just now
    stage = db.execute("SELECT value FROM journal WHERE name = 'encrypted'").fetchone()
    db.close()
    return stage == (3,)
