"""The store's keys for each process: master keys come from the snapshot's own directory, never from the data disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from postrider.contract import files, storage
from postrider.contract.model import Snapshot
from postrider.model.ports import Clock
from postrider.store import directory
from postrider.store import open as stores
from postrider.store.open import Keyring, Masters
from postrider.supervise.settings import Settings

#: In the directory of keys: a link to the snapshot's directory, so that commands find the master keys a server has.
_LINK = "declared"
#: Seconds between two looks for a master key that is missing.
_AGAIN = 1.0


class Declared:
    """Reads the master keys that a snapshot declares. One that was there once is kept in memory while it is declared:
    a volume that is renewed at this moment takes no mail away.
    """

    def __init__(self, source: Path, ids: Callable[[], Sequence[str]], clock: Clock) -> None:
        self._source = source
        self._ids = ids
        self._clock = clock
        self._known: dict[str, bytes] = {}
        self._again = 0.0

    def read(self) -> Masters:
        """The keys as they are there now."""
        ids = self._ids()
        texts = _texts(self._source) if ids else {}
        found = {id_: storage.key(texts[id_]) for id_ in ids if not storage.fault(texts.get(id_))}
        self._known = {id_: key for id_, key in self._known.items() if id_ in ids} | found
        return Masters(ids[0] if ids else "", dict(self._known))

    def again(self) -> Masters | None:
        """The same for who misses one, where enough time has passed since the last look."""
        moment = self._clock.monotonic()
        if moment < self._again:
            return None
        self._again = moment + _AGAIN
        return self.read()


def _texts(source: Path) -> dict[str, str]:
    """What is there of the keys plane; what cannot be read is missing, and that is told where it is missed."""
    try:
        return dict(files.read_storage_keys(source))
    except (OSError, files.BadSnapshot):
        return {}


class Followed:
    """The keyring of a server's process, with the master keys of the snapshot it serves."""

    def __init__(self, settings: Settings, snapshot: Snapshot | None, clock: Clock) -> None:
        """Without a snapshot it is the settings that say how mail is kept."""
        self._storage = snapshot.server.storage if snapshot else settings.storage
        self._declared = Declared(Path(settings.snapshot), lambda: self._storage.encryption_keys, clock)
        self.ring = stores.keyring(Path(settings.data), self._declared.read(), self._declared.again)

    def follow(self, snapshot: Snapshot) -> None:
        """Another snapshot is served."""
        self._storage = snapshot.server.storage
        self.look()

    def look(self) -> None:
        """Take the master keys as they are there now."""
        self.ring.load(self._declared.read())


def note_source(settings: Settings) -> None:
    """Tell commands where the master keys are. Raises OSError."""
    link = directory.keys_directory(Path(settings.data)) / _LINK
    source = Path(settings.snapshot).absolute()
    if not link.is_symlink() or link.readlink() != source:
        link.parent.mkdir(mode=0o700, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(source)


def of_tool(data: Path, clock: Clock) -> Keyring:
    """The keyring of a command: with the master keys that the data directory's server has, as far as they are there."""
    kept = last_snapshot(data)
    ids = kept.server.storage.encryption_keys if kept else ()
    declared = Declared(directory.keys_directory(data) / _LINK, lambda: ids, clock)
    return stores.keyring(data, declared.read())


def last_snapshot(data: Path) -> Snapshot | None:
    """What the server of a data directory was told last; None where it never was told anything. Raises BadSnapshot."""
    where = Path(Settings(snapshot="", data=str(data), ports={}).kept_snapshot)
    kept = files.read_kept(where) if where.is_dir() else None
    return kept if isinstance(kept, Snapshot) else None
