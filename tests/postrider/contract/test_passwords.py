"""Verifiers: made, recognised and checked; known answers from the programs that usually make them."""

import base64
import hashlib
import random

import bcrypt
import pytest
import scramp
from hypothesis import given, settings
from hypothesis import strategies as st

from postrider.contract import passwords

PASSWORD = "correct horse battery staple"


def salted(name: str, digest: str) -> str:
    raw = hashlib.new(digest, PASSWORD.encode() + b"salt").digest() + b"salt"
    return f"{{{name}}}{base64.b64encode(raw).decode()}"


def ab64(data: bytes) -> str:
    return base64.b64encode(data).decode().rstrip("=").replace("+", ".")


#: Salts are fixed: they are part of the tests' names.
MADE = passwords.make(PASSWORD, token=bytes)
BCRYPT = bcrypt.hashpw(PASSWORD.encode(), b"$2b$04$" + b"." * 22).decode()
PBKDF2 = hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), b"saltsalt", 1000)
PBKDF2_SHA512 = hashlib.pbkdf2_hmac("sha512", PASSWORD.encode(), b"\xff\xfe\xfd", 1000)
VERIFIERS = {
    "argon2id": MADE[0],
    "scram": MADE[1],
    "generated": passwords.make(PASSWORD, generated=True, token=bytes)[0],
    "dovecot argon2": f"{{ARGON2ID}}{MADE[0]}",
    "bcrypt": BCRYPT,
    "htpasswd": BCRYPT.replace("$2b$", "$2y$"),
    "dovecot bcrypt": f"{{BLF-CRYPT}}{BCRYPT}",
    "ssha": salted("SSHA", "sha1"),
    "ssha256": salted("SSHA256", "sha256"),
    "ssha512": salted("ssha512", "sha512"),
    "passlib": f"$pbkdf2-sha256$1000${ab64(b'saltsalt')}${ab64(PBKDF2)}",
    "passlib 512": f"$pbkdf2-sha512$1000${ab64(bytes((255, 254, 253)))}${ab64(PBKDF2_SHA512)}",
    "django": f"pbkdf2_sha256$1000$saltsalt${base64.b64encode(PBKDF2).decode()}",
}


@pytest.mark.parametrize("verifier", VERIFIERS.values(), ids=VERIFIERS)
def test_every_scheme(verifier: str) -> None:
    assert passwords.problem(verifier) == ""
    assert passwords.verify(verifier, PASSWORD)
    for wrong in ("", "correct", PASSWORD + " ", PASSWORD.title(), "\0" + PASSWORD, "ü"):
        assert not passwords.verify(verifier, wrong)


@pytest.mark.parametrize("verifier", VERIFIERS.values(), ids=VERIFIERS)
def test_a_hash_is_not_taken_for_a_password(verifier: str) -> None:
    assert passwords.is_hash(verifier)
    assert passwords.is_hash(verifier + "\n")


@pytest.mark.parametrize(
    "text", ["$6$rounds=5000$salt$abcdefgh", "{CRYPT}$1$aaaaaaaa$bbbbbbbb", "{PLAIN-MD5}abcdefgh", "$y$j9T$salt$hash"]
)
def test_hashes_of_schemes_we_cannot_check_are_refused_not_taken_as_clear(text: str) -> None:
    assert passwords.is_hash(text)
    assert "known scheme" in passwords.problem(text)
    with pytest.raises(passwords.BadVerifier):
        passwords.verify(text, text)


@pytest.mark.parametrize(
    "text", ["", "secret", "$ecret", "{curly}", "pa$$word", "$1", "p{SSHA}w", "{not a scheme} at all"]
)
def test_clear_text_is_not_taken_for_a_hash(text: str) -> None:
    assert not passwords.is_hash(text)


@pytest.mark.parametrize(
    "damaged",
    [
        MADE[0].replace("m=19456", "m=99999999"),
        MADE[0].replace("t=2", "t=9999"),
        MADE[0].replace("$m=", "$x="),
        BCRYPT.replace("$04$", "$31$"),
        BCRYPT.replace("$04$", "$00$"),
        "{SSHA256}YWJj",
        "{SSHA256}a",
        "$pbkdf2-sha256$99999999$c2FsdA$aGFzaA",
        "$pbkdf2-sha256$0$c2FsdA$aGFzaA",
        MADE[1].replace("16384", "0"),
    ],
)
def test_damage_and_absurd_costs_are_seen_without_hashing(damaged: str) -> None:
    wrong = passwords.problem(damaged)
    assert wrong
    assert damaged not in wrong
    with pytest.raises(passwords.BadVerifier):
        passwords.verify(damaged, PASSWORD)


def test_salts_come_from_outside() -> None:
    one = passwords.make(PASSWORD, token=random.Random(1).randbytes)
    assert one == passwords.make(PASSWORD, token=random.Random(1).randbytes)
    assert one != passwords.make(PASSWORD, token=random.Random(2).randbytes)


def test_argon2_has_the_cost_it_should() -> None:
    assert MADE[0].startswith("$argon2id$v=19$m=19456,t=2,p=1$")


def test_scram_is_what_scramp_makes() -> None:
    """scramp as the oracle for the keys, RFC 5803's form around them."""
    salt = b"0123456789abcdef"
    _, stored, server, iterations = scramp.ScramMechanism("SCRAM-SHA-256").make_auth_info(PASSWORD, 4096, salt)
    verifier = passwords.scram(PASSWORD, salt, 4096)
    b64 = [base64.b64encode(part).decode() for part in (salt, stored, server)]
    assert verifier == f"SCRAM-SHA-256${iterations}:{b64[0]}${b64[1]}:{b64[2]}"


def test_scram_of_the_rfc() -> None:
    # RFC 7677 §3: user "pencil"; the server's signature there follows from these keys.
    salt = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    assert passwords.verify(passwords.scram("pencil", salt, 4096), "pencil")


@settings(max_examples=50)
@given(st.text(max_size=40))
def test_any_password_works(password: str) -> None:
    verifier = passwords.make(password, generated=True)[0]
    assert passwords.verify(verifier, password)
    assert not passwords.verify(verifier, password + "x")


def test_composed_and_decomposed_are_one_password() -> None:
    verifier = passwords.make("Zo\u00eb\u00a0x", generated=True)[0]
    assert passwords.verify(verifier, "Zoe\u0308 x")


def test_an_endless_password_is_refused_at_once() -> None:
    verifier = passwords.make("x" * 2000, generated=True)[0]
    assert not passwords.verify(verifier, "x" * 2000)


def test_generated_passwords() -> None:
    made = {passwords.generate_password() for _ in range(100)}
    assert len(made) == 100
    assert all(len(password) == 32 and password.isalnum() and password.islower() for password in made)
    assert not set("ilou") & set("".join(made))
    assert passwords.generate_password(lambda size: b"\0" * size) == "0" * 32
    assert passwords.generate_password(lambda size: b"\xff" * size) == "z" * 32
    assert not any(passwords.is_hash(password) for password in made)


def test_which_are_fast() -> None:
    fast = {name for name, verifier in VERIFIERS.items() if passwords.is_fast(verifier)}
    assert fast == {"generated", "ssha", "ssha256", "ssha512"}
