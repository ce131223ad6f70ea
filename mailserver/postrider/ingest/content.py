"""What is cached about a message at delivery: found once here, read by IMAP, JMAP and search ever after."""

from __future__ import annotations

from postrider.mime.cached import to_cache
from postrider.mime.header import Octets
from postrider.mime.parse import examine


def content(data: Octets, completion: bytes = b"") -> tuple[bytes, tuple[bytes, ...]]:
    """(cached, thread keys) of a blob; `completion` are header fields that a prefix adds to the author's own."""
    found, keys = examine(data, completion)
    return to_cache(found), keys
