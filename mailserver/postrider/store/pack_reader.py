"""The reading side of packs: ranges of bodies, checked against what their records say."""

from __future__ import annotations

import os
from collections import OrderedDict
from pathlib import Path

from postrider.store import packs, records
from postrider.store.packs import pack_path
from postrider.store.records import HEADER_SIZE, BadRecord
from postrider.store.transactions import Reason, StoreError

_OPEN_PACKS = 64
#: Pack and offset of a record.
Place = tuple[int, int]


class PackReader:
    """Reads records; keeps the packs used last open."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._files: OrderedDict[int, int] = OrderedDict()

    def read(self, place: Place, start: int, length: int | None) -> bytes:
        """A range of the body. Raises StoreError(UNAVAILABLE); a whole body's checksum is verified."""
        try:
            return _read_range(self._file(place[0]), place[1], start, length)
        except (OSError, BadRecord) as error:
            raise _unavailable(place, error) from error

    def read_aside(self, place: Place, start: int, length: int | None) -> bytes:
        """The same with a file of its own, for another thread."""
        try:
            fd = os.open(pack_path(self._directory, place[0]), os.O_RDONLY | os.O_CLOEXEC)
            try:
                return _read_range(fd, place[1], start, length)
            finally:
                os.close(fd)
        except (OSError, BadRecord) as error:
            raise _unavailable(place, error) from error

    def close(self) -> None:
        """Close the files."""
        while self._files:
            os.close(self._files.popitem()[1])

    def _file(self, pack: int) -> int:
        fd = self._files.get(pack)
        if fd is None:
            fd = os.open(pack_path(self._directory, pack), os.O_RDONLY | os.O_CLOEXEC)
            self._files[pack] = fd
            if len(self._files) > _OPEN_PACKS:
                os.close(self._files.popitem(last=False)[1])
        else:
            self._files.move_to_end(pack)
        return fd


def _read_range(fd: int, record: int, start: int, length: int | None) -> bytes:
    header = records.unpack_header(os.pread(fd, HEADER_SIZE, record))
    if header.codec != records.CODEC_PLAIN or header.key_id != records.KEY_NONE:
        raise BadRecord(f"codec {header.codec} with key {header.key_id} is newer than this program")
    end = header.size if length is None else min(header.size, start + length)
    if start == 0 and end == header.size:
        return packs.read_payload(fd, record, header)
    wanted = max(0, end - start)
    data = os.pread(fd, wanted, record + header.payload + start)
    if len(data) < wanted:
        raise BadRecord("the file ends inside a record")
    return data


def _unavailable(place: Place, error: Exception) -> StoreError:
    return StoreError(Reason.UNAVAILABLE, f"pack {place[0]}, record at {place[1]}: {error}")
