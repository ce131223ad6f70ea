"""Sealed frames: what was written is read, and anything else is found, whatever was done to it."""

import os
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from postrider.store import codecs, records
from postrider.store.blobs import Place
from postrider.store.codecs import CODECS, FRAME, SEALED, SEALED_ZSTD, BadFrame, Context
from postrider.store.framing import Encoder, Subject, decode, decode_meta
from postrider.store.keys import DataKey, KeyMissing
from postrider.store.meta import Belongs, Incoming, Placed, coming
from postrider.store.pack_files import pack_path
from postrider.store.pack_reader import PackReader, read_range
from postrider.store.packs import Packs
from postrider.store.records import BadRecord, unpack_head, unpack_header
from postrider.store.transactions import StoreError
from postrider.store.values import Body

KEY, OTHER = DataKey.of(7, bytes(32)), DataKey.of(8, bytes(range(32)))
SEALING = st.sampled_from((SEALED, SEALED_ZSTD))
CONTEXT = Context(b"h" * 32, 3, 0, KEY.octets, 4 * FRAME)


@given(SEALING, st.binary(max_size=300))
def test_a_frame_comes_back_and_does_not_show(codec, data):
    context = replace(CONTEXT, size=len(data))
    stored = CODECS[codec].encode(data, context)
    assert CODECS[codec].decode(stored, context) == data
    assert len(data) < 8 or data not in stored


@given(SEALING, st.binary(max_size=60), st.data())
def test_any_flipped_bit_is_found(codec, data, draw):
    context = replace(CONTEXT, size=len(data))
    stored = bytearray(CODECS[codec].encode(data, context))
    stored[draw.draw(st.integers(0, len(stored) - 1))] ^= 1 << draw.draw(st.integers(0, 7))
    with pytest.raises(BadFrame):
        CODECS[codec].decode(bytes(stored), context)


@pytest.mark.parametrize(
    "elsewhere",
    [
        {"number": 2},
        {"hash": b"g" * 32},
        {"whole": 3 * FRAME},
        {"key": OTHER.octets},
    ],
)
@pytest.mark.parametrize("codec", [SEALED, SEALED_ZSTD])
def test_a_frame_is_worth_nothing_in_another_place(codec, elsewhere):
    context = replace(CONTEXT, size=5)
    stored = CODECS[codec].encode(b"hello", context)
    with pytest.raises(BadFrame):
        CODECS[codec].decode(stored, replace(context, **elsewhere))
    with pytest.raises(BadFrame):
        CODECS[SEALED + SEALED_ZSTD - codec].decode(stored, context)


def test_a_frame_that_was_cut_short_is_found():
    stored = CODECS[SEALED].encode(b"", replace(CONTEXT, size=0))
    for length in range(len(stored)):
        with pytest.raises(BadFrame):
            CODECS[SEALED].decode(stored[:length], replace(CONTEXT, size=0))


def test_every_plain_codec_has_one_that_seals():
    assert set(codecs.SEALING) | set(codecs.SEALING.values()) == set(CODECS)
    assert all(CODECS[sealing].hides_meta for sealing in codecs.SEALING.values())


@given(SEALING, st.binary(max_size=200), st.binary(max_size=100))
def test_a_record_hides_its_meta(codec, data, meta):
    encoder = Encoder(Subject(b"h" * 32, len(data), meta, codec=codec, key_id=7, key=KEY.octets), data)
    header, head = encoder.finish(0)
    assert unpack_header(head) == header
    stored, frames = unpack_head(header, head[len(head) - header.head :])
    assert decode_meta(header, stored, KEY.octets) == meta
    assert not frames or decode(header, frames, 0, encoder.first, KEY.octets) == data
    with pytest.raises(BadRecord):
        decode_meta(header, stored, OTHER.octets)


def incoming(data, path=""):
    belongs = Belongs(1, 0, (Placed("mail/alice@a.test", b"Return-Path: <secret@b.test>\r\n"),))
    made = coming(Body(b"p" * 32, len(data), b"" if path else data, path), belongs)
    return Incoming(made.body, made.belongs, made.meta, KEY)


def keys(id_):
    if id_ != KEY.id:
        raise KeyMissing("no")
    return KEY


@pytest.mark.parametrize("streamed", [False, True])
def test_ranges_of_a_large_body(tmp_path, streamed):
    data = os.urandom(FRAME) + b"text " * (FRAME // 4)
    path = ""
    if streamed:
        path = str(tmp_path / "spooled")
        (tmp_path / "spooled").write_bytes(data)
    packs = Packs(tmp_path)
    packs.open({}, 0)
    (place,) = packs.append([incoming(data, path)], 0)
    packs.close()
    assert place.header.hash == KEY.mac(b"p" * 32)
    reader = PackReader(tmp_path, keys)
    at = Place(place.pack, place.start)
    for start, length in ((0, None), (5, 10), (FRAME - 3, 6), (len(data) - 1, 9)):
        assert reader.read(at, start, length) == data[start : None if length is None else start + length]
    reader.close()
    with pytest.raises(StoreError):
        PackReader(tmp_path).read(at, 0, 5)
    assert b"secret@b.test" not in pack_path(tmp_path, place.pack).read_bytes()


def test_swapped_frames_are_found(tmp_path):
    data = os.urandom(3 * FRAME)
    packs = Packs(tmp_path)
    packs.open({}, 0)
    (place,) = packs.append([incoming(data)], 0)
    packs.close()
    # Frames one and two change places, table and checksums with them: no checksum tells.
    with pack_path(tmp_path, place.pack).open("r+b") as file:
        raw = bytearray(os.pread(file.fileno(), place.header.length, place.start))
        table = records.HEADER_SIZE + place.header.meta
        raw[table : table + 16] = raw[table + 8 : table + 16] + raw[table : table + 8]
        first, size = table + 24, FRAME + codecs.SEAL
        raw[first : first + 2 * size] = raw[first + size : first + 2 * size] + raw[first : first + size]
        os.pwrite(file.fileno(), fixed(raw, place.header), place.start)
    with pack_path(tmp_path, place.pack).open("rb") as file:
        assert read_range(file.fileno(), place.start, 2 * FRAME, 10, keys) == data[2 * FRAME : 2 * FRAME + 10]
        with pytest.raises(BadRecord, match="not in its place"):
            read_range(file.fileno(), place.start, 0, 10, keys)


def fixed(raw, header):
    """The record with checksums that fit."""
    head = bytes(raw[records.HEADER_SIZE : records.HEADER_SIZE + header.head])
    return records.pack_header(replace(header, crc=zlib.crc32(head))) + bytes(raw[records.HEADER_SIZE :])
