"""The snapshot as files: parts with their hashes in a manifest, and back; what Kubernetes objects and disks hold.

Every plane is cut into a fixed number of parts by the hash of a row's key, so that one new Mailbox changes one part
and the manifest. The hash in the manifest is that of the uncompressed JSON: how zlib packs it does not matter.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from postrider.contract.model import (
    READABLE,
    STORAGE_KEY,
    Alias,
    Certificate,
    Claim,
    DkimKey,
    Domain,
    Mailbox,
    NamedSecret,
    Row,
    Server,
    Snapshot,
)

#: What one Kubernetes object may hold, with room for its metadata (etcd refuses beyond 1 MiB).
MAX_PART = 1_000_000
#: What a part may unpack to; a reader stops there.
MAX_UNPACKED = 64 * 1024 * 1024

CONFIG_PARTS = 4
KEYS_PARTS = 16
DIRECTORY_PARTS = 16

MANIFEST = "manifest.json"
#: The link the kubelet swaps when the files of a volume change, and the directories it points to.
_DATA = "..data"
_GENERATION = "..gen-"
#: How often a generation may be replaced by the next one while it is read.
_READ_TRIES = 10
_GZIP = 31  # zlib's window bits for a gzip frame; its time stamp is 0

#: Every object a snapshot may consist of: suffix of its name -> kind. Objects without rows do not exist.
OBJECTS: Mapping[str, Literal["ConfigMap", "Secret"]] = {
    "manifest": "ConfigMap",
    **{f"config-{n}": "ConfigMap" for n in range(CONFIG_PARTS)},
    **{f"keys-{n}": "Secret" for n in range(KEYS_PARTS)},
    **{f"dir-{n}": "Secret" for n in range(DIRECTORY_PARTS)},
}

_T = TypeVar("_T")


class BadSnapshot(ValueError):
    """The files are whole but their content cannot be read; the message says which file and why."""


class SnapshotTooLarge(ValueError):
    """A part does not fit into a Kubernetes object."""

    def __init__(self, part: str, size: int) -> None:
        super().__init__(f"{part} has {size} bytes, more than the {MAX_PART} that fit into one object")
        self.part = part
        self.size = size


@dataclass(frozen=True, slots=True)
class Pending:
    """Parts of two generations lie side by side; the rest will arrive. `generation` is None before any manifest."""

    reason: str
    generation: int | None = None


class Manifest(Row, frozen=True):
    """What belongs to a generation: file name -> SHA-256 (hex) of its uncompressed content."""

    version: int
    generation: int
    parts: dict[str, str]
    #: Snapshot.held.
    held: int = 0


class _Config(Row, frozen=True):
    server: Server | None = None
    domains: tuple[Domain, ...] = ()


class _Keys(Row, frozen=True):
    keys: tuple[DkimKey, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    secrets: tuple[NamedSecret, ...] = ()


class _Directory(Row, frozen=True):
    mailboxes: tuple[Mailbox, ...] = ()
    aliases: tuple[Alias, ...] = ()
    claims: tuple[Claim, ...] = ()


_PLANES: Mapping[str, type[_Config | _Keys | _Directory]] = {"config": _Config, "keys": _Keys, "dir": _Directory}
_PART_NAME = re.compile(r"(config|keys|dir)-[0-9]+\.json(\.gz)?")


def planes(snapshot: Snapshot) -> dict[str, dict[str, bytes]]:
    """The objects of a snapshot: suffix of the object's name -> {file name: content}; see OBJECTS for their kinds.

    The same rows give the same bytes, in whatever order they come. Raises SnapshotTooLarge.
    """
    objects: dict[str, dict[str, bytes]] = {}
    hashes: dict[str, str] = {}
    for suffix, part in _parts(normal(snapshot)):
        plain = _canonical(part, readable=OBJECTS[suffix] == "ConfigMap")
        name = f"{suffix}.json" if OBJECTS[suffix] == "ConfigMap" else f"{suffix}.json.gz"
        stored = plain if OBJECTS[suffix] == "ConfigMap" else _pack(plain)
        if len(stored) > MAX_PART:
            raise SnapshotTooLarge(suffix, len(stored))
        objects[suffix] = {name: stored}
        hashes[name] = part_hash(plain)
    manifest = Manifest(version=snapshot.version, generation=snapshot.generation, parts=hashes, held=snapshot.held)
    objects["manifest"] = {MANIFEST: _canonical(manifest, readable=True)}
    return objects


def normal(snapshot: Snapshot) -> Snapshot:
    """The snapshot with its rows in their normal order, the order `read` gives."""
    host = snapshot.server.hostname
    return msgspec.structs.replace(
        snapshot,
        domains=tuple(sorted(snapshot.domains, key=lambda d: (d.name, d.namespace, d.resource))),
        mailboxes=tuple(sorted(snapshot.mailboxes, key=lambda m: (m.address, m.namespace, m.resource))),
        aliases=tuple(sorted(snapshot.aliases, key=lambda a: (a.address, a.namespace, a.resource))),
        keys=tuple(sorted(snapshot.keys, key=lambda k: (k.domain, k.selector, k.pem))),
        certificates=tuple(sorted(snapshot.certificates, key=lambda c: (host not in c.names, c.names, c.chain))),
        secrets=tuple(sorted(snapshot.secrets, key=lambda s: (s.name, s.value))),
        claims=tuple(sorted(snapshot.claims, key=lambda c: (c.key, c.kind, c.namespace, c.resource))),
    )


def part_hash(plain: bytes) -> str:
    """What the manifest says of a part: SHA-256 of its uncompressed content, in hex."""
    return hashlib.sha256(plain).hexdigest()


def read(directory: Mapping[str, bytes]) -> Snapshot | Pending:
    """Files, by name, to a snapshot; files the manifest does not name are left alone.

    A missing part or one whose hash does not fit is Pending. Raises BadSnapshot for what waiting cannot mend.
    """
    if MANIFEST not in directory:
        return Pending(f"{MANIFEST} has not arrived")
    manifest = _manifest(directory[MANIFEST])
    found: list[_Config | _Keys | _Directory] = []
    for name, wanted in manifest.parts.items():
        match = _PART_NAME.fullmatch(name)
        if match is None:
            raise BadSnapshot(f"{MANIFEST}: {name!r} is not the name of a part")
        if name not in directory:
            return Pending(f"{name} has not arrived", manifest.generation)
        plain = _unpack(directory[name]) if match[2] else directory[name]
        if plain is None or part_hash(plain) != wanted:
            return Pending(f"{name} is not of generation {manifest.generation}", manifest.generation)
        found.append(_decode(name, plain, _PLANES[match[1]]))
    return _joined(manifest, found)


def read_directory(path: Path) -> Snapshot | Pending:
    """`read` of the files in a directory. Raises BadSnapshot, and OSError where the directory cannot be read."""
    files: dict[str, bytes] = {}
    try:
        for file in current(path).iterdir():
            if file.name == MANIFEST or _PART_NAME.fullmatch(file.name):
                files[file.name] = file.read_bytes()
    except FileNotFoundError:
        if not path.is_dir():
            raise
        return Pending("the files were replaced while they were read")
    return read(files)


def read_kept(path: Path) -> Snapshot | Pending:
    """`read_directory` of what `write_directory` writes: what is replaced meanwhile is read again, then it is whole."""
    found = read_directory(path)
    for _ in range(_READ_TRIES - 1):
        if isinstance(found, Snapshot):
            break
        found = read_directory(path)
    return found


def without_storage_keys(snapshot: Snapshot) -> Snapshot:
    """What may lie on the disk whose mail the keys of the store are to protect."""
    rows = tuple(row for row in snapshot.secrets if not row.name.startswith(STORAGE_KEY))
    return snapshot if rows == snapshot.secrets else msgspec.structs.replace(snapshot, secrets=rows)


def read_storage_keys(path: Path) -> Mapping[str, str]:
    """Keys of the store by id, from whatever parts of a snapshot are there: they are needed before it is whole.

    Raises BadSnapshot, and OSError where the directory cannot be read.
    """
    found: dict[str, str] = {}
    for file in sorted(current(path).glob("keys-*.json.gz")):
        plain = _unpack(file.read_bytes()) if _PART_NAME.fullmatch(file.name) else None
        rows = _decode(file.name, plain, _Keys).secrets if plain is not None else ()
        found |= {row.name.removeprefix(STORAGE_KEY): row.value for row in rows if row.name.startswith(STORAGE_KEY)}
    return found


def read_manifest(path: Path) -> bytes | None:
    """The manifest's bytes, None where there is none: a cheap way to see that something changed. Raises OSError."""
    try:
        return (current(path) / MANIFEST).read_bytes()
    except FileNotFoundError:
        return None


def write_directory(path: Path, snapshot: Snapshot) -> None:
    """Write a snapshot's files under `path`, which has the layout of a volume the kubelet writes.

    All at once: whoever reads, also after a crash in the middle, finds the old snapshot or the new one. Durable on
    return. Raises SnapshotTooLarge before anything is written, and OSError.
    """
    files = {name: content for part in planes(snapshot).values() for name, content in part.items()}
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=_GENERATION, dir=path))  # mode 0700
    try:
        for name, content in files.items():
            _write(fresh / name, content)
        _sync_directory(fresh)
        link = fresh / "link"
        link.symlink_to(fresh.name)
        link.replace(path / _DATA)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    _sync_directory(path)
    for old in path.glob(f"{_GENERATION}*"):
        if old != fresh:
            shutil.rmtree(old, ignore_errors=True)


def shard(key: str, parts: int) -> int:
    """The part a row with this key belongs to; the same for ever."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:4]) % parts


def _parts(snapshot: Snapshot) -> Iterable[tuple[str, _Config | _Keys | _Directory]]:
    domains = _cut(snapshot.domains, lambda d: d.name, CONFIG_PARTS)
    for n in range(CONFIG_PARTS):
        if n == 0 or domains[n]:
            yield f"config-{n}", _Config(server=snapshot.server if n == 0 else None, domains=domains[n])
    keys = _cut(snapshot.keys, lambda k: k.domain, KEYS_PARTS)
    certificates = _cut(snapshot.certificates, lambda c: "".join(c.names[:1]), KEYS_PARTS)
    secrets = _cut(snapshot.secrets, lambda s: s.name, KEYS_PARTS)
    for n in range(KEYS_PARTS):
        if keys[n] or certificates[n] or secrets[n]:
            yield f"keys-{n}", _Keys(keys=keys[n], certificates=certificates[n], secrets=secrets[n])
    mailboxes = _cut(snapshot.mailboxes, lambda m: m.address, DIRECTORY_PARTS)
    aliases = _cut(snapshot.aliases, lambda a: a.address, DIRECTORY_PARTS)
    claims = _cut(snapshot.claims, lambda c: c.key, DIRECTORY_PARTS)
    for n in range(DIRECTORY_PARTS):
        if mailboxes[n] or aliases[n] or claims[n]:
            yield f"dir-{n}", _Directory(mailboxes=mailboxes[n], aliases=aliases[n], claims=claims[n])


def _cut(rows: Iterable[_T], key: Callable[[_T], str], parts: int) -> list[tuple[_T, ...]]:
    shards: list[list[_T]] = [[] for _ in range(parts)]
    for row in rows:
        shards[shard(key(row), parts)].append(row)
    return [tuple(rows) for rows in shards]


def _joined(manifest: Manifest, parts: Iterable[_Config | _Keys | _Directory]) -> Snapshot:
    rows: dict[str, list[object]] = {}
    for part in parts:
        for field in part.__struct_fields__:
            value = getattr(part, field)
            rows.setdefault(field, []).extend(value if isinstance(value, tuple) else [value] if value else [])
    servers = rows.pop("server", [])
    if len(servers) != 1:
        raise BadSnapshot(f"{MANIFEST}: one part must say what the server is, {len(servers)} do")
    snapshot = Snapshot(
        server=servers[0],  # type: ignore[arg-type]
        generation=manifest.generation,
        version=manifest.version,
        held=manifest.held,
        **{field: tuple(values) for field, values in rows.items()},  # type: ignore[arg-type]
    )
    return normal(snapshot)


def _manifest(content: bytes) -> Manifest:
    manifest = _decode(MANIFEST, content, Manifest)
    if manifest.version not in READABLE:
        readable = ", ".join(map(str, READABLE))
        raise BadSnapshot(f"{MANIFEST}: snapshot version {manifest.version}; this server reads {readable}")
    return manifest


def _decode(name: str, content: bytes, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadSnapshot(f"{name}: {error}") from error


def _canonical(part: Row, *, readable: bool) -> bytes:
    plain = msgspec.json.encode(part, order="deterministic")
    return msgspec.json.format(plain, indent=1) + b"\n" if readable else plain


def _pack(plain: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, _GZIP)
    return packer.compress(plain) + packer.flush()


def _unpack(packed: bytes) -> bytes | None:
    """None for what is not one whole gzip frame: it cannot be what the manifest means."""
    unpacker = zlib.decompressobj(_GZIP)
    try:
        plain = unpacker.decompress(packed, MAX_UNPACKED)
    except zlib.error:
        return None
    return plain if unpacker.eof and not unpacker.unused_data else None


def current(path: Path) -> Path:
    """The directory the files of one moment lie in: behind the kubelet's link, or `path` itself."""
    link = path / _DATA
    return link.resolve() if link.is_symlink() else path


def _write(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
