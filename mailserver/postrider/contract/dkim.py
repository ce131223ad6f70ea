"""DKIM key pairs: making and reading them, and the TXT record that publishes one (RFC 6376, RFC 8463)."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Literal

from cryptography.exceptions import InternalError, InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

Algorithm = Literal["RSA", "Ed25519"]
PrivateKey = RSAPrivateKey | Ed25519PrivateKey

RSA_BITS = 2048
#: RFC 8301 §3.2: verifiers take no less.
MIN_RSA_BITS = 1024

# RFC 6376 §3.1: sub-domain *("." sub-domain), as in RFC 5321 §4.1.2.
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_SELECTOR = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")

_MAKERS: Mapping[Algorithm, Callable[[], PrivateKey]] = {
    "RSA": lambda: generate_private_key(public_exponent=65537, key_size=RSA_BITS),
    "Ed25519": Ed25519PrivateKey.generate,
}


class BadKey(ValueError):
    """The text is not a usable signing key; the message says why and never quotes it."""


def generate(algorithm: Algorithm) -> str:
    """A new private key as PKCS#8 PEM: RSA with 2048 bits, or Ed25519."""
    key = _MAKERS[algorithm]()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@lru_cache(maxsize=4096)
def load(pem: str) -> PrivateKey:
    """Read a private key, each but once. Raises BadKey.

    An RSA key is tried by a signature: OpenSSL's own check proves primes, which takes 50 ms a key.
    """
    try:
        key = load_pem_private_key(pem.encode(), password=None, unsafe_skip_rsa_key_validation=True)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise BadKey("not a private key in PEM without a passphrase") from None
    if not isinstance(key, RSAPrivateKey | Ed25519PrivateKey):
        raise BadKey("neither an RSA nor an Ed25519 key")
    if isinstance(key, RSAPrivateKey) and key.key_size < MIN_RSA_BITS:
        raise BadKey(f"an RSA key of {key.key_size} bits; {MIN_RSA_BITS} is the least that is believed (RFC 8301 §3.2)")
    if isinstance(key, RSAPrivateKey) and not _signs(key):
        raise BadKey("damaged: its signatures do not verify")
    return key


def _signs(key: RSAPrivateKey) -> bool:
    try:
        signature = key.sign(b"postrider", PKCS1v15(), SHA256())
        key.public_key().verify(signature, b"postrider", PKCS1v15(), SHA256())
    except (InvalidSignature, ValueError, InternalError):
        return False
    return True


def algorithm_of(key: PrivateKey) -> Algorithm:
    """The name of a key's algorithm, as DkimKey says it."""
    return "RSA" if isinstance(key, RSAPrivateKey) else "Ed25519"


def public_txt(pem: str) -> str:
    """The TXT record of a private key's public half, in one piece (RFC 6376 §3.6.1). Raises BadKey."""
    key = load(pem)
    if isinstance(key, RSAPrivateKey):
        public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return f"v=DKIM1; k=rsa; p={base64.b64encode(public).decode()}"
    # RFC 8463 §4: the 32 octets of the key alone.
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return f"v=DKIM1; k=ed25519; p={base64.b64encode(public).decode()}"


def record_name(selector: str, domain: str) -> str:
    """Where a key is published (RFC 6376 §3.6.2.1), without the final dot."""
    return f"{selector}._domainkey.{domain}"


def is_selector(text: str) -> bool:
    """Whether the text can be a selector."""
    return bool(_SELECTOR.fullmatch(text)) and len(text) <= 128
