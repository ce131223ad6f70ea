"""The supervisor's patience with its children."""

import pytest

from postrider.supervise.group import OPEN_SECONDS, Group
from postrider.supervise.processes import ChildFailed
from postrider.supervise.settings import Settings
from postrider.telemetry.events import Events


class Writer:
    """A child that does not come up, and knows how long it was waited for."""

    waited = 0.0

    async def come_up(self, seconds):
        self.waited = seconds
        raise ChildFailed("writer-0 did not come up")


class Nursery:
    """Has nobody but the writer."""

    def __init__(self):
        self.writer = Writer()

    async def start(self, name, index):
        assert (name, index) == ("writer", 0)
        return self.writer


async def test_a_writer_may_wait_for_the_directory_as_long_as_it_was_told_to():
    """It was killed after 90 seconds, whatever --lock-seconds said, and nobody was told who has the directory."""
    nursery = Nursery()
    group = Group(Settings(snapshot="", data="", ports={}, lock_seconds=600.0), Events(), lambda _: None)
    with pytest.raises(ChildFailed):
        await group._keep_writer(nursery)
    assert nursery.writer.waited == 600.0 + OPEN_SECONDS
