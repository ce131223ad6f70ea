"""SASL exchanges as every line protocol uses them."""

from __future__ import annotations

import base64

import pytest

from postrider.protocols.sasl import Challenge, Credentials, Exchange, SaslError


def b64(text: str | bytes) -> bytes:
    return base64.b64encode(text.encode() if isinstance(text, str) else text)


def test_plain_in_one_step_and_in_two() -> None:
    wanted = Credentials("tim", "tanstaaftanstaaf")
    assert Exchange("PLAIN").begin(b64("\0tim\0tanstaaftanstaaf")) == wanted
    assert Exchange("PLAIN").begin(b64("tim\0tim\0tanstaaftanstaaf")) == wanted
    exchange = Exchange("PLAIN")
    assert exchange.begin(None) == Challenge(b"")
    assert exchange.answer(b64("\0tim\0tanstaaftanstaaf")) == wanted


def test_login_asks_for_name_and_password() -> None:
    exchange = Exchange("LOGIN")
    assert exchange.begin(None) == Challenge(b64("Username:"))
    assert exchange.answer(b64("jürgen")) == Challenge(b64("Password:"))
    assert exchange.answer(b64("pässword ")) == Credentials("jürgen", "pässword ")
    exchange = Exchange("LOGIN")
    assert exchange.begin(b64("tim")) == Challenge(b64("Password:"))


@pytest.mark.parametrize(
    "initial",
    [
        *(b"=", b"!", b"AA=", b64("tim\0secret"), b64("\0\0secret"), b64("\0tim\0"), b64("a\0b\0c\0d")),
        *(b64(b"\0\xff\0x"), b64("chief\0tim\0secret"), b64("\0" + "x" * 1025 + "\0y")),
    ],
)
def test_what_is_no_plain_message_is_refused(initial: bytes) -> None:
    with pytest.raises(SaslError) as refused:
        Exchange("PLAIN").begin(initial)
    assert not refused.value.cancelled


def test_an_exchange_can_be_cancelled() -> None:
    exchange = Exchange("LOGIN")
    exchange.begin(None)
    with pytest.raises(SaslError) as refused:
        exchange.answer(b"*")
    assert refused.value.cancelled


def test_passwords_are_not_shown() -> None:
    assert "secret" not in repr(Credentials("tim", "secret"))
