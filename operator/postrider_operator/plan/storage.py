"""How the data directory keeps mail: its keys from Secrets, the last good ones while those cannot be had.

Mail that is to be encrypted is never stored in the clear: a server whose newest key never was there is not published.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from postrider.contract import storage as contract
from postrider.contract.model import STORAGE_KEY, NamedSecret, Server, Storage
from postrider_operator.kinds import MailServer
from postrider_operator.kinds.storage import StorageKey
from postrider_operator.plan import secrets
from postrider_operator.plan.findings import Finding, Findings
from postrider_operator.plan.mine import ref
from postrider_operator.world import World


@dataclass(frozen=True, slots=True)
class Stored:
    """The row, and the keys it names."""

    row: Storage
    keys: tuple[NamedSecret, ...] = ()


def plan_storage(world: World, findings: Findings) -> Stored | None:
    """What the MailServer says of its storage; None while its mail could only be stored in the clear."""
    server = world.server
    if server is None:
        return None
    row = Storage(blobs=server.spec.storage.blobs)
    wanted = server.spec.storage.encryption
    if wanted is None:
        return Stored(row)
    keys = [_key(world, server, key, findings) for key in wanted.keys]
    if keys[0] is None:
        return _as_before(world)
    there = tuple(key for key in keys if key is not None)
    ids = tuple(key.name.removeprefix(STORAGE_KEY) for key in there)
    return Stored(msgspec.structs.replace(row, encryption_keys=ids), there)


def with_storage(server: Server | None, stored: Stored | None) -> Server | None:
    """The server's row with that of its storage; None where either is missing."""
    if server is None or stored is None or stored.row == server.storage:
        return server if stored else None
    return msgspec.structs.replace(server, storage=stored.row)


def wanted(world: World) -> Iterable[str]:
    """Names of the Secrets keys are in."""
    return (key.key_secret_ref.name for key in _keys(world.server))


def _keys(server: MailServer | None) -> Sequence[StorageKey]:
    wanted = server.spec.storage.encryption if server else None
    return wanted.keys if wanted else ()


def _key(world: World, server: MailServer, key: StorageKey, findings: Findings) -> NamedSecret | None:
    """A key as its Secret has it, else as it was published last; None where it never was there."""
    known = {row.name: row for row in world.previous.secrets} if world.previous else {}
    last = known.get(STORAGE_KEY + key.id)
    found = _read(world, key)
    if isinstance(found, Finding):
        findings.add(ref(server), found)
        return last
    if last is not None and found != last:
        message = f"the key {key.id} of the store is another one than before: what it wrapped could not be read"
        action = f"Restore it in Secret {key.key_secret_ref.name}, and put a new key with a new id in front of it."
        findings.add(ref(server), Finding("StorageKeyChanged", message, action))
        return last
    return found


def _read(world: World, key: StorageKey) -> NamedSecret | Finding:
    at = key.key_secret_ref
    found = secrets.entry(world, at.name, at.key)
    if isinstance(found, Finding):
        return found
    try:
        return NamedSecret(name=STORAGE_KEY + key.id, value=contract.encoded(contract.key(found[1])))
    except contract.BadKey as error:
        return Finding("BadStorageKey", f"key {at.key} of Secret {at.name} {error}", contract.REMEDY)


def _as_before(world: World) -> Stored | None:
    """The storage that was published last, its keys with it."""
    last = world.previous
    if last is None:
        return None
    names = {STORAGE_KEY + id_ for id_ in last.server.storage.encryption_keys}
    return Stored(last.server.storage, tuple(row for row in last.secrets if row.name in names))
