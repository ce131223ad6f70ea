"""Packs: what recovery keeps and cuts, how they roll, what readers refuse."""

import errno
import os
import resource
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stored import NOON, body_of

from postrider.store import records
from postrider.store.blobs import Moved, Place
from postrider.store.meta import Belongs, coming
from postrider.store.pack_files import pack_ids, pack_path, scan, short_packs
from postrider.store.pack_reader import PackReader
from postrider.store.packs import Packs
from postrider.store.records import FILE_HEADER, HEADER_SIZE, BadRecord, Header
from postrider.store.transactions import StoreError

SIZE = 64 * 1024


@contextmanager
def largest_file(octets):
    """No file of this process grows beyond it: writes fail as on a broken or full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (octets, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def opened(directory, known=(), size=SIZE):
    packs = Packs(directory, pack_size=size)
    return packs, packs.open(dict(known), NOON)


def incoming(*bodies):
    return [coming(body_of(data), Belongs(7)) for data in bodies]


def filled(directory, *bodies):
    """A pack with these bodies, closed; returns their places."""
    packs, _ = opened(directory)
    places = packs.append(incoming(*bodies), NOON)
    packs.sync()
    packs.close()
    return places


def bodies_in(directory, pack=1):
    reader = PackReader(directory)
    with pack_path(directory, pack).open("rb") as file:
        found = [reader.read(Place(pack, start), 0, None) for start, _, _ in scan(file.fileno(), FILE_HEADER.size)]
    reader.close()
    return found


def test_what_is_written_is_read(tmp_path):
    places = filled(tmp_path, b"one", b"", b"x" * 9000)
    reader = PackReader(tmp_path)
    assert [reader.read(Place(place.pack, place.start), 0, None) for place in places] == [b"one", b"", b"x" * 9000]
    assert [place.header.hash for place in places] == [body_of(data).hash for data in (b"one", b"", b"x" * 9000)]
    assert bodies_in(tmp_path) == [b"one", b"", b"x" * 9000]
    reader.close()


def test_a_pack_is_preallocated(tmp_path):
    filled(tmp_path, b"one")
    stat = pack_path(tmp_path, 1).stat()
    assert stat.st_size == SIZE
    assert stat.st_blocks * 512 >= SIZE


def test_opening_goes_on_behind_the_last_record(tmp_path):
    last = filled(tmp_path, b"one", b"two")[-1]
    packs, recovered = opened(tmp_path, {1: last.end})
    assert (recovered.orphans, recovered.cut) == (0, 0)
    packs.append(incoming(b"three"), NOON)
    packs.close()
    assert bodies_in(tmp_path) == [b"one", b"two", b"three"]


def test_a_disk_without_room_for_a_whole_pack_takes_records_all_the_same(tmp_path, monkeypatch):
    def full(fd, _, length):
        os.ftruncate(fd, length)  # so much was there
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    last = filled(tmp_path, b"one")[-1]
    packs, recovered = opened(tmp_path, {1: last.end})
    assert pack_path(tmp_path, 1).stat().st_size == last.end
    assert (recovered.orphans, recovered.cut) == (0, 0)
    packs.append(incoming(b"two"), NOON)
    packs.close()
    assert bodies_in(tmp_path) == [b"one", b"two"]


def test_whole_records_nobody_knows_are_kept(tmp_path):
    first = filled(tmp_path, b"one", b"two")[0]
    packs, recovered = opened(tmp_path, {1: first.end})
    assert recovered.orphans == 1
    packs.append(incoming(b"three"), NOON)
    packs.close()
    assert bodies_in(tmp_path) == [b"one", b"two", b"three"]


def test_with_the_database_gone_nothing_is_cut_but_the_torn_tail(tmp_path):
    last = filled(tmp_path, b"one", os.urandom(299) + b"!")[-1]
    payload = last.start + HEADER_SIZE + last.header.head
    with pack_path(tmp_path, 1).open("r+b") as file:
        file.seek(payload + 50)
        file.write(b"\0" * 250)
    _, recovered = opened(tmp_path)
    assert recovered.orphans == 1
    assert payload - last.start < recovered.cut <= payload - last.start + 50
    assert bodies_in(tmp_path) == [b"one"]


@pytest.mark.parametrize("damage", ["truncated", "zeroed", "payload", "header", "garbage behind"])
def test_a_torn_tail_is_cut_and_zeroed(tmp_path, damage):
    long = os.urandom(3000)
    first, last = filled(tmp_path, b"one", long)
    path = pack_path(tmp_path, 1)
    with path.open("r+b") as file:
        match damage:
            case "truncated":
                file.truncate(last.start + 100)
            case "zeroed":
                file.seek(last.start)
                file.write(bytes(512))
            case "payload":
                file.seek(last.start + HEADER_SIZE + 512)
                file.write(bytes([long[512 - last.header.head] ^ 1]))
            case "header":
                file.seek(last.start + 20)
                file.write(b"!")
            case "garbage behind":
                file.seek(last.end)
                file.write(b"PRec" + os.urandom(2000))
    packs, recovered = opened(tmp_path, {1: first.end})
    kept = [b"one", long] if damage == "garbage behind" else [b"one"]
    assert recovered.orphans == len(kept) - 1
    assert path.read_bytes()[packs.end :] == bytes(SIZE - packs.end)
    packs.append(incoming(b"new"), NOON)
    packs.close()
    assert bodies_in(tmp_path) == [*kept, b"new"]


def test_a_pack_torn_while_it_was_made_is_made_again(tmp_path):
    last = filled(tmp_path, b"one")[-1]
    pack_path(tmp_path, 2).write_bytes(b"Post")
    packs, recovered = opened(tmp_path, {1: last.end})
    assert recovered.pack == 1
    packs.close()
    assert pack_ids(tmp_path) == [1]


def test_full_packs_are_sealed_and_the_next_one_begun(tmp_path):
    bodies = [bytes([n]) * 20_000 for n in range(10)]
    packs, _ = opened(tmp_path)
    places = packs.append(incoming(*bodies), NOON)
    packs.sync()
    packs.close()
    assert [place.pack for place in places] == [1, 1, 1, 2, 2, 2, 3, 3, 3, 4]
    assert pack_path(tmp_path, 1).stat().st_size == places[2].end < SIZE
    assert [data for pack in pack_ids(tmp_path) for data in bodies_in(tmp_path, pack)] == bodies


def test_a_body_larger_than_a_pack_gets_one_of_its_own(tmp_path):
    large = os.urandom(3 * SIZE)
    places = filled(tmp_path, b"small", large, b"next")
    assert [place.pack for place in places] == [1, 2, 3]
    assert bodies_in(tmp_path, 2) == [large]


def test_a_failed_write_keeps_nothing_and_the_next_one_succeeds(tmp_path):
    packs, _ = opened(tmp_path, size=1024)
    first = packs.append(incoming(b"one"), NOON)[0]
    packs.sync()
    with largest_file(2048):
        for _ in range(2):
            with pytest.raises(OSError, match="large"):
                packs.append(incoming(b"two" * 100, os.urandom(5000)), NOON)
    place = packs.append(incoming(b"three"), NOON)[0]
    packs.sync()
    packs.close()
    assert first.pack < place.pack
    assert [data for pack in pack_ids(tmp_path) for data in bodies_in(tmp_path, pack)] == [b"one", b"three"]


@pytest.mark.parametrize("after", [[], [b"short"]])
def test_a_record_that_is_taken_back_was_never_there(tmp_path, after):
    packs, _ = opened(tmp_path)
    packs.append(incoming(b"kept"), NOON)
    (place,) = packs.append(incoming(b"x" * 9000), NOON)
    packs.take_back(place)
    packs.append(incoming(*after), NOON)
    packs.sync()
    packs.close()
    assert bodies_in(tmp_path) == [b"kept", *after]


def test_damaged_bodies_are_refused(tmp_path):
    data = os.urandom(1000)
    place = filled(tmp_path, data)[0]
    with pack_path(tmp_path, 1).open("r+b") as file:
        file.seek(place.start + HEADER_SIZE + place.header.head + 500)
        file.write(bytes([data[500] ^ 1]))
    reader = PackReader(tmp_path)
    with pytest.raises(StoreError, match="checksum"):
        reader.read(Place(1, place.start), 0, None)
    with pytest.raises(StoreError, match="no record"):
        reader.read(Place(1, place.start + 8), 0, None)
    with pytest.raises(Moved):
        reader.read(Place(9, place.start), 0, None)
    reader.close()


def test_packs_that_are_missing_or_short_are_named(tmp_path):
    places = filled(tmp_path, *[os.urandom(40_000)] * 3)
    known = {place.pack: place.end for place in places}
    assert short_packs(tmp_path, known) == []
    pack_path(tmp_path, 1).unlink()
    os.truncate(pack_path(tmp_path, 2), 100)
    assert short_packs(tmp_path, known) == [1, 2]


@given(
    st.binary(min_size=32, max_size=32), st.integers(0, 2**63), st.integers(0, 2**63), st.integers(0, 2**62),
    st.integers(0, 2**32 - 1), st.integers(0, 255), st.integers(0, 2**32 - 1), st.integers(0, 2**20),
)  # fmt: skip
def test_headers_say_what_they_were_told(digest, size, stored, date, crc, codec, key_id, meta):
    header = Header(digest, size, stored, date, crc, codec=codec, key_id=key_id, meta=meta)
    assert records.unpack_header(records.pack_header(header) + b"rest") == header
    assert header.length % 8 == 0


@given(st.integers(0, HEADER_SIZE - 1), st.integers(1, 255))
def test_no_changed_byte_of_a_header_goes_unseen(at, difference):
    raw = bytearray(records.pack_header(Header(b"h" * 32, 5, 5, NOON, 77)))
    raw[at] ^= difference
    with pytest.raises(BadRecord):
        records.unpack_header(bytes(raw))
