"""Opens stores: the one place that names implementations."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import apsw

from postrider.store import client, directory, kind, maildir
from postrider.store.backup import DatabaseFile
from postrider.store.blobs import BlobReader, SyncFailed
from postrider.store.directory import CannotOpen
from postrider.store.feed import LocalFeed
from postrider.store.keyring import Keyring, Masters, Rotated
from postrider.store.local import LocalStore, LocalWriter
from postrider.store.maildir import MaildirReader, MaildirWriter
from postrider.store.memory.store import MemoryStore
from postrider.store.pack_reader import PackReader
from postrider.store.ports import Store
from postrider.store.server import WriterServer
from postrider.store.sqlite import database, files
from postrider.store.sqlite.backup import SqliteFile
from postrider.store.sqlite.committer import SqliteCommitter
from postrider.store.sqlite.reader import SqliteReader
from postrider.store.sqlite.rebuild import Around, Rebuild, Rebuilt
from postrider.store.sqlite.rebuild_files import Content
from postrider.store.sqlite.schema import WrongDatabase
from postrider.store.sqlite.verify import Verification, Verified
from postrider.store.survey import Progress
from postrider.store.transactions import OpenAccount
from postrider.store.writer import Options

__all__ = [
    "Keyring",
    "Masters",
    "Options",
    "Rebuilt",
    "Rotated",
    "Verified",
    "WriterServer",
    "WrongDatabase",
    "compact",
    "connect",
    "database_file",
    "keyring",
    "memory",
    "open_local",
    "open_writer",
    "rebuild",
    "verify",
]


def open_writer(path: Path | str, options: Options | None = None) -> WriterServer:
    """The writer of a data directory, for its process: listen(socket), run(), stop().

    Waits for another writer to end. Raises CannotOpen, WrongDatabase.
    """
    chosen = options or Options()
    with _told(Path(path)):
        committer = _committer(Path(path), chosen)
    return WriterServer(committer, chosen.events)


async def connect(
    path: Path | str, socket_path: Path | str, *, seconds: float = 30.0, keys: Keyring | None = None, makes: bool = True
) -> client.RemoteStore:
    """A front's store: writes through the writer at `socket_path`, reads in the data directory `path` with `keys`.

    Waits up to `seconds` for a writer that is still starting, then raises OSError. `lost` of the result is set when
    the writer is gone. `makes`: an account that is asked about is made, as a session wants it; else it is empty.
    """
    where = Path(path)
    feed = LocalFeed()
    writer = await client.dial(Path(socket_path), feed, seconds)
    return client.RemoteStore(writer, _reader(where, writer, keys or keyring(where), makes=makes), feed)


def open_local(path: Path | str, options: Options | None = None, *, makes: bool = True) -> Store:
    """A store that this process alone writes and reads, for tests and tools; `makes` is the one of connect.

    Raises CannotOpen, WrongDatabase.
    """
    where = Path(path)
    chosen = options or Options(allow_tmpfs=True, measure_sync=False)
    keys = chosen.keys or keyring(where)
    feed = LocalFeed()
    writer = LocalWriter(_committer(where, replace(chosen, keys=keys)), feed)
    return LocalStore(writer, _reader(where, writer, keys, makes=makes), feed)


def memory(options: Options | None = None) -> Store:
    """A store that is gone when it is dropped, for tests."""
    return MemoryStore((options or Options()).clock)


def database_file() -> DatabaseFile:
    """The database of data directories as a file, for backups."""
    return SqliteFile()


def keyring(path: Path, masters: Masters | None = None, again: Callable[[], Masters | None] = lambda: None) -> Keyring:
    """The keys of a data directory; `again` is asked for other master keys when one is missing."""
    return Keyring(path, masters, again)


def _reader(path: Path, writer: LocalWriter | client.RemoteWriter, keys: Keyring, *, makes: bool) -> SqliteReader:
    return SqliteReader(
        database.open_reader(directory.database_path(path)),
        _blob_reader(path, keys),
        (lambda account: writer.commit(OpenAccount(account))) if makes else None,
        keys.key,
    )


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """What the system has against a data directory (no permission, read-only, no space), as CannotOpen."""
    try:
        yield
    except OSError as error:
        raise CannotOpen(f"{error.filename or path} cannot be used: {error.strerror or error}") from error
    except SyncFailed as error:
        raise CannotOpen(f"{path} cannot be used: {error}") from error
    except apsw.Error as error:
        damaged = isinstance(error, apsw.CorruptError | apsw.NotADBError)
        advice = f": `postrider-server store rebuild --data {path}` makes it again from the packs" if damaged else ""
        raise CannotOpen(f"{directory.database_path(path)} cannot be opened: {error}{advice}") from error


def _committer(path: Path, options: Options) -> SqliteCommitter:
    """The one of a directory, which keeps bodies in what was decided for it. Raises CannotOpen, WrongDatabase."""
    if kind.decided(path, options.blobs) == kind.MAILDIR:
        if (options.keys or keyring(path)).on:
            raise CannotOpen(f"{path} keeps mail in files for other programs, which cannot be encrypted: use packs")
        return _with_files(path, options)
    return SqliteCommitter(path, options)


def _with_files(path: Path, options: Options) -> SqliteCommitter:
    """The one of a directory with Maildirs; what the last writer had written when it was killed is removed."""
    since = files.last_commit(path)
    committer = SqliteCommitter(path, options, MaildirWriter(path / maildir.ROOT, _unique))
    try:
        files.remove_unneeded(path, since)
    except BaseException:
        committer.close()
        raise
    return committer


def _blob_reader(path: Path, keys: Keyring) -> BlobReader:
    if kind.decided(path) == kind.MAILDIR:
        return MaildirReader(path / maildir.ROOT)
    return PackReader(directory.packs_directory(path), keys.key)


def _unique() -> str:
    return secrets.token_hex(10)


def rebuild(path: Path, content: Content, progress: Progress, options: Options) -> Rebuilt:
    """Make the database of a data directory again from its packs; the old one is put aside.

    Of the options clock, wait and keys count. `content` makes of a body what is cached about it. Raises CannotOpen,
    OSError.
    """
    around = Around(content, options.keys or keyring(path), int(options.clock.now()))
    return Rebuild(path, around, progress).run(options.wait)


def verify(path: Path, progress: Progress, keys: Keyring | None = None) -> Verified:
    """Look at every record and row of a data directory, whether a server runs on it or not. Raises OSError.

    CannotOpen when there is no database that can be read. What is encrypted is opened with `keys`.
    """
    chosen = keys or keyring(path)
    try:
        return Verification(path, _blob_reader(path, chosen), progress, chosen.key).run()
    except apsw.Error as error:
        raise CannotOpen(f"{directory.database_path(path)} cannot be read: {error}") from error


def compact(path: Path, options: Options, dead_part: float) -> tuple[int, int]:
    """Compact the packs of a data directory that is not in use; octets before and after. Files nobody needs go too.

    Raises CannotOpen, WrongDatabase, OSError.
    """
    committer = _committer(path, options)
    try:
        done = committer.compact(dead_part)
        files.remove_unneeded(path)
        return done
    finally:
        committer.close()
