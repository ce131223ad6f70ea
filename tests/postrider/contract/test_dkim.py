"""DKIM key pairs: what is generated is read again and published as the RFCs say."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_public_key,
)

from postrider.contract import dkim


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | Ed25519PrivateKey, passphrase: bytes = b"") -> str:
    encryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption).decode()


def test_rsa() -> None:
    made = dkim.generate("RSA")
    key = dkim.load(made)
    assert dkim.algorithm_of(key) == "RSA"
    assert isinstance(key, rsa.RSAPrivateKey)
    assert key.key_size == 2048
    head, _, public = dkim.public_txt(made).partition("p=")
    assert head == "v=DKIM1; k=rsa; "
    assert load_der_public_key(base64.b64decode(public)) == key.public_key()


def test_ed25519_is_published_as_in_the_rfc() -> None:
    # RFC 8463 appendix A.2
    seed = base64.b64decode("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")
    text = dkim.public_txt(pem(Ed25519PrivateKey.from_private_bytes(seed)))
    assert text == "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="


def test_two_keys_are_never_the_same() -> None:
    assert dkim.generate("Ed25519") != dkim.generate("Ed25519")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "garbage",
        pem(ec.generate_private_key(ec.SECP256R1())),
        pem(Ed25519PrivateKey.generate(), b"secret"),
        dkim.generate("Ed25519").replace("\n", "\nx", 1),
    ],
)
def test_bad_keys_are_refused_without_being_quoted(text: str) -> None:
    with pytest.raises(dkim.BadKey) as caught:
        dkim.load(text)
    assert not text or text not in str(caught.value)


@pytest.mark.parametrize("text", ["s1", "2026-11", "a.b.c", "x" * 63])
def test_selectors(text: str) -> None:
    assert dkim.is_selector(text)


@pytest.mark.parametrize("text", ["", "a_b", "-a", "a-", "a..b", ".a", "a.", "x" * 64, "ä", "a b", "a\n"])
def test_what_is_no_selector(text: str) -> None:
    assert not dkim.is_selector(text)


def test_the_record_name() -> None:
    assert dkim.record_name("s1", "example.org") == "s1._domainkey.example.org"
