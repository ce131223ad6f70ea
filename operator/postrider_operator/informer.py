"""Our own list and watch: keeps a slim picture of one kind and tells of changes, at 50 microseconds an object.

It only ever reads. What it keeps of an object is what its item type names, nothing else is held.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import msgspec

from postrider_operator.client import JSON, METADATA_LIST, METADATA_ONE, ApiError, Client, Gone, Unreachable
from postrider_operator.observed import identity

log = logging.getLogger(__name__)

Key = tuple[str, str]


class Identity(Protocol):
    """What of an object's metadata an informer needs."""

    @property
    def name(self) -> str:
        """metadata.name."""
        ...

    @property
    def namespace(self) -> str:
        """metadata.namespace."""
        ...

    @property
    def uid(self) -> str:
        """metadata.uid."""
        ...

    @property
    def resource_version(self) -> str:
        """metadata.resourceVersion."""
        ...


class Item(Protocol):
    """Anything an informer can keep."""

    @property
    def metadata(self) -> Identity:
        """The object's metadata."""
        ...


T = TypeVar("T", bound=Item)
Changed = Callable[[T | None, T | None], None]


@dataclass(frozen=True, slots=True)
class Source(Generic[T]):
    """What to list and watch: the collection's path (of all namespaces or of one) and how to read an item."""

    path: str
    decode: Callable[[bytes | msgspec.Raw], T]
    namespace: str = ""
    metadata_only: bool = False
    selector: str = ""

    @property
    def query(self) -> Mapping[str, str]:
        """Query parameters of list and watch."""
        return {"labelSelector": self.selector} if self.selector else {}


@dataclass(slots=True)
class Cache(Generic[T]):
    """Objects of one kind by namespace and name; several informers (one a namespace) may fill one cache."""

    items: dict[Key, T] = field(default_factory=dict)

    def get(self, namespace: str, name: str) -> T | None:
        """The object, None when there is none."""
        return self.items.get((namespace, name))

    def within(self, namespace: str) -> Iterator[T]:
        """The objects of a namespace; of all with ""."""
        return (item for (place, _), item in self.items.items() if not namespace or place == namespace)

    def put(self, item: T) -> bool:
        """Keep an object unless what is kept is as new; whether it was news.

        Our own writes come in here at once, from their answers; the watch brings them again, late.
        """
        key = item.metadata.namespace, item.metadata.name
        before = self.items.get(key)
        if before is not None and before.metadata.uid == item.metadata.uid and not _newer(item, before):
            return False
        self.items[key] = item
        return True

    def drop(self, key: Key) -> T | None:
        """Forget an object; it comes back."""
        return self.items.pop(key, None)


class Informer(Generic[T]):
    """Keeps a cache like the API server's collection and calls `changed(before, now)` for each difference."""

    def __init__(self, client: Client, source: Source[T], cache: Cache[T], changed: Changed[T]) -> None:
        self._client = client
        self._source = source
        self._cache = cache
        self._changed = changed
        self.synced = asyncio.Event()

    @property
    def path(self) -> str:
        """Path of the collection."""
        return self._source.path

    async def run(self) -> None:
        """List and watch until cancelled; failures are logged and tried again, at most 30 s apart."""
        failures = 0
        while True:
            try:
                version = await self._list()
                self.synced.set()
                failures = 0
                await self._watch(version)
            except Gone:
                log.debug("list again", extra={"path": self._source.path})
            except (ApiError, Unreachable, msgspec.MsgspecError) as error:
                failures += 1
                level = logging.WARNING if failures > 1 else logging.INFO
                log.log(level, "informer failed", extra={"path": self._source.path, "error": str(error)})
                await asyncio.sleep(min(30.0, 0.5 * 2 ** min(failures, 6)) * random.uniform(0.7, 1.0))  # noqa: S311

    async def _list(self) -> str:
        """Bring the cache up to a fresh list; its resourceVersion."""
        accept = f"{METADATA_LIST},{JSON}" if self._source.metadata_only else JSON
        seen: set[Key] = set()
        version = ""
        async for page in self._client.pages(self._source.path, accept=accept, query=self._source.query):
            version = page.metadata.resource_version
            for raw in page.items or ():
                seen.add(self._put(raw))
            await asyncio.sleep(0)
        kept = [(item.metadata.namespace, item.metadata.name) for item in self._cache.within(self._source.namespace)]
        for key in kept:
            if key not in seen:
                self._drop(key)
        return version

    async def _watch(self, version: str) -> None:
        """Follow changes from a resourceVersion; ends with Gone (or an error) when it must be listed again."""
        accept = f"{METADATA_ONE},{JSON}" if self._source.metadata_only else JSON
        silent = 0
        while True:
            began = version
            broke: Unreachable | None = None
            try:
                async for event in self._client.watch(
                    self._source.path, version, accept=accept, query=self._source.query
                ):
                    version = self._take(event.type, event.object)
            except Unreachable as error:
                broke = error
            silent = 0 if version != began else silent + 1
            if broke is not None:
                if silent > 3:
                    raise broke
                log.info("watch broke", extra={"path": self._source.path, "error": str(broke)})
            if broke is not None or silent:  # what ends at once and says nothing is not asked as fast as it answers
                await asyncio.sleep(0.2 * 2 ** min(silent, 4))

    def _take(self, kind: str, raw: msgspec.Raw) -> str:
        """Obey one event; the resourceVersion it brings us to."""
        mark = identity(raw)
        if kind == "DELETED":
            self._drop((mark.namespace, mark.name))
        elif kind != "BOOKMARK":
            self._put(raw)
        return mark.resource_version

    def _put(self, raw: msgspec.Raw) -> Key:
        """Keep an object; one that cannot be read is logged and left out, the others go on."""
        mark = identity(raw)
        key = mark.namespace, mark.name
        try:
            item = self._source.decode(raw)
        except (ValueError, msgspec.MsgspecError) as error:
            extra = {"path": self._source.path, "object": "/".join(key), "error": str(error)}
            log.error("object not understood", extra=extra)
            return key
        before = self._cache.items.get(key)
        if self._cache.put(item):
            self._changed(before, item)
        return key

    def _drop(self, key: Key) -> None:
        before = self._cache.drop(key)
        if before is not None:
            self._changed(before, None)


def _newer(item: Item, kept: Item) -> bool:
    """Whether an item is a later state than the kept one; resourceVersions of one collection are ordered numbers."""
    new, old = item.metadata.resource_version, kept.metadata.resource_version
    return int(new) > int(old) if new.isdigit() and old.isdigit() else new != old
