"""The child process of `postrider up`."""

import pytest

from postrider_operator.local.server import Server, ServerFailed


async def test_why_it_does_not_start_is_told_without_what_earlier_ones_logged(tmp_path):
    (tmp_path / "server.log").write_text("an earlier server's line\n")
    with pytest.raises(ServerFailed, match="'nonsense' is neither") as failed:
        await Server(tmp_path, "nonsense").start()
    assert "earlier" not in str(failed.value)


async def test_a_reason_the_server_gave_is_told_without_the_log_around_it(tmp_path):
    server = Server(tmp_path, "auto")
    (tmp_path / "mail").write_text("no directory")
    with pytest.raises(ServerFailed) as failed:
        await server.start()
    reason = str(failed.value)
    assert reason.startswith("the server ended with status 1: ")
    assert "mail" in reason
    assert "{" not in reason
