"""The index files as a front reads them: the shared one, and those of the accounts that were asked about last."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import apsw

from postrider.store.keys import DataKey, KeyMissing, Keys
from postrider.store.search import file

#: Files of single accounts that are open at once; each takes up to 1.2 MB.
MOST = 8


@dataclass(frozen=True, slots=True)
class _Opened:
    db: apsw.Connection
    inode: int
    key: DataKey | None


class Readers:
    """Connections to files that may come, go and be replaced at any time. One thread alone may call it."""

    def __init__(self, directory: Path, keys: Keys) -> None:
        self._directory = directory
        self._keys = keys
        self._opened: OrderedDict[int, _Opened] = OrderedDict()
        #: The file that was asked for last.
        self._inode = 0

    def of(self, key_id: int) -> apsw.Connection | None:
        """The connection to the file that is there now, for the account with this key; 0: for those without any.

        None where there is no file, or no key to it. Raises apsw.Error, NoCipher.
        """
        self._drop_what_is_gone()
        try:
            key = self._keys(key_id) if key_id else None
        except KeyMissing:
            self.drop(key_id)
            return None
        self._inode = self._present(key_id)
        if not self._inode:
            return None
        there = self._opened.get(key_id)
        if there is None or there.key != key:
            self.drop(key_id)
            db = file.open_reader(self._path(key_id), key)
            if db is None:
                return None
            there = self._opened[key_id] = _Opened(db, self._inode, key)
            self._make_room()
        self._opened.move_to_end(key_id)
        return there.db

    def drop(self, key_id: int) -> None:
        """Close a file."""
        there = self._opened.pop(key_id, None)
        if there is not None:
            there.db.close()

    def throw_away(self, key_id: int) -> None:
        """The file that was asked for last is damaged; the indexer makes another one, unless it has already."""
        self.drop(key_id)
        if self._inode and self._present(key_id) == self._inode:
            with contextlib.suppress(OSError):
                file.remove(self._path(key_id))

    def close(self) -> None:
        """Close all."""
        for key_id in list(self._opened):
            self.drop(key_id)

    def _drop_what_is_gone(self) -> None:
        """Files that were removed or replaced, whoever was asked for: no disk is kept for them."""
        for key_id in [each for each, there in self._opened.items() if self._present(each) != there.inode]:
            self.drop(key_id)

    def _make_room(self) -> None:
        own = [key_id for key_id in self._opened if key_id]
        for key_id in own[:-MOST]:
            self.drop(key_id)

    def _present(self, key_id: int) -> int:
        """The inode of a file, 0 where there is none to be had."""
        try:
            return self._path(key_id).stat().st_ino
        except OSError:
            return 0

    def _path(self, key_id: int) -> Path:
        return file.index_path(self._directory, key_id)
