"""Master keys come from the snapshot's directory, for servers and for commands."""

import base64
from pathlib import Path

import msgspec
import pytest
from stored import StillClock

from postrider.app import keys
from postrider.app.writer import WriterWork
from postrider.contract import files
from postrider.contract.model import NamedSecret, Server, Snapshot, Storage
from postrider.store.directory import CannotOpen
from postrider.store.keys import KeyMissing
from postrider.supervise.settings import Settings
from postrider.telemetry.events import Events


def snapshot(*ids, there=None):
    rows = tuple(
        NamedSecret(name=f"storage-key/{id_}", value=base64.b64encode(bytes(range(int(id_), 32 + int(id_)))).decode())
        for id_ in sorted(ids if there is None else there)
    )
    server = Server(hostname="mx.one.test", storage=Storage(encryption_keys=ids))
    return files.normal(Snapshot(server=server, generation=1, secrets=rows))


@pytest.fixture
def settings(tmp_path):
    (tmp_path / "data").mkdir()
    return Settings(snapshot=str(tmp_path / "snapshot"), data=str(tmp_path / "data"), ports={})


def publish(settings, declared):
    files.write_directory(Path(settings.snapshot), declared)
    return declared


def test_the_newest_wraps_and_a_broken_row_is_a_missing_key(settings):
    declared = publish(settings, snapshot("2", "1"))
    followed = keys.Followed(settings, declared, StillClock())
    made = followed.ring.make("")
    assert made.id
    bad = msgspec.structs.replace(declared, secrets=(NamedSecret(name="storage-key/2", value="short"),))
    publish(settings, bad)
    assert keys.Followed(settings, bad, StillClock()).ring.on
    with pytest.raises(KeyMissing):
        keys.Followed(settings, bad, StillClock()).ring.key(made.id)


def test_a_key_that_was_there_stays_while_it_is_declared(settings):
    followed = keys.Followed(settings, publish(settings, snapshot("1")), StillClock())
    made = followed.ring.make("")
    publish(settings, snapshot("1", there=()))
    followed.look()
    assert followed.ring.key(made.id) == made
    followed.follow(snapshot("2", there=()))
    with pytest.raises(KeyMissing):
        followed.ring.key(made.id)


def test_a_key_that_comes_late_is_found_by_who_misses_it(settings):
    made = keys.Followed(settings, publish(settings, snapshot("1")), StillClock()).ring.make("")
    publish(settings, snapshot("1", there=()))
    clock = StillClock()
    late = keys.Followed(settings, snapshot("1"), clock)
    with pytest.raises(KeyMissing):
        late.ring.key(made.id)
    publish(settings, snapshot("1"))
    with pytest.raises(KeyMissing):  # it was looked for just now
        late.ring.key(made.id)
    clock.seconds += 2
    assert late.ring.key(made.id) == made


def test_a_command_finds_what_the_server_has(settings, tmp_path):
    declared = publish(settings, snapshot("1"))
    made = keys.Followed(settings, declared, StillClock()).ring.make("")
    files.write_directory(tmp_path / "data" / "snapshot", files.without_storage_keys(declared))
    with pytest.raises(KeyMissing):
        keys.of_tool(tmp_path / "data", StillClock()).key(made.id)
    keys.note_source(settings)
    keys.note_source(settings)
    assert keys.of_tool(tmp_path / "data", StillClock()).key(made.id) == made


async def test_encryption_cannot_be_switched_off(settings):
    keys.Followed(settings, publish(settings, snapshot("1")), StillClock()).ring.make("")
    with pytest.raises(CannotOpen, match="cannot be switched off"):
        await WriterWork(settings, Events()).start()
