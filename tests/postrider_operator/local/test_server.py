"""The child process of `postrider up`."""

import pytest

from postrider_operator.local.server import Server, ServerFailed


async def test_why_it_does_not_start_is_told_without_what_earlier_ones_logged(tmp_path):
    (tmp_path / "server.log").write_text("an earlier server's line\n")
    with pytest.raises(ServerFailed, match="'nonsense' is neither") as failed:
        await Server(tmp_path, "nonsense").start()
    assert "earlier" not in str(failed.value)
