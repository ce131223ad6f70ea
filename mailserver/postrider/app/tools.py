"""A store for commands: through the writer of the server that runs on a data directory, else by opening it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import apsw

from postrider.accounts.directory import Directory
from postrider.app import keys
from postrider.model.address import AddressError, parse_address
from postrider.net.system import SystemClock
from postrider.store import directory
from postrider.store import open as stores
from postrider.store.directory import CannotOpen
from postrider.store.ports import Store
from postrider.store.values import Account, account_of
from postrider.telemetry.events import Events, level_of

DEFAULT_NAMESPACE = "default"
#: A server that is starting or ending holds the lock and does not answer yet, or any more.
WAIT = 10.0
_POLL = 0.25
#: What a data directory may have in it before there is a database.
_FRESH = frozenset({"keys", "lost+found", "lock", "packs", "runtime", "snapshot", "spool"})
#: Begins the name of a directory that a command spools in; its process follows.
_SPOOL = "tool-"
# RFC 1123 §2.1, as Kubernetes has it for namespaces.
_NAMESPACE = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")


class BadAccount(ValueError):
    """The text names no account; the message says why."""


def account_named(text: str, namespace: str = "") -> Account:
    """The account of `alice@example.org` in `namespace`, or of `namespace/alice@example.org`. Raises BadAccount."""
    first, slash, rest = text.partition("/")
    if not namespace and slash and "@" not in first and _NAMESPACE.fullmatch(first):
        namespace, text = first, rest
    try:
        return account_of(namespace or DEFAULT_NAMESPACE, parse_address(text).key)
    except AddressError as error:
        raise BadAccount(str(error)) from error


def directory_of(data: Path) -> Directory | None:
    """What is declared, as the server of a data directory last had it; None where it never had anything."""
    snapshot = keys.last_snapshot(data)
    return Directory(snapshot) if snapshot else None


@contextlib.contextmanager
def spool(data: Path) -> Iterator[Path]:
    """A directory for messages too large to be held, where the store's writer can read them. Raises OSError."""
    where = data / "spool"
    where.mkdir(mode=0o700, parents=True, exist_ok=True)
    for left in where.glob(f"{_SPOOL}*"):
        if not Path("/proc", left.name.removeprefix(_SPOOL)).exists():  # its process was killed
            shutil.rmtree(left, ignore_errors=True)
    own = where / f"{_SPOOL}{os.getpid()}"
    own.mkdir(mode=0o700, exist_ok=True)
    try:
        yield own
    finally:
        shutil.rmtree(own, ignore_errors=True)


@contextlib.asynccontextmanager
async def opened(data: Path, *, fresh: bool = False, wait: float = WAIT) -> AsyncIterator[Store]:
    """The store of a data directory, whether a server runs on it or not. Raises CannotOpen, StoreError.

    Without a server it is this process that holds the directory meanwhile: a server that starts then waits for it.
    With `fresh` an empty directory becomes a data directory.
    """
    _check(data, fresh)
    store = await _open(data, wait)
    try:
        yield store
    finally:
        await store.close()


async def _open(data: Path, wait: float) -> Store:
    loop = asyncio.get_running_loop()
    give_up = loop.time() + wait
    socket = data / "runtime" / "writer.sock"
    while True:
        # A link that a dead server left may lead to what somebody else has made there since.
        if socket.exists() and socket.stat().st_uid == os.geteuid():
            with contextlib.suppress(OSError):  # nobody listens
                return await stores.connect(
                    data, socket, seconds=0, keys=keys.of_tool(data, SystemClock()), makes=False
                )
        try:
            return await asyncio.to_thread(_open_alone, data)
        except CannotOpen:
            if loop.time() >= give_up:
                raise
        await asyncio.sleep(_POLL)


def _open_alone(data: Path) -> Store:
    events = Events(level=level_of("error"), role="tool")
    clock = SystemClock()
    options = stores.Options(
        clock=clock, events=events, allow_tmpfs=True, wait=0, measure_sync=False, keys=keys.of_tool(data, clock)
    )
    try:
        return stores.open_local(data, options, makes=False)
    except stores.WrongDatabase as error:
        raise CannotOpen(str(error)) from error
    except apsw.Error as error:
        raise CannotOpen(f"{directory.database_path(data)} cannot be read ({error}): it is damaged") from error


def _check(data: Path, fresh: bool) -> None:
    """Nobody makes a data directory by mistyping its name, or files in it that the server cannot write."""
    if not data.is_dir():
        raise CannotOpen(f"{data} is not a directory: --data names the directory of the server's mail and state")
    database = directory.database_path(data)
    if not database.exists():
        if directory.database_path(data / "mail").exists():
            raise CannotOpen(f"{data} has its mail in {data / 'mail'}: use that")
        if not fresh or any(path.name not in _FRESH for path in data.iterdir()):
            raise CannotOpen(f"{data} is not a data directory: there is no {database.name} in it")
        return
    directory.check_owner(data, database)
