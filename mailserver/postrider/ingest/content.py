"""What is cached about a message at delivery: found once here, read by IMAP, JMAP and search ever after."""

from __future__ import annotations

import msgspec

from postrider.mime.header import Octets, fields, unfold
from postrider.mime.parse import scan
from postrider.mime.structure import thread_keys
from postrider.model.mail import Content

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Content)


def content(data: Octets, completion: bytes = b"") -> tuple[bytes, tuple[bytes, ...]]:
    """(cached, thread keys) of a blob; `completion` are header fields that a prefix adds to the author's own.

    Offsets count from the first byte of the blob; the envelope knows the completion too.
    """
    found = scan(data)
    header = found.header or data[0 : found.root.body]
    if completion:
        added = {name: unfold(value) for name, value in fields(completion)}
        envelope = msgspec.structs.replace(
            found.envelope,
            date=found.envelope.date if found.envelope.date is not None else added.get(b"date"),
            message_id=found.envelope.message_id if found.envelope.message_id is not None else added.get(b"message-id"),
        )
        found = msgspec.structs.replace(found, envelope=envelope)
    return _encoder.encode(found), thread_keys(completion + header)


def cached_content(cached: bytes) -> Content:
    """What `content` cached. Raises msgspec.DecodeError when the bytes are something else."""
    return _decoder.decode(cached)
