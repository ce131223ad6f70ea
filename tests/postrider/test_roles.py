"""Ports by scheme and role."""

import pytest

from postrider.roles import LISTENERS, Role, ports


def test_base_is_added_to_the_ports_the_world_knows():
    chosen = ports("40000", tuple(Role))
    assert chosen["smtp"] == 40025
    assert chosen["submission"] == 40587
    assert chosen["submissions"] == 40465
    assert chosen["imap"] == 40143
    assert chosen["imaps"] == 40993
    assert set(chosen) == set(LISTENERS)


def test_no_two_listeners_share_a_port():
    for scheme in ("unprivileged", "1000"):
        chosen = ports(scheme, tuple(Role))
        assert len(set(chosen.values())) == len(chosen)


def test_roles_choose_listeners():
    assert set(ports("auto", (Role.MX,))) == {"smtp", "health", "metrics"}
    assert set(ports("auto", (Role.QUEUE,)).values()) == {0}


@pytest.mark.parametrize("scheme", ["", "-1", "65000", "x", "1e3", "٣"])
def test_bad_scheme_is_named(scheme):
    with pytest.raises(ValueError, match="neither"):
        ports(scheme, tuple(Role))
