"""A certificate is only issued by an authority that is whole."""

from __future__ import annotations

import pytest

from postrider.contract import tls
from postrider_operator import material
from postrider_operator.plan.desired import Generate, LeafMaterial
from postrider_operator.world import Ref

NOW = 1_800_000_000.0
LEAF = Generate(Ref("Secret", "ns", "s-tls"), {"metadata": {}}, LeafMaterial("s-ca", ("mx.one.test",), 90))


def authority() -> dict[str, bytes]:
    made = tls.make_ca(NOW)
    return {"tls.crt": made.certificate.encode(), "tls.key": made.key.encode()}


def test_a_whole_authority_issues() -> None:
    assert set(material.fill(LEAF, authority(), NOW)["data"]) == {"tls.crt", "tls.key", "ca.crt"}


@pytest.mark.parametrize("damage", [{"tls.key": b""}, {"tls.crt": b"no certificate"}, {"tls.key": b"\xff"}])
def test_a_damaged_authority_is_a_wrong_value(damage: dict[str, bytes]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 -- its subclasses have words of their own
        material.fill(LEAF, {**authority(), **damage}, NOW)


@pytest.mark.parametrize("lost", ["tls.crt", "tls.key"])
def test_an_authority_without_its_certificate_or_key_is_one_too(lost: str) -> None:
    with pytest.raises(tls.BadCertificate):
        material.fill(LEAF, {name: data for name, data in authority().items() if name != lost}, NOW)


def test_no_authority_is_named() -> None:
    with pytest.raises(ValueError, match="s-ca"):
        material.fill(LEAF, None, NOW)
