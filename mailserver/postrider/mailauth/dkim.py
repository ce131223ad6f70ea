"""DKIM signing: RSA-SHA256 and Ed25519-SHA256, relaxed/relaxed (RFC 6376, RFC 8463). Pure; nothing is verified here.

The body is hashed as its chunks come by, so no message is held for its signature. There is never an l= tag.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256

from postrider.contract import dkim
from postrider.contract.model import DkimKey

#: Signed once more than they occur, so that none can be added later (RFC 6376 §8.15).
OVERSIGNED = (
    "From",
    "Reply-To",
    "To",
    "Cc",
    "Subject",
    "Date",
    "Message-ID",
    "In-Reply-To",
    "References",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
)
#: Signed where they occur; a later hop may well add its own (RFC 6376 §5.4.1).
SIGNED = (
    "Sender",
    "Content-Disposition",
    "Content-ID",
    "Content-Language",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "Resent-From",
    "Resent-To",
    "Resent-Cc",
    "Resent-Date",
    "Resent-Message-ID",
    "Autocrypt",
    "TLS-Required",
)

_WSP_RUN = re.compile(rb"[ \t]+")
_FIELD_END = re.compile(rb"\r\n(?![ \t])")
#: A CR or LF that is not half of a line end: an octet like any other. The last CR may be half of one yet.
_BARE = re.compile(rb"\r(?!\n|\Z)|(?<!\r)\n")
_BLOCK = 32768  # line ends written at once


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key ready to sign for a domain (A-labels)."""

    domain: str
    selector: str
    key: dkim.PrivateKey


def signing_key(row: DkimKey) -> SigningKey:
    """A key of the snapshot, ready to sign. Raises contract.dkim.BadKey."""
    return SigningKey(row.domain, row.selector, dkim.load(row.pem))


class BodyHash:
    """SHA-256 of a body in relaxed canonical form (RFC 6376 §3.4.4), fed chunk by chunk.

    Any division into chunks gives the same hash. Holds a few octets, however long lines or empty ends are.
    """

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        #: White space, and perhaps a CR, that what follows decides about.
        self._rest = b""
        #: Line ends held back: at the end of the body they do not count.
        self._line_ends = 0
        self._empty = True

    def update(self, chunk: bytes) -> None:
        """Take the next octets of the body."""
        data = self._rest + chunk
        end = len(data.rstrip(b" \t\r\n"))
        for bare in _BARE.finditer(data, end):
            end = bare.end()
        if end:
            self._write(data[:end])
        tail = data[end:]
        self._line_ends += tail.count(b"\r\n")
        last = tail.rpartition(b"\r\n")[2]
        self._rest = (b" " if last.rstrip(b"\r") else b"") + (b"\r" if last.endswith(b"\r") else b"")

    def digest(self) -> bytes:
        """The hash of everything so far, as if the body ended here."""
        if self._rest.endswith(b"\r"):  # it was no line end
            ended = self._copy()
            ended._write(ended._rest)
            ended._line_ends, ended._rest = 0, b""
            return ended.digest()
        final = self._hash.copy()
        if not self._empty:
            # The last line has its end whether it was there or not; an empty body has no octets at all.
            final.update(b"\r\n")
        return final.digest()

    def _write(self, content: bytes) -> None:
        """Hash what is certain: it ends in an octet that is neither white space nor line end."""
        while self._line_ends:
            count = min(self._line_ends, _BLOCK)
            self._hash.update(b"\r\n" * count)
            self._line_ends -= count
        if b"\t" in content or b"  " in content:
            content = _WSP_RUN.sub(b" ", content)
        self._hash.update(content.replace(b" \r\n", b"\r\n"))
        self._empty = False

    def _copy(self) -> BodyHash:
        twin = BodyHash()
        twin._hash = self._hash.copy()
        twin._rest, twin._line_ends, twin._empty = self._rest, self._line_ends, self._empty
        return twin


def body_hash(chunks: Iterable[bytes]) -> bytes:
    """The hash of a body given as chunks."""
    body = BodyHash()
    for chunk in chunks:
        body.update(chunk)
    return body.digest()


def sign(header: bytes, body: bytes, key: SigningKey, now: float) -> bytes:
    """The DKIM-Signature field, folded and with its CRLF, of a message.

    `header` is everything above the empty line, with CRLFs; `body` is a `BodyHash.digest`; `now` is in seconds since
    the epoch. Fields a later hop puts in front leave the signature valid.
    """
    fields = _fields(header)
    names = _signed_names(fields)
    algorithm = "rsa-sha256" if isinstance(key.key, RSAPrivateKey) else "ed25519-sha256"
    unsigned = _folded(
        (
            "DKIM-Signature: v=1;",
            f"a={algorithm};",
            "c=relaxed/relaxed;",
            f"d={key.domain};",
            f"s={key.selector};",
            f"t={int(now)};",
            *_list("h=", names),
            f"bh={base64.b64encode(body).decode()};",
        )
    )
    unsigned += "\r\n\tb="
    text = _canonical_fields(fields, names) + _canonical(unsigned.encode())
    signature = base64.b64encode(_raw_signature(key.key, text)).decode()
    lines = [signature[at : at + 72] for at in range(0, len(signature), 72)]
    return (unsigned + "\r\n\t ".join(lines) + "\r\n").encode()


def _raw_signature(key: dkim.PrivateKey, text: bytes) -> bytes:
    if isinstance(key, RSAPrivateKey):
        return key.sign(text, PKCS1v15(), SHA256())
    return key.sign(hashlib.sha256(text).digest())  # RFC 8463 §3: the hash is what PureEdDSA signs


def _fields(header: bytes) -> dict[str, list[bytes]]:
    """Lower-case name -> the fields of that name, canonical, the last one first."""
    fields: dict[str, list[bytes]] = {}
    for field in reversed(_FIELD_END.split(header)):
        name, colon, _ = field.partition(b":")
        if colon:
            fields.setdefault(name.rstrip().lower().decode("latin-1"), []).append(_canonical(field))
    return fields


def _signed_names(fields: dict[str, list[bytes]]) -> list[str]:
    names: list[str] = []
    for name in OVERSIGNED:
        names += [name] * (len(fields.get(name.lower(), ())) + 1)
    for name in SIGNED:
        names += [name] * len(fields.get(name.lower(), ()))
    return names


def _canonical_fields(fields: dict[str, list[bytes]], names: Iterable[str]) -> bytes:
    """What is signed of the header: each name takes the next field from below (RFC 6376 §5.4.2), or nothing."""
    left = {name: iter(rows) for name, rows in fields.items()}
    taken = (next(left[name.lower()], None) for name in names if name.lower() in left)
    return b"".join(field + b"\r\n" for field in taken if field is not None)


def _canonical(field: bytes) -> bytes:
    """One header field in relaxed canonical form, without its end (RFC 6376 §3.4.2)."""
    name, _, value = field.partition(b":")
    value = _WSP_RUN.sub(b" ", value.replace(b"\r\n", b"")).strip(b" ")
    return name.rstrip(b" \t").lower() + b":" + value


def _list(tag: str, names: list[str]) -> list[str]:
    """A colon-separated list as words that may be folded between (RFC 6376 §3.2 allows white space there)."""
    words = [f"{name}:" for name in names]
    words[0] = tag + words[0]
    words[-1] = words[-1][:-1] + ";"
    return words


def _folded(words: Iterable[str]) -> str:
    """Words with a space or a fold between them; lines below 79 octets (RFC 5322 §2.1.1)."""
    lines = [""]
    for word in words:
        if lines[-1] and len(lines[-1]) + 1 + len(word) > 76:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return "\r\n\t".join(lines)
