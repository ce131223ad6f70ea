"""The index files of a data directory as the indexer has them open: the shared one, and a few of single accounts."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

from postrider.model.ports import Random
from postrider.store.keys import Keys
from postrider.store.search import file
from postrider.store.search.file import Marks
from postrider.store.search.index import Index
from postrider.store.values import AccountRow
from postrider.telemetry.events import Events

#: Files of single accounts that are open at once, 0.4 MB each; closing one may write its log back, with syncs.
MOST = 16


class Indexes:
    """Opens index files and closes them. Everything raises apsw.Error, OSError, NoCipher."""

    def __init__(self, directory: Path, marks: Marks, keys: Keys, random: Random, events: Events) -> None:
        self._directory = directory
        self._marks = marks
        self._keys = keys
        self._random = random
        self._events = events
        self._opened: OrderedDict[int, Index] = OrderedDict()
        #: What `kept` looked at last: the directory's time, the keys in use.
        self._seen: tuple[int, set[int]] = (0, set())

    def shared(self) -> tuple[Index, bool]:
        """The index of the accounts without a key, and whether it was opened just now."""
        index = self._there(0)
        return (index, False) if index else (self._open(0), True)

    def of(self, row: AccountRow) -> Index:
        """The index that an account is in. Raises KeyMissing."""
        index = self._there(row.key_id) or self._open(row.key_id)
        if row.key_id:
            self._keys(row.key_id)  # it may have gone since the file was opened
            index.belongs_to(row.name)
            self._opened.move_to_end(row.key_id)
        return index

    def close(self, key_id: int) -> None:
        """Close a file in good order."""
        index = self._opened.pop(key_id, None)
        if index is not None:
            index.close()

    def close_all(self) -> None:
        """Close all files in good order."""
        for key_id in list(self._opened):
            self.close(key_id)

    def throw_away(self, key_id: int) -> None:
        """Remove a file; the next one that asks for it begins another."""
        self.close(key_id)
        file.remove(file.index_path(self._directory, key_id))

    def kept(self, used: set[int]) -> set[int] | None:
        """The keys of all files of single accounts; those of no key in use go. None: nothing has changed."""
        directory = file.index_path(self._directory, 1).parent
        changed = directory.stat().st_mtime_ns if directory.exists() else 0
        if (changed, used) == self._seen:
            return None
        self._seen = changed, used
        kept = set[int]()
        for key_id, path in file.sealed_files(self._directory):
            if key_id in used:
                kept.add(key_id)
            else:
                self.close(key_id)
                path.unlink(missing_ok=True)
        return kept

    def _there(self, key_id: int) -> Index | None:
        """The index, if it is open, and its file is still there."""
        index = self._opened.get(key_id)
        if index is not None and not index.is_there():
            self.close(key_id)
            return None
        return index

    def _open(self, key_id: int) -> Index:
        key = self._keys(key_id) if key_id else None
        for one in [each for each in self._opened if each][: 1 - MOST] if key else ():
            self.close(one)
        path = file.index_path(self._directory, key_id)
        index = self._opened[key_id] = Index(path, self._marks, int.from_bytes(self._random.token(7)), key)
        # That of an account is begun with its first mail, and nobody has to know.
        if index.begun_anew and not (key_id and index.begun_anew == file.NONE_THERE):
            self._events.emit("search.rebuilt", file=path.name, reason=index.begun_anew)
        return index
