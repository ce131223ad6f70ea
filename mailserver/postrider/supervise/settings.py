"""What one process group was told on its command line; children get it as JSON."""

from __future__ import annotations

import enum

import msgspec

from postrider.contract.model import Storage
from postrider.roles import Role


class LogLevel(enum.StrEnum):
    """What an event must be at least, to be logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is not in the snapshot: places, ports and how many processes."""

    #: Directory the snapshot is projected into (contract.files).
    snapshot: str
    #: Directory of the store and of the last good snapshot.
    data: str
    #: Directory for what lives as long as the group; its path is short enough for Unix sockets.
    runtime: str = ""
    address: str = "0.0.0.0"  # noqa: S104 -- a mail server listens to the world
    #: Listener name to port; 0 lets the system choose.
    ports: dict[str, int]
    roles: tuple[Role, ...] = tuple(Role)
    fronts: int = 1
    #: DNS server as "address:port"; "" takes the system's.
    resolver: str = ""
    ready_file: str = ""
    log_level: LogLevel = LogLevel.INFO
    #: Seconds that SIGTERM leaves for conversations under way.
    drain_seconds: float = 20.0
    #: Seconds to wait for another server to leave the data directory.
    lock_seconds: float = 30.0
    #: Whoever started the group holds the other end of its standard input; when that is gone, so is the group.
    end_with_stdin: bool = False
    #: How the data directory is to keep mail; from the snapshot, as the others are from the command line.
    storage: Storage = Storage()
    #: Serve from a memory filesystem too: for tests, it keeps no promise.
    allow_tmpfs: bool = False

    @property
    def socket(self) -> str:
        """The writer's Unix socket."""
        return f"{self.runtime}/writer.sock"

    @property
    def kept_snapshot(self) -> str:
        """The last good generation, so that the server starts with no API at all."""
        return f"{self.data}/snapshot"

    @property
    def metrics(self) -> str:
        """Where the processes leave their metrics for the supervisor to add up."""
        return f"{self.runtime}/metrics"
