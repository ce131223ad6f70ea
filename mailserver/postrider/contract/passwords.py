"""Password verifiers: made by the operator or taken as given where they are hashes, checked by the server.

A verifier is text of one of the SCHEMES. Nothing here logs, and no error quotes a password or a verifier.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import bcrypt
from argon2 import extract_parameters
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError
from argon2.low_level import Type, hash_secret, verify_secret

Token = Callable[[int], bytes]

#: argon2id, RFC 9106 and OWASP's first choice of 2023: 19 MiB, two passes, one lane; about 20 ms.
ARGON2_KIB = 19 * 1024
ARGON2_PASSES = 2
#: Twice RFC 7677 §4's least, four times; what a client has to spend at each login.
SCRAM_ITERATIONS = 16_384

#: Crockford's 32 digits: none is taken for another when read aloud or from paper.
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_GENERATED_BITS = 160
#: Characters of a password; more is an attack on the hash.
MAX_PASSWORD = 1024


class BadVerifier(ValueError):
    """The text looks like a hash but cannot be checked; the message says why and never quotes it."""


def make(clear: str, *, generated: bool = False, token: Token = secrets.token_bytes) -> tuple[str, ...]:
    """Verifiers of a clear-text password.

    `generated` says that it has 160 random bits, for which one fast salted hash is enough. `token` gives salts.
    """
    password = prepared(clear)
    if generated:
        salt = token(8)
        return (f"$fast${_b64(salt)}${_b64(_fast(password, salt))}",)
    argon = hash_secret(password, token(16), ARGON2_PASSES, ARGON2_KIB, 1, 32, Type.ID)
    return argon.decode(), scram(clear, token(16))


def scram(clear: str, salt: bytes, iterations: int = SCRAM_ITERATIONS) -> str:
    """The SCRAM-SHA-256 verifier in the form of RFC 5803 §2."""
    stored, server = _scram_keys(prepared(clear), salt, iterations)
    return f"SCRAM-SHA-256${iterations}:{_b64(salt)}${_b64(stored)}:{_b64(server)}"


def generate_password(token: Token = secrets.token_bytes) -> str:
    """A new password of 160 random bits: 32 characters that survive reading and typing."""
    number = int.from_bytes(token(_GENERATED_BITS // 8))
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(0, _GENERATED_BITS, 5))


def prepared(password: str) -> bytes:
    """A password as all verifiers see it (RFC 8265 §4.2, OpaqueString): NFC, every kind of space is a space."""
    spaced = "".join(" " if unicodedata.category(c) == "Zs" else c for c in password)
    return unicodedata.normalize("NFC", spaced).encode("utf-8", "surrogatepass")


def is_hash(text: str) -> bool:
    """Whether a Secret's text is a hash, of whatever scheme, and not a clear-text password."""
    return _scheme(text.strip()) is not None or bool(_HASH.match(text.strip()))


def problem(verifier: str) -> str:
    """What is wrong with a verifier, "" when it can be checked."""
    scheme = _scheme(verifier)
    if scheme is None:
        known = ", ".join(sorted({row.name for row in SCHEMES}))
        return f"not a password hash of a known scheme ({known})"
    try:
        scheme.read(verifier)
    except BadVerifier as error:
        return str(error)
    return ""


def verify(verifier: str, password: str) -> bool:
    """Whether the password fits, compared in constant time. Raises BadVerifier for what `problem` would name."""
    scheme = _scheme(verifier)
    if scheme is None:
        raise BadVerifier("not a password hash of a known scheme")
    if len(password) > MAX_PASSWORD:
        return False
    return scheme.read(verifier)(prepared(password))


def is_fast(verifier: str) -> bool:
    """Whether checking takes microseconds, so that it needs no thread."""
    scheme = _scheme(verifier)
    return scheme is None or scheme.fast


Check = Callable[[bytes], bool]


@dataclass(frozen=True, slots=True)
class Scheme:
    """One kind of verifier: how it looks, and how it is read into a check; reading costs nothing, checking may."""

    name: str
    pattern: re.Pattern[str]
    read: Callable[[str], Check]
    fast: bool = False


def _read_fast(verifier: str) -> Check:
    salt, wanted = (_unb64(text) for text in verifier.split("$")[2:])
    return lambda password: hmac.compare_digest(_fast(password, salt), wanted)


def _read_scram(verifier: str) -> Check:
    _, head, tail = verifier.split("$")
    iterations, _, salt = head.partition(":")
    stored, _, server = tail.partition(":")
    parameters = _unb64(salt), _rounds(iterations)
    wanted = _unb64(stored) + _unb64(server)
    return lambda password: hmac.compare_digest(b"".join(_scram_keys(password, *parameters)), wanted)


def _read_argon2(verifier: str) -> Check:
    encoded = verifier[verifier.index("$") :]
    try:
        parameters = extract_parameters(encoded)
    except InvalidHashError as error:
        raise BadVerifier("a damaged argon2 hash") from error
    if parameters.memory_cost > _MAX_ARGON2_KIB or parameters.time_cost > _MAX_ARGON2_PASSES:
        raise BadVerifier(f"an argon2 hash above m={_MAX_ARGON2_KIB} or t={_MAX_ARGON2_PASSES}")

    def check(password: bytes) -> bool:
        try:
            return verify_secret(encoded.encode(), password, parameters.type)
        except VerifyMismatchError:
            return False
        except VerificationError as error:
            raise BadVerifier("a damaged argon2 hash") from error

    return check


def _read_bcrypt(verifier: str) -> Check:
    encoded = verifier[verifier.index("$") :]
    if not _MIN_BCRYPT_COST <= int(encoded[4:6]) <= _MAX_BCRYPT_COST:
        raise BadVerifier(f"a bcrypt hash with a cost outside {_MIN_BCRYPT_COST} to {_MAX_BCRYPT_COST}")
    # bcrypt has always looked at 72 octets and stopped at a NUL.
    return lambda password: bcrypt.checkpw(password.split(b"\0")[0][:72], encoded.encode())


def _read_salted(verifier: str) -> Check:
    """{SSHA}, {SSHA256}, {SSHA512}, in the style of RFC 2307: base64 of the digest and then the salt."""
    name, _, text = verifier[1:].partition("}")
    digest = _SALTED[name.upper()]
    raw = _unb64(text)
    size = hashlib.new(digest).digest_size
    if len(raw) <= size:
        raise BadVerifier(f"a {{{name}}} hash without salt")
    return lambda password: hmac.compare_digest(hashlib.new(digest, password + raw[size:]).digest(), raw[:size])


def _read_modular_pbkdf2(verifier: str) -> Check:
    """$pbkdf2-sha256$rounds$salt$hash with base64 whose + is written as a full stop."""
    _, name, rounds, salt, wanted = verifier.split("$")
    return _pbkdf2(name.removeprefix("pbkdf2-"), _rounds(rounds), _ab64(salt), _ab64(wanted))


def _read_named_pbkdf2(verifier: str) -> Check:
    """pbkdf2_sha256$rounds$salt$hash with the salt as it stands."""
    name, rounds, salt, wanted = verifier.split("$")
    return _pbkdf2(name.removeprefix("pbkdf2_"), _rounds(rounds), salt.encode(), _unb64(wanted))


def _pbkdf2(digest: str, rounds: int, salt: bytes, wanted: bytes) -> Check:
    size = len(wanted)
    return lambda password: hmac.compare_digest(hashlib.pbkdf2_hmac(digest, password, salt, rounds, size), wanted)


_MAX_ARGON2_KIB = 1024 * 1024
_MAX_ARGON2_PASSES = 64
_MIN_BCRYPT_COST = 4
_MAX_BCRYPT_COST = 16
_MAX_ROUNDS = 10_000_000
_SALTED: Mapping[str, str] = {"SSHA": "sha1", "SSHA256": "sha256", "SSHA512": "sha512"}
_B64 = r"[A-Za-z0-9+/]+={0,2}"

#: What a verifier may be; given hashes of these are taken as they are.
SCHEMES = (
    Scheme("generated", re.compile(rf"\$fast\${_B64}\${_B64}"), _read_fast, fast=True),
    Scheme("SCRAM-SHA-256", re.compile(rf"SCRAM-SHA-256\$[0-9]{{1,8}}:{_B64}\${_B64}:{_B64}"), _read_scram),
    Scheme("argon2", re.compile(r"(?:\{ARGON2I?D?\})?\$argon2id?\$[A-Za-z0-9$=,+/]+"), _read_argon2),
    Scheme("bcrypt", re.compile(r"(?:\{(?:BLF-)?CRYPT\})?\$2[aby]\$[0-9]{2}\$[./A-Za-z0-9]{53}"), _read_bcrypt),
    Scheme("salted SHA", re.compile(rf"\{{SSHA(?:256|512)?\}}{_B64}", re.IGNORECASE), _read_salted, fast=True),
    Scheme(
        "PBKDF2",
        re.compile(r"\$pbkdf2-sha(?:1|256|512)\$[0-9]{1,8}\$[./A-Za-z0-9]+\$[./A-Za-z0-9]+"),
        _read_modular_pbkdf2,
    ),
    Scheme(
        "PBKDF2",
        re.compile(rf"pbkdf2_sha(?:1|256|512)\$[0-9]{{1,8}}\$[./A-Za-z0-9+=]+\${_B64}"),
        _read_named_pbkdf2,
    ),
)

#: Anything shaped like a hash; of an unknown scheme it is refused rather than taken for a clear-text password.
_HASH = re.compile(r"\{[A-Z0-9-]{3,20}\}\S{8,}|\$[a-z0-9-]{1,20}\$\S{8,}|SCRAM-SHA-|pbkdf2_sha\d+\$")


def _scheme(verifier: str) -> Scheme | None:
    return next((row for row in SCHEMES if row.pattern.fullmatch(verifier)), None)


def _fast(password: bytes, salt: bytes) -> bytes:
    """As many bits as a generated password has; ten thousand of them travel in every snapshot."""
    return hmac.new(salt, password, "sha256").digest()[: _GENERATED_BITS // 8]


def _scram_keys(password: bytes, salt: bytes, iterations: int) -> tuple[bytes, bytes]:
    """StoredKey and ServerKey (RFC 5802 §3)."""
    salted = hashlib.pbkdf2_hmac("sha256", password, salt, iterations)
    stored = hashlib.sha256(hmac.new(salted, b"Client Key", "sha256").digest()).digest()
    return stored, hmac.new(salted, b"Server Key", "sha256").digest()


def _rounds(text: str) -> int:
    rounds = int(text)
    if not 1 <= rounds <= _MAX_ROUNDS:
        raise BadVerifier(f"a hash with {rounds} rounds; 1 to {_MAX_ROUNDS} can be checked")
    return rounds


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _unb64(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError as error:
        raise BadVerifier("a hash with damaged base64") from error


def _ab64(text: str) -> bytes:
    return _unb64(text.replace(".", "+"))
