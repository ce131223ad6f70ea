"""HTML as text: what is seen, in the order it is seen, whatever the markup."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postrider.mime.markup import visible_text


@pytest.mark.parametrize("markup", ["<style>a", "<!-- a", "<b", "<script>alert(1)</b>x", "\u0130<head>x"])
def test_what_is_never_closed_is_not_shown(markup: str) -> None:
    assert visible_text(markup).strip() in ("", "\u0130")


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("fo<b>o</b>bar<br>baz", "foobar baz"),
        ("1 < 2 &amp;&amp; 3 <4", "1 < 2 && 3 <4"),
        ("<p>caf&eacute;</p><p>x</p>", " café  x "),
        ("a<!-- <b>no</b> -->b", "a b"),
        ("<STYLE>p{}</style >x<?php no ?>y<!DOCTYPE html>z", " x y z"),
        ("<header>a</header>", " a "),
        ("&#" + "9" * 5000 + ";", "\ufffd"),
    ],
)
def test_visible_text(markup: str, text: str) -> None:
    assert visible_text(markup) == text


def test_enough_is_enough() -> None:
    assert len(visible_text("<p>word</p>" * 1000, 100)) < 200


@given(st.text(alphabet="<>!-/abp style&#;19 \u0130", max_size=200))
def test_any_markup(markup: str) -> None:
    visible_text(markup)
