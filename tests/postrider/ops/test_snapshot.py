"""The snapshot's directory is watched, verified and kept."""

import io
import json

import msgspec
import pytest

from postrider.contract import files
from postrider.contract.model import Domain, Mailbox, NamedSecret, Server, Snapshot
from postrider.ops.snapshot import SnapshotWatch
from postrider.telemetry.events import Events

GOOD = files.normal(
    Snapshot(
        server=Server(hostname="mx.one.test"),
        generation=5,
        domains=(Domain(name="one.test"),),
        mailboxes=(Mailbox(address="a@one.test"),),
    )
)


@pytest.fixture
def delivered():
    return []


@pytest.fixture
def watch(tmp_path, delivered):
    return SnapshotWatch(tmp_path / "source", tmp_path / "kept", Events(io.StringIO()), delivered.append)


def next_one(snapshot, **fields):
    return files.normal(msgspec.structs.replace(snapshot, generation=snapshot.generation + 1, **fields))


def test_good_generation_is_kept_and_handed_on_once(watch, delivered):
    files.write_directory(watch.source, GOOD)
    watch.look()
    watch.look()
    assert delivered == [GOOD]
    assert files.read_directory(watch.kept) == GOOD
    assert watch.status(5).loaded == 5


def test_nothing_there_is_pending(watch, delivered):
    watch.look()
    assert delivered == []
    assert "does not exist" in watch.status(None).waiting_for


def test_missing_part_is_pending_until_it_arrives(watch, delivered):
    files.write_directory(watch.source, GOOD)
    watch.look()
    newer = next_one(GOOD, mailboxes=(*GOOD.mailboxes, Mailbox(address="b@one.test")))
    files.write_directory(watch.source, newer)
    manifest = watch.source / "..data" / files.MANIFEST
    part = next(path for path in manifest.parent.iterdir() if path.name.startswith("dir-"))
    content = part.read_bytes()
    part.unlink()
    watch.look()
    watch.look()
    status = watch.status(5)
    assert (status.loaded, status.pending, status.refused) == (5, 6, None)
    assert part.name in status.waiting_for
    part.write_bytes(content)
    watch.look()
    assert delivered[-1] == newer
    assert watch.status(6).pending is None


def test_wrong_generation_is_refused_and_the_good_one_stays(watch, delivered):
    files.write_directory(watch.source, GOOD)
    watch.look()
    files.write_directory(watch.source, next_one(GOOD, mailboxes=(Mailbox(address="a@other.test"),)))
    watch.look()
    refused = watch.status(5).refused
    assert refused.generation == 6
    assert refused.rows[0].name == "a@other.test"
    assert delivered == [GOOD]
    assert files.read_directory(watch.kept) == GOOD


def test_illegible_part_is_refused_with_its_generation(watch, delivered):
    files.write_directory(watch.source, GOOD)
    manifest = watch.source / "..data" / files.MANIFEST
    content = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(content | {"version": 99}))
    watch.look()
    refused = watch.status(None).refused
    assert refused.generation == 5
    assert "99" in refused.reason


def test_older_generation_is_refused(watch, delivered):
    files.write_directory(watch.source, next_one(GOOD))
    watch.look()
    files.write_directory(watch.source, GOOD)
    watch.look()
    assert "older" in watch.status(6).refused.reason
    assert len(delivered) == 1


def test_kept_generation_serves_without_a_source(watch, delivered):
    files.write_directory(watch.kept, GOOD)
    watch.restore()
    assert delivered == [GOOD]
    files.write_directory(watch.source, GOOD)
    watch.look()
    assert delivered == [GOOD], "the same generation again is no news"


def test_what_cannot_be_kept_is_tried_again(watch, delivered):
    files.write_directory(watch.source, GOOD)
    watch.kept.write_text("in the way")
    watch.look()
    watch.look()
    assert delivered == []
    assert "cannot be kept" in watch.status(None).refused.reason
    watch.kept.unlink()
    watch.look()
    assert delivered == [GOOD]
    assert watch.status(5).refused is None


def test_a_source_that_cannot_be_read_is_pending(watch, delivered):
    watch.source.write_text("not a directory")
    watch.look()
    assert "cannot be read" in watch.status(None).waiting_for
    watch.source.unlink()
    files.write_directory(watch.source, GOOD)
    watch.look()
    assert delivered == [GOOD]


def test_what_makes_us_fail_is_looked_at_once(watch, delivered, monkeypatch):
    files.write_directory(watch.source, GOOD)
    with monkeypatch.context() as broken:
        broken.setattr("postrider.ops.snapshot.check", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            watch.look()
        watch.look()
    files.write_directory(watch.source, next_one(GOOD))
    watch.look()
    assert [one.generation for one in delivered] == [6]


def test_peeking_hands_on_nothing_and_keeps_nothing(watch, delivered):
    assert watch.peek() is None
    files.write_directory(watch.source, GOOD)
    assert watch.peek() == GOOD
    assert not watch.kept.exists()
    watch.look()
    assert delivered == [GOOD]


def test_peeking_finds_the_kept_one_where_the_source_is_wrong(watch, delivered):
    files.write_directory(watch.kept, GOOD)
    files.write_directory(watch.source, next_one(GOOD, mailboxes=(Mailbox(address="a@nobody.test"),)))
    assert watch.peek() == GOOD
    assert watch.status(None).refused.generation == 6
    assert delivered == []


def test_keys_of_the_store_are_not_kept_beside_the_mail_they_protect(watch, delivered):
    rows = (NamedSecret(name="relay", value="open sesame"), NamedSecret(name="storage-key/a", value="A" * 44))
    files.write_directory(watch.source, next_one(GOOD, secrets=rows))
    watch.look()
    assert delivered[0].secrets == rows
    assert files.read_directory(watch.kept).secrets == rows[:1]
    assert files.read_storage_keys(watch.source) == {"a": "A" * 44}
    assert files.read_storage_keys(watch.kept) == {}
