"""A bucket that backups lie in, at anything that speaks S3; credentials and endpoint come from the environment.

Every file is one object, put as a whole by one request: an interrupted command leaves no half of one, and no unfinished
multipart upload that costs money and shows nowhere. So what is large comes in pieces: packs are, a database is kept in
blocks. Nothing that goes wrong says more than the server's own word for it: no credentials, no signed addresses.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import mmap
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store

from postrider.ops.backup.lease import LOCKS, Lease, Pace
from postrider.ops.backup.place import BackupError, Told, write_all

if TYPE_CHECKING:  # names that are there for type checkers alone
    from obstore.store import ClientConfig, RetryConfig

#: Objects that one request removes at most.
_MANY = 1000
_CODE = re.compile(r"<Code>(\w{1,60})</Code>")
_STATUS = re.compile(r"status code: (\d{3})\b")
#: What servers call it, and what people can do.
_MEANING = {
    "NoSuchBucket": "there is no such bucket",
    "AccessDenied": "access is denied: the credentials lack a right",
    "InvalidAccessKeyId": "the access key is not known there",
    "SignatureDoesNotMatch": "the secret access key is wrong",
    "ExpiredToken": "the session token has expired",
    "InvalidToken": "the session token is not valid",
    "RequestTimeTooSkewed": "the clock of this machine is wrong",
    "PermanentRedirect": "the bucket is in another region: set AWS_REGION",
    "AuthorizationHeaderMalformed": "the bucket is in another region: set AWS_REGION",
    "SlowDown": "too many requests at once: try again later",
}
#: What the client says where no server gave a code.
_CUES = {
    # Instance metadata: the client asks there last.
    "/latest/api/token": "there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "redirect without LOCATION": "the bucket is in another region: set AWS_REGION",
}
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
#: What goes into requests as it is.
_WORDS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION")


class _Patience(NamedTuple):
    """Seconds that one request may take, and after which it is not tried again; how often it is."""

    request: float
    all: float
    tries: int


class Bucket:
    """Implements Place and Marks."""

    lanes = 4
    in_blocks = True

    def __init__(self, url: str, told: Callable[[str], object] = lambda _: None, pace: Pace | None = None) -> None:
        """The bucket of s3://BUCKET/PREFIX. Raises BackupError."""
        found = re.fullmatch(r"s3://([A-Za-z0-9][A-Za-z0-9._-]{1,62})(?:/(.*))?", url)
        prefix = (found[2] or "").strip("/") if found else ""
        if not found or any(part in ("", ".", "..") for part in prefix.split("/") if prefix):
            raise BackupError(f"{url.rpartition('@')[2]}: a bucket is written s3://BUCKET or s3://BUCKET/PREFIX")
        self.title = f"s3://{found[1]}/{prefix}".rstrip("/")
        if fault := _misspelt():
            raise BackupError(f"{self.title}: {fault}")
        self._told = told
        self._pace = pace = pace or Pace()
        #: To find out whether it is there at all; for what is small; for what may take its time.
        self._hasty = self._store(found[1], prefix, _Patience(30, 10, 2))
        self._quick = self._store(found[1], prefix, _Patience(30, pace.small, 20))
        self._patient = self._store(found[1], prefix, _Patience(900, pace.large, 20))
        self._lease: Lease | None = None

    def _store(self, bucket: str, prefix: str, patience: _Patience) -> S3Store:
        """A client that tries again after 5xx, 429 and lost connections."""
        endpoint = _endpoint()
        client: ClientConfig = {
            "allow_http": endpoint.lower().startswith("http://"),
            "connect_timeout": "10s",
            "timeout": timedelta(seconds=patience.request),
        }
        retry: RetryConfig = {
            "backoff": {"base": 5},  # 0.1 s at first, 15 at most; what lies between is random
            "max_retries": patience.tries,
            "retry_timeout": timedelta(seconds=patience.all),
        }
        try:
            if authorities := os.environ.get("AWS_CA_BUNDLE"):
                client["root_certificate"] = Path(authorities).read_bytes()
            return S3Store(bucket, prefix=prefix or None, client_options=client, retry_config=retry)
        except (BaseError, ValueError) as error:
            raise BackupError(f"{self.title}: {_first_line(error)}") from None

    # -- Place --------------------------------------------------------------------------------------------------------

    def prepare(self, data: Path) -> None:
        """There is nothing to make; it must be there."""
        self._reach()

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Hold a lease."""
        self._lease = Lease(self, self._pace, self._told)
        try:
            with self._lease.held():
                yield
        finally:
            self._lease = None

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Nothing keeps others from removing what is read: then it is missing, which is said."""
        self._reach()
        yield

    @contextlib.contextmanager
    def scratch(self, name: str) -> Iterator[Path]:
        """A temporary directory."""
        with tempfile.TemporaryDirectory(prefix=f"postrider-{name}-") as path:
            yield Path(path)

    def folders(self) -> list[str]:
        """Common prefixes."""
        with self._said():
            return sorted(obstore.list_with_delimiter(self._quick)["common_prefixes"])

    def lengths(self, folder: str) -> Iterator[tuple[str, int]]:
        """Pages of a thousand."""
        for page in self._pages(folder):
            for row in page:
                yield row["path"], row["size"]

    def length(self, name: str) -> int:
        """HEAD."""
        try:
            with self._said(name):
                return obstore.head(self._quick, name)["size"]
        except FileNotFoundError:
            return -1

    def read(self, name: str) -> bytes:
        """GET."""
        with self._said(name):
            return bytes(obstore.get(self._quick, name).bytes())

    def fetch(self, name: str, target: Path, told: Told) -> tuple[int, str]:
        """GET, a piece at a time."""
        fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        digest, length = hashlib.sha256(), 0
        try:
            with self._said(name):
                for piece in obstore.get(self._patient, name).stream():
                    view = memoryview(piece)
                    digest.update(view)
                    write_all(fd, view)
                    length += len(view)
                    told(len(view))
            os.fsync(fd)
        finally:
            os.close(fd)
        return length, digest.hexdigest()

    @contextlib.contextmanager
    def at_hand(self, name: str) -> Iterator[Path]:
        """Fetched into a temporary directory."""
        with tempfile.TemporaryDirectory(prefix="postrider-") as path:
            file = Path(path) / "file"
            self.fetch(name, file, lambda _: None)
            yield file

    def write(self, name: str, content: bytes) -> None:
        """PUT."""
        with self._said(name):
            obstore.put(self._patient, name, content, use_multipart=False)

    def put(self, name: str, source: Path, length: int) -> tuple[int, str]:
        """PUT, out of the file as it lies in memory's cache: an object is no larger than a pack."""
        with source.open("rb") as file:
            found = min(length, os.fstat(file.fileno()).st_size)
            if not found:
                content: Any = b""
            else:
                content = mmap.mmap(file.fileno(), found, access=mmap.ACCESS_READ)
            digest = hashlib.sha256(content).hexdigest()
            if found == length:
                with self._said(name):
                    obstore.put(self._patient, name, content, use_multipart=False)
        return found, digest

    def adopt(self, name: str, source: Path) -> None:
        """PUT."""
        self.put(name, source, source.stat().st_size)
        source.unlink()

    def conclude(self, name: str, content: bytes) -> None:
        """PUT, while the lease certainly holds."""
        self._check()
        with self._said(name):
            obstore.put(self._quick, name, content, use_multipart=False)

    def remove(self, names: Iterable[str]) -> None:
        """POST ?delete, a thousand at a time, while the lease certainly holds."""
        some: list[str] = []
        for name in names:
            some.append(name)
            if len(some) == _MANY:
                self._remove(some)
                some = []
        if some:
            self._remove(some)

    def clear(self, folder: str) -> None:
        """Remove all objects of the folder."""
        self.remove(name for name, _ in self.lengths(folder))

    # -- Marks --------------------------------------------------------------------------------------------------------

    def mark(self, name: str, content: bytes) -> None:
        """PUT."""
        with self._said(name):
            obstore.put(self._quick, name, content, use_multipart=False)

    def marks(self) -> dict[str, tuple[float, str]]:
        """GET ?list-type=2."""
        rows = (row for page in self._pages(LOCKS) for row in page)
        return {row["path"]: (row["last_modified"].timestamp(), str(row["e_tag"])) for row in rows}

    def unmark(self, name: str) -> None:
        """DELETE."""
        with self._said(name):
            obstore.delete(self._quick, name)

    # -- requests -----------------------------------------------------------------------------------------------------

    def _reach(self) -> None:
        """Find out what is wrong before any work is done, and without patience."""
        with self._said():
            obstore.list_with_delimiter(self._hasty)

    def _pages(self, folder: str) -> Iterator[Any]:
        pages = obstore.list(self._quick, folder, chunk_size=_MANY)
        while True:
            with self._said():
                page = next(pages, None)
            if page is None:
                return
            yield page

    def _remove(self, names: list[str]) -> None:
        self._check()
        with self._said():
            obstore.delete(self._quick, names)

    def _check(self) -> None:
        if self._lease:
            self._lease.check()

    @contextlib.contextmanager
    def _said(self, name: str = "") -> Iterator[None]:
        """What went wrong in one line: BackupError, or FileNotFoundError for an object that is not there."""
        try:
            yield
        except FileNotFoundError as error:
            if _code(error) in ("", "NoSuchKey"):
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), f"{self.title}/{name}") from None
            raise BackupError(f"{self.title}: {_what(error)}") from None
        except BaseError as error:
            raise BackupError(f"{self.title}: {_what(error)}") from None


def _what(error: Exception) -> str:
    code = _code(error)
    if code:
        meaning = _MEANING.get(code, "the server refuses it")
        return f"{meaning} ({code})"
    if isinstance(error, PermissionDeniedError | UnauthenticatedError):
        return "access is denied: the credentials lack a right, or are not known there"
    text = _first_line(error)
    for cue, meaning in _CUES.items():
        if cue in text:
            return meaning
    if status := _STATUS.search(text):
        return f"the server answers {status[1]}"
    where = _endpoint().rpartition("@")[2] or "the server"
    return f"{where} cannot be reached: {text.rpartition(' - ')[2]}"


def _endpoint() -> str:
    """Where the environment says that the bucket is; "" is Amazon's own."""
    return next((os.environ[name] for name in _ENDPOINTS if os.environ.get(name)), "")


def _misspelt() -> str:
    """What is wrong with the environment, "" for nothing: the client would break on it without a word for people."""
    for name in (*_ENDPOINTS, *_WORDS):
        value = os.environ.get(name, "")
        if not (value.isascii() and value.isprintable()):
            return f"{name} has a line end or another character that cannot be in it"
    endpoint = _endpoint()
    try:
        parts = urlsplit(endpoint)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and " " not in endpoint
    except ValueError:
        good = False
    if endpoint and not good:
        return f"the endpoint {endpoint.rpartition('@')[2]} is not written https://HOST or https://HOST:PORT"
    return ""


def _code(error: Exception) -> str:
    found = _CODE.search(str(error))
    return found[1] if found else ""


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
