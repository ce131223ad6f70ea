"""Content of Secrets, read by GET where it is referred to and kept while its Secret does not change."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from postrider_operator.client import ApiError, Client, Unreachable
from postrider_operator.observed import Meta
from postrider_operator.paths import collection, path
from postrider_operator.picture import Picture
from postrider_operator.plan import names
from postrider_operator.world import Ref, Secret

log = logging.getLogger(__name__)

#: More unread Secrets than this in one namespace are read by a list of our own ones, not one by one.
MANY = 50
#: Seconds after which one that did not exist is looked for again, where no watch tells.
ABSENT = 15.0


class _Object(msgspec.Struct):
    metadata: Meta
    data: dict[str, str] | None = None


_decode = msgspec.json.Decoder(_Object).decode


@dataclass(slots=True)
class Found:
    """Secrets by name, and why some could not be read; a name in neither does not exist."""

    secrets: dict[str, Secret] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Kept:
    #: None: it did not exist.
    secret: Secret | None
    read_at: float


class Secrets:
    """Reads Secrets. With a watch of their metadata a kept one is good until that says otherwise, else for a while."""

    def __init__(self, client: Client, picture: Picture, *, watched: bool, lifetime: float) -> None:
        self._client = client
        self._picture = picture
        self._watched = watched
        self._lifetime = lifetime
        self._kept: dict[tuple[str, str], _Kept] = {}
        self._now: Callable[[], float] = lambda: asyncio.get_running_loop().time()

    async def read(self, namespace: str, wanted: Iterable[str]) -> Found:
        """The Secrets of these names. Never raises: what cannot be read is told in `unreadable`."""
        found = Found()
        missing = [name for name in sorted(set(wanted)) if not self._recall(namespace, name, found)]
        if len(missing) > MANY and self._watched:
            await self._read_ours(namespace)
            missing = [name for name in missing if not self._recall(namespace, name, found)]
        waiting = iter(missing)

        async def work() -> None:
            for name in waiting:
                await self._read(namespace, name, found)

        await asyncio.gather(*(work() for _ in range(16)))
        return found

    def keep(self, namespace: str, raw: bytes) -> Secret:
        """Keep the content of a Secret that an answer has shown."""
        item = _decode(raw)
        data = {key: base64.b64decode(value) for key, value in (item.data or {}).items()}
        meta = item.metadata
        secret = Secret(meta.name, meta.uid, meta.resource_version, data, meta.labels, meta.annotations)
        self._kept[namespace, meta.name] = _Kept(secret, self._now())
        return secret

    def refresh(self, namespace: str, raw: bytes) -> None:
        """The same, of one that is kept already; parts of the snapshot, a megabyte each, are not."""
        if (namespace, _decode(raw).metadata.name) in self._kept:
            self.keep(namespace, raw)

    def absent(self, namespace: str) -> bool:
        """Whether one that was asked for does not exist, and no watch will tell when it does."""
        return not self._watched and any(
            place == namespace and kept.secret is None for (place, _), kept in self._kept.items()
        )

    def seen(self, kind: str, before: Any, now: Any) -> None:
        """A listener of the picture: forgets what is gone; an annotation on a MailServer has all read anew."""
        if kind == "Secret" and now is None:
            self._kept.pop((before.metadata.namespace, before.metadata.name), None)
        changed = before is not None and now is not None
        if kind == "MailServer" and changed and before.metadata.annotations != now.metadata.annotations:
            self.expire(now.metadata.namespace)

    def known(self, namespace: str, name: str) -> Secret | None:
        """A Secret that was read before."""
        kept = self._kept.get((namespace, name))
        return kept.secret if kept is not None else None

    def expire(self, namespace: str = "") -> None:
        """Read everything (of a namespace) anew when it is asked for next, where no watch tells of changes."""
        if not self._watched:
            self._kept = {at: kept for at, kept in self._kept.items() if namespace and at[0] != namespace}

    def _recall(self, namespace: str, name: str, found: Found) -> bool:
        """Put what is known of a Secret into `found`; whether that is all there is to know."""
        kept = self._kept.get((namespace, name))
        if not self._watched:
            lifetime = self._lifetime if kept is not None and kept.secret is not None else min(ABSENT, self._lifetime)
            if kept is None or self._now() - kept.read_at > lifetime:
                return False
        else:
            meta = self._picture.meta(Ref("Secret", namespace, name))
            if meta is None:
                return True
            if kept is None or kept.secret is None or not _current(kept.secret, meta):
                return False
        if kept.secret is not None:
            found.secrets[name] = kept.secret
        return True

    async def _read(self, namespace: str, name: str, found: Found) -> None:
        try:
            raw = await self._client.read(path(Ref("Secret", namespace, name)))
        except (ApiError, Unreachable) as error:
            found.unreadable[name] = getattr(error, "message", "") or str(error)
            return
        if raw is None:
            self._kept[namespace, name] = _Kept(None, self._now())
            self._picture.drop(Ref("Secret", namespace, name))
            return
        found.secrets[name] = self.keep(namespace, raw)
        if not self._watched:
            self._picture.take("Secret", raw)

    async def _read_ours(self, namespace: str) -> None:
        query = {"labelSelector": f"{names.MANAGED_BY}={names.OPERATOR},{names.CONTENT}"}
        try:
            async for page in self._client.pages(collection("Secret", namespace), query=query):
                for raw in page.items or ():
                    self.keep(namespace, bytes(raw))
        except (ApiError, Unreachable) as error:
            log.warning("secrets not listed", extra={"namespace": namespace, "error": str(error)})


def _current(secret: Secret, meta: Meta) -> bool:
    return secret.uid == meta.uid and secret.version == meta.resource_version
