"""Records: what goes in comes out, in any range; any byte that changes and any that is missing is noticed."""

import os
import random
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stored import NOON, body_of

from postrider.store import codecs, records
from postrider.store.codecs import FRAME, PLAIN, ZSTD
from postrider.store.meta import Belongs, Placed, coming, unpack_belongs
from postrider.store.pack_files import pack_path, read_frames, read_head, read_padding
from postrider.store.pack_reader import read_range
from postrider.store.packs import SQUEEZED_BODIES, Packs
from postrider.store.records import BARE, FILE_HEADER, BadRecord, Header
from postrider.store.values import Body

BELONGS = Belongs(3, NOON, (Placed("mail/alice@a.test", b"Received: here\r\n", flags=3, keywords=("a", "b")),))


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    shared = Path("/dev/shm")
    if not os.access(shared, os.W_OK):
        yield tmp_path_factory.mktemp("packs")
        return
    path = shared / f"postrider-records-{os.getpid()}"
    path.mkdir()
    yield path
    for left in path.iterdir():
        left.unlink()
    path.rmdir()


def written(directory, body, belongs=BELONGS):
    """The file and the place of one record."""
    packs = Packs(directory, pack_size=4096)
    packs.open({}, NOON)
    (place,) = packs.append([coming(body, belongs)], NOON)
    packs.close()
    return pack_path(directory, place.pack), place


def check(fd, start):
    """Everything about a record is looked at; returns meta and body. Raises BadRecord."""
    header, meta, frames = read_head(fd, start)
    data = b"".join(read_frames(fd, start, header, frames))
    read_padding(fd, start, header)
    if body_of(data).hash != header.hash:
        raise BadRecord("another hash")
    return meta, data


SIZES = [0, 1, 100, 5000, FRAME - 1, FRAME, FRAME + 1, 2 * FRAME, 2 * FRAME + 77]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["text", "noise", "spooled"])
def test_any_range_of_any_body(directory, tmp_path, size, kind):
    dice = random.Random(size)
    data = dice.randbytes(size) if kind == "noise" else (b"%d lines of text\r\n" % size * (size // 10 + 1))[:size]
    body = body_of(data)
    if kind == "spooled":
        (tmp_path / "spool").write_bytes(data)
        body = Body(body.hash, size, path=str(tmp_path / "spool"))
    path, place = written(directory, body)
    assert place.header.codec == (PLAIN if kind == "noise" or size <= 1 else ZSTD)
    with path.open("rb") as file:
        fd = file.fileno()
        assert check(fd, place.start)[1] == data
        ranges = [(0, None), (0, size), (size, 1), (size + 5, None), (0, 0)]
        ranges += [(dice.randint(0, size), dice.randint(0, size)) for _ in range(8)]
        ranges += [(max(0, edge + dice.randint(-9, 3)), 7) for edge in range(0, size + 1, FRAME)]
        for start, length in ranges:
            wanted = data[start:] if length is None else data[start : start + length]
            assert read_range(fd, place.start, start, length) == wanted


@given(st.binary(max_size=300), st.lists(st.text(max_size=9), max_size=3).map(tuple), st.binary(max_size=99))
def test_records_say_whom_they_belong_to(directory, data, keywords, prefix):
    try:
        belongs = Belongs(9, NOON, (Placed("mail/bob@a.test", prefix, "folder", "", 5, keywords),))
        path, place = written(directory, body_of(data), belongs)
    except UnicodeEncodeError:  # half a surrogate pair is no text
        return
    with path.open("rb") as file:
        meta, found = check(file.fileno(), place.start)
    assert (unpack_belongs(meta), found) == (belongs, data)


bodies = st.one_of(st.binary(max_size=200), st.binary(min_size=1, max_size=9).map(lambda piece: piece * 50))


@settings(max_examples=150)
@given(bodies, st.integers(0, 10_000), st.integers(1, 255))
def test_no_changed_byte_goes_unseen(directory, data, at, difference):
    path, place = written(directory, body_of(data))
    at = place.start + at % place.header.length
    with path.open("r+b") as file:
        file.seek(at)
        file.write(bytes([os.pread(file.fileno(), 1, at)[0] ^ difference]))
        file.flush()
        with pytest.raises(BadRecord):
            check(file.fileno(), place.start)


@settings(max_examples=100)
@given(bodies, st.integers(0, 10_000))
def test_no_missing_end_goes_unseen(directory, data, at):
    path, place = written(directory, body_of(data))
    os.truncate(path, place.start + at % place.header.length)
    with path.open("rb") as file, pytest.raises(BadRecord):
        check(file.fileno(), place.start)


def test_a_range_needs_only_the_frames_it_touches(directory):
    data = random.Random(5).randbytes(3 * FRAME)
    path, place = written(directory, body_of(data))
    with path.open("r+b") as file:
        fd = file.fileno()
        _, _, frames = read_head(fd, place.start)
        os.pwrite(fd, bytes([data[FRAME + 500] ^ 1]), place.start + frames[1].start + 500)
        assert read_range(fd, place.start, 0, FRAME) == data[:FRAME]
        assert read_range(fd, place.start, 2 * FRAME, None) == data[2 * FRAME :]
        for start, length in ((FRAME - 1, 2), (FRAME + 9, 1), (0, None)):
            with pytest.raises(BadRecord, match="checksum"):
                read_range(fd, place.start, start, length)


def test_records_of_the_first_release_are_read(directory):
    """Its payload was plain, under one checksum, with neither meta nor table."""
    data = random.Random(6).randbytes(FRAME + 500)
    header = Header(body_of(data).hash, len(data), len(data), NOON, zlib.crc32(data), version=BARE)
    path = directory / "bare"
    path.write_bytes(bytes(FILE_HEADER.size) + records.pack_header(header) + data + bytes(8))
    with path.open("rb") as file:
        fd = file.fileno()
        assert read_range(fd, FILE_HEADER.size) == data
        assert read_range(fd, FILE_HEADER.size, 77, FRAME) == data[77 : 77 + FRAME]
        meta, frames = read_head(fd, FILE_HEADER.size)[1:]
        assert (meta, len(frames)) == (b"", 1)
    path.write_bytes(path.read_bytes()[:-100] + b"!" * 100)
    with path.open("rb") as file, pytest.raises(BadRecord, match="checksum"):
        read_range(file.fileno(), FILE_HEADER.size)


def test_what_a_codec_does_not_know_is_refused(directory):
    path, place = written(directory, body_of(b"some text " * 100))
    header = Header(b"h" * 32, 5, 13, NOON, 0, codec=200, key_id=7)
    path.write_bytes(path.read_bytes()[: place.start] + records.pack_header(header) + bytes(100))
    with path.open("rb") as file, pytest.raises(BadRecord):
        read_range(file.fileno(), place.start)


def test_in_a_hurry_bodies_stay_as_they_are(directory):
    packs = Packs(directory, pack_size=1024 * 1024)
    packs.open({}, NOON)
    text = [coming(body_of(b"%d " % n * 1000), BELONGS) for n in range(SQUEEZED_BODIES + 1)]
    many, few = packs.append(text, NOON), packs.append(text[1:], NOON)
    packs.close()
    assert {place.header.codec for place in many} == {PLAIN}
    assert {place.header.codec for place in few} == {ZSTD}


def test_no_more_is_decompressed_than_there_can_be():
    bomb = codecs.CODECS[ZSTD].encode(bytes(FRAME), codecs.Context(b"", 0, FRAME))
    with pytest.raises(codecs.BadFrame, match="as long"):
        codecs.CODECS[ZSTD].decode(bomb, codecs.Context(b"", 0, 100))
