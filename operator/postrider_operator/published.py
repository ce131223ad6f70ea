"""What was published last: read from the cluster once, then remembered as it is written."""

from __future__ import annotations

import asyncio
import base64
import logging
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from postrider.contract import files
from postrider.contract.model import Snapshot
from postrider_operator.client import Client, Object, decode
from postrider_operator.paths import path
from postrider_operator.picture import Picture
from postrider_operator.plan import names
from postrider_operator.world import Ref

log = logging.getLogger(__name__)

#: Namespace and name of a MailServer.
Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Last:
    """The last snapshot, and the manifest's resourceVersion ("" while there is none)."""

    snapshot: Snapshot | None = None
    manifest_version: str = ""


class Published:
    """Last snapshots by MailServer."""

    def __init__(self, client: Client, picture: Picture) -> None:
        self._client = client
        self._picture = picture
        self._last: dict[Key, Last] = {}

    async def last(self, key: Key) -> Last:
        """What was published last. Raises ApiError, Unreachable."""
        if key not in self._last:
            self._last[key] = await self._read(key)
        manifest = self._picture.meta(_ref(key, "manifest"))
        if manifest is None:  # deleted: it is written anew, with the same content
            return Last(self._last[key].snapshot)
        return self._last[key]

    async def wrote(self, key: Key, written: Mapping[str, bytes], manifest_version: str) -> None:
        """A whole snapshot was written. Raises BadSnapshot: that would be a bug of ours."""
        snapshot = await asyncio.to_thread(files.read, written)
        if isinstance(snapshot, Snapshot):
            self._last[key] = Last(snapshot, manifest_version)

    def forget(self, key: Key) -> None:
        """Somebody else may have written: read it again next time."""
        self._last.pop(key, None)

    async def _read(self, key: Key) -> Last:
        found = await asyncio.gather(*(self._object(key, suffix) for suffix in files.OBJECTS))
        objects = dict(zip(files.OBJECTS, found, strict=True))
        content = {name: data for item in objects.values() if item is not None for name, data in _data(item).items()}
        manifest = objects["manifest"]
        version = str(manifest["metadata"]["resourceVersion"]) if manifest is not None else ""
        return Last(await asyncio.to_thread(restored, content), version)

    async def _object(self, key: Key, suffix: str) -> Object | None:
        ref = _ref(key, suffix)
        if self._picture.watches(ref.kind) and self._picture.meta(ref) is None:
            return None
        raw = await self._client.read(path(ref))
        if raw is None:
            return None
        item = decode(raw)
        return item if names.is_ours(item["metadata"].get("labels") or {}) else None


def restored(content: Mapping[str, bytes]) -> Snapshot | None:
    """The snapshot that files hold; None where they hold none.

    When the parts are not those of the manifest (its writer died in between) what the parts say is taken, as a
    version 0 that no plan wants: so it is published anew, under a new number.
    """
    try:
        found = files.read(content)
        if isinstance(found, Snapshot):
            return found
        if not content:
            return None
        mended = files.read(_with_manifest(content))
    except files.BadSnapshot as error:
        log.error("last snapshot lost", extra={"error": str(error)})
        return None
    if not isinstance(mended, Snapshot):
        return None
    log.warning("last snapshot mended", extra={"generation": mended.generation})
    return msgspec.structs.replace(mended, version=0)


def _with_manifest(content: Mapping[str, bytes]) -> dict[str, bytes]:
    """The parts with a manifest that fits them, numbered as the one that does not."""
    parts = {name: data for name, data in content.items() if name != files.MANIFEST}
    hashes = {}
    for name, data in list(parts.items()):
        try:
            hashes[name] = files.part_hash(zlib.decompress(data, wbits=31) if name.endswith(".gz") else data)
        except zlib.error:
            del parts[name]
    manifest = files.Manifest(version=1, generation=_generation(content.get(files.MANIFEST, b"")), parts=hashes)
    return {**parts, files.MANIFEST: msgspec.json.encode(manifest)}


def _generation(manifest: bytes) -> int:
    try:
        return msgspec.json.decode(manifest, type=files.Manifest).generation
    except msgspec.MsgspecError:
        return 0


def _data(item: Object) -> dict[str, bytes]:
    data = item.get("data") or {}
    if item["kind"] == "ConfigMap":
        return {name: text.encode() for name, text in data.items()}
    return {name: base64.b64decode(text) for name, text in data.items()}


def _ref(key: Key, suffix: str) -> Ref:
    namespace, server = key
    return Ref(files.OBJECTS[suffix], namespace, names.part(server, suffix))
