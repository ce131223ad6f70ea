"""Which records a pack holds, noted in a small file: databases are compared with it, and the pack is read once."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path

from postrider.store.pack_files import walk
from postrider.store.records import FILE_HEADER, BadRecord

#: Where a record begins, and the hash of its body.
_ROW = struct.Struct("<Q32s")


@dataclass(frozen=True, slots=True)
class RecordList:
    """The whole records of one pack, as their headers say."""

    path: Path

    @classmethod
    def write(cls, path: Path, pack: Path) -> RecordList:
        """Note what a pack holds, up to the first header that is none. Raises OSError."""
        fd = os.open(pack, os.O_RDONLY | os.O_CLOEXEC)
        try:
            size = os.fstat(fd).st_size
            with path.open("wb") as file:
                try:
                    for start, header, _, _ in walk(fd, FILE_HEADER.size):
                        if start + header.length <= size:
                            file.write(_ROW.pack(start, header.hash))
                except BadRecord:  # nothing behind it can be found
                    pass
        finally:
            os.close(fd)
        return cls(path)

    def hashes(self) -> dict[int, bytes]:
        """The hash of each body by where its record begins. Raises OSError."""
        return dict(_ROW.iter_unpack(self.path.read_bytes()))
