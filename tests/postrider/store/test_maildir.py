"""Bodies as files: where they lie, under which names, and that none stays which no row needs."""

import contextlib
import io
import os
import resource
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rows_of import again, dump, lose
from stored import ALICE, BOB, EVERY_LANE, INBOX, NOON, append, body_of, enqueue, intake

from postrider.store import transactions as t
from postrider.store.directory import CannotOpen
from postrider.store.maildir import account_directory, safe_name
from postrider.store.open import compact, open_local, open_writer, verify
from postrider.store.transactions import Reason, StoreError
from postrider.store.values import Body, account_of
from postrider.telemetry.events import Events

RETURN_PATH = b"Return-Path: <>\r\n"


@pytest.fixture
def options(options):
    return replace(options, blobs="maildir")


@pytest.fixture
def log():
    return io.StringIO()


@pytest.fixture
async def maildirs(data, options):
    """A store that has its bodies in files."""
    store = open_local(data, options)
    yield store
    await store.close()


def files(data, where="**"):
    """Contents of all bodies' files by path below the root."""
    root = data / "maildir"
    found = [*root.glob(f"{where}/bodies/*"), *root.glob(".queue/*")]
    return {str(path.relative_to(root)): path.read_bytes() for path in found}


async def test_each_account_has_the_whole_message_and_the_queue_has_its_own(maildirs, data):
    await maildirs.writer.commit(intake(ALICE, BOB, enqueue=(enqueue(), enqueue("erin@c.test"))))
    found = {path.rpartition("/")[0]: body for path, body in files(data).items()}
    text = b"Subject: hello\r\n\r\nGood morning.\r\n"
    assert found == {
        "a.test/alice/bodies": RETURN_PATH + text,
        "a.test/bob/bodies": RETURN_PATH + text,
        ".queue": text,
    }
    assert {path.stat().st_mode & 0o777 for path in (data / "maildir").rglob("*") if path.is_file()} == {0o600}
    assert {path.stat().st_mode & 0o777 for path in (data / "maildir").rglob("*") if path.is_dir()} == {0o700}


async def test_a_reader_names_the_file(maildirs, data):
    await maildirs.writer.commit(intake(ALICE))
    (row,) = await maildirs.reader.messages(ALICE, INBOX, [1])
    file = await maildirs.reader.file(ALICE, row.blob)
    assert Path(file).read_bytes() == row.prefix + await maildirs.reader.body(ALICE, row.blob)
    assert Path(file).stat().st_size == row.size


async def test_a_spooled_body_is_written_in_pieces(maildirs, data, tmp_path):
    octets = os.urandom(3 * 1024 * 1024 + 17)
    (tmp_path / "spooled").write_bytes(octets)
    body = replace_body(body_of(octets), str(tmp_path / "spooled"))
    await maildirs.writer.commit(t.Append(ALICE, INBOX, (t.NewMessage(body, 1, b""),)))
    assert list(files(data).values()) == [octets]


def replace_body(body, path):
    return Body(body.hash, body.size, path=path)


async def test_what_is_refused_leaves_no_file(maildirs, data, tmp_path):
    (tmp_path / "short").write_bytes(b"less")
    gone = Body(b"h" * 32, 10, path=str(tmp_path / "gone"))
    short = Body(b"h" * 32, 10, path=str(tmp_path / "short"))
    for body, reason in ((gone, Reason.UNAVAILABLE), (short, Reason.INVALID)):
        with pytest.raises(StoreError) as error:
            await maildirs.writer.commit(t.Append(ALICE, INBOX, (t.NewMessage(body, 1, b""),)))
        assert error.value.reason is reason
    with pytest.raises(StoreError):
        await maildirs.writer.commit(append(77))
    with pytest.raises(StoreError):
        await maildirs.writer.commit(t.Append(ALICE, INBOX, (t.NewMessage(body_of(), 1, b""),), quota_bytes=5))
    assert files(data) == {}


async def test_a_write_that_fails_leaves_no_file_and_the_next_is_taken(maildirs, data, monkeypatch):
    def fail(*_):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", fail)
        with pytest.raises(StoreError) as error:
            await maildirs.writer.commit(intake(ALICE))
    assert error.value.reason is Reason.WRITE_FAILED
    assert files(data) == {}
    await maildirs.writer.commit(intake(ALICE))
    assert len(files(data)) == 1


async def test_an_account_whose_directory_is_of_no_use_keeps_nobody_elses_mail_out(data, options, log):
    server = open_writer(data, replace(options, events=Events(log)))
    committer = server._committer
    committer.commit([intake(ALICE, BOB)])
    shutil.rmtree(data / "maildir/a.test/bob/bodies")
    (data / "maildir/a.test/bob/bodies").write_text("what another program left there")
    outcome = committer.commit([intake(ALICE, data=b"one"), intake(ALICE, BOB), intake(ALICE, data=b"two")])
    assert [getattr(result, "reason", None) for result in outcome.results] == [None, Reason.WRITE_FAILED, None]
    assert sorted(files(data).values())[1:] == [RETURN_PATH + b"one", RETURN_PATH + b"two"]
    assert '"store.write_failed"' in log.getvalue()
    assert "a.test/bob/bodies" in log.getvalue()
    server.stop()
    server.run()


async def test_a_file_that_cannot_be_removed_ends_nobody(data, options, log):
    server = open_writer(data, replace(options, events=Events(log)))
    committer = server._committer
    committer.commit([append(INBOX, b"one", b"two", b"three", flags=8)])
    stubborn = next(data / "maildir" / path for path, body in files(data).items() if body == b"two")
    stubborn.unlink()
    (stubborn / "below").mkdir(parents=True)
    (expunged,) = committer.commit([t.Expunge(ALICE, INBOX, (1, 2, 3))]).results
    assert expunged.uids == (1, 2, 3)
    assert [path.name for path in stubborn.parent.iterdir()] == [stubborn.name]
    assert '"store.write_failed"' in log.getvalue()
    log.truncate(0)
    committer.commit([intake(ALICE), t.SetFlags(ALICE, INBOX, (4,), t.FlagChange.ADD, 1)])
    assert log.getvalue() == ""
    server.stop()
    server.run()


async def test_there_are_more_recipients_than_files_may_be_open(data, options):
    server = open_writer(data, options)
    committer = server._committer
    users = [account_of("mail", f"user{number}@a.test") for number in range(300)]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(list(Path("/proc/self/fd").iterdir()))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 200, hard))
    try:
        (done,) = committer.commit([intake(*users)]).results
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(done.stored) == 300
    assert len(files(data)) == 300
    server.stop()
    server.run()


async def test_a_directory_that_somebody_removed_is_made_again(maildirs, data):
    await maildirs.writer.commit(append())
    await maildirs.writer.commit(t.SetFlags(ALICE, INBOX, (1,), t.FlagChange.ADD, 8))
    await maildirs.writer.commit(t.Expunge(ALICE, INBOX, (1,)))
    assert files(data) == {}
    (data / "maildir/a.test/alice/bodies").rmdir()
    await maildirs.writer.commit(append())
    assert len(files(data)) == 1


async def test_what_a_kill_left_is_gone_after_the_next_start(data, options):
    store = open_local(data, options)
    await store.writer.commit(intake(ALICE, BOB))
    await store.close()
    kept = files(data)
    (path,) = (path for path in kept if "alice" in path)
    left = (data / "maildir" / path).with_name(f"{path.rpartition('/')[2].partition('.')[0]}.left")
    left.write_bytes(b"not committed")
    await open_local(data, options).close()
    assert files(data) == kept


async def test_an_old_file_that_nobody_needs_is_told_and_compacted_away(data, options):
    store = open_local(data, options)
    await store.writer.commit(intake(ALICE))
    await store.close()
    kept = files(data)
    old = data / "maildir/a.test/alice/bodies/1000.old"
    old.write_bytes(b"its removal was lost")
    done = verify(data, lambda *_: None)
    assert done.problems == []
    (told,) = done.dead
    assert told.startswith("a.test/alice/bodies/1000.old: ")
    compact(data, options, 0.5)
    assert files(data) == kept


async def test_mail_without_its_database_is_not_hidden_by_an_empty_one(data, options):
    store = open_local(data, options)
    await store.writer.commit(intake(ALICE))
    await store.close()
    for path in data.glob("mail.db*"):
        path.unlink()
    with pytest.raises(CannotOpen, match="store rebuild"):
        open_local(data, options)


async def test_a_lost_database_is_made_again_and_what_its_journal_does_not_know_is_delivered(data, options):
    store = open_local(data, options)
    await store.writer.commit(intake(ALICE, BOB, enqueue=(enqueue(),)))
    await store.writer.commit(append(INBOX, b"Subject: two\r\n\r\n"))
    await store.writer.commit(t.SetFlags(ALICE, INBOX, (2,), t.FlagChange.ADD, 1))
    await store.close()
    before = dump(data)
    lose(data)
    done = again(data)
    assert (done.delivered_again, done.lost_bodies, done.left) == (0, 0, [])
    assert dump(data) == before
    assert verify(data, lambda *_: None).problems == []
    late = data / f"maildir/a.test/bob/bodies/{NOON + 3}.late"
    late.write_bytes(b"Subject: late\r\n\r\n")
    unknown = data / f"maildir/b.test/eve/bodies/{NOON + 3}.late"
    unknown.parent.mkdir(parents=True)
    unknown.touch()
    lose(data)
    done = again(data)
    assert (done.delivered_again, done.renewed, done.lost_bodies) == (1, [BOB], 0)
    assert [str(unknown) in left for left in done.left] == [True]
    store = open_local(data, options)
    rows = await store.reader.messages(BOB, INBOX, [1, 2])
    assert await store.reader.body(BOB, rows[1].blob) == late.read_bytes()
    await store.close()


async def test_a_file_that_was_changed_or_is_missing_is_found(data, options):
    store = open_local(data, options)
    await store.writer.commit(append(INBOX, b"one\r\n\r\n1", b"two\r\n\r\n2"))
    await store.close()
    first, second = sorted((data / "maildir/a.test/alice/bodies").iterdir(), key=lambda path: path.read_bytes())
    first.write_bytes(b"one\r\n\r\nx")
    second.unlink()
    problems = sorted(verify(data, lambda *_: None).problems)
    assert len(problems) == 2
    assert "is not what was stored" in "".join(problems)


@given(st.lists(st.text(min_size=1), min_size=2, max_size=2, unique=True))
def test_two_names_are_two_directories_and_each_is_one(names):
    safe = [safe_name(name) for name in names]
    assert safe[0] != safe[1]
    for name in safe:
        assert "/" not in name
        assert not name.startswith(".")
        assert "\0" not in name


def test_odd_local_parts_stay_below_their_domain(tmp_path):
    for user in ("..", "../../etc", "a/b", ".queue", 'odd"name', "päter"):
        where = account_directory(account_of("mail", f"{user}@a.test"))
        path = tmp_path / where
        with contextlib.suppress(FileExistsError):
            path.mkdir(parents=True)
        assert path.resolve().parent == (tmp_path / "a.test").resolve()


async def test_a_refused_settlement_leaves_the_file_that_waits_in_the_queue(maildirs, data):
    """What is over quota still when the queue tries again, waits on: its body too."""
    await maildirs.writer.commit(intake(enqueue=(enqueue(),)))
    waiting = files(data)
    (row,) = await maildirs.writer.commit(t.Claim(EVERY_LANE, NOON, 60, 1))
    settled = (t.Settlement(row.id, row.epoch, t.Outcome.DELIVERED),)
    full = t.Deliver(ALICE, RETURN_PATH, quota_bytes=1)
    with pytest.raises(StoreError) as refused:
        await maildirs.writer.commit(intake(deliver=(full,), settle=settled, count=False))
    assert refused.value.reason is Reason.OVER_QUOTA
    assert files(data) == waiting


async def test_what_is_there_by_its_key_already_leaves_no_second_file(maildirs, data):
    once = append(INBOX, b"once", key=b"k")
    await maildirs.writer.commit(once)
    before = files(data)
    assert (await maildirs.writer.commit(once)).target == (1,)
    assert files(data) == before
