"""Flags win over the environment, and that over the defaults."""

import pytest

from postrider_operator import settings


def test_defaults() -> None:
    found = settings.read([], {})
    assert found.namespaces == ()
    assert found.secrets == "watch"
    assert found.leader_election is True
    assert found.identity


def test_flags_win_over_the_environment() -> None:
    environment = {"POSTRIDER_SECRETS": "get", "POSTRIDER_NAMESPACES": "a, b,", "POSTRIDER_LEADER_ELECTION": "false"}
    found = settings.read(["--namespaces=c", "--http=127.0.0.1:0"], environment)
    assert found.namespaces == ("c",)
    assert found.secrets == "get"
    assert found.leader_election is False
    assert found.http == "127.0.0.1:0"
    assert settings.read([], environment).namespaces == ("a", "b")


WRONG = (
    "--secrets=all --dns-seconds=soon --leader-election=perhaps --unknown=1 --http=8081 --http=here:http "
    "--log-level=loud --nameservers=192.0.2.1,dns.example --resync-seconds=-1 --dns-rate=0 "
    "--resync-seconds=inf --connections=1.5"
)


@pytest.mark.parametrize("wrong", WRONG.split())
def test_a_wrong_setting_is_named(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        settings.read([wrong], {})
    assert wrong.partition("=")[0] in capsys.readouterr().err
