"""A thin async client of the Kubernetes API: JSON verbs, lists in pages, watches; no models, no cache.

It must never hold more of an answer than the caller asked for: lists and watches are decoded straight into slim types.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import aiohttp
import msgspec
from yarl import URL

from postrider_operator.credentials import Credentials

Object = dict[str, Any]

JSON = "application/json"
#: Only metadata of the objects: what we want of Secrets we do not refer to.
METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
METADATA_ONE = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"

#: Objects in one page of a list.
PAGE = 500
#: Seconds a watch may be silent; the API server sends a bookmark every minute.
SILENCE = 90.0
#: Tries of a request that the server was too busy for.
TRIES = 5


class ApiError(Exception):
    """The API server's refusal: HTTP code, machine-readable reason, message."""

    def __init__(self, code: int, status: Mapping[str, Any], retry_after: float = 0.0) -> None:
        self.code = code
        self.reason = str(status.get("reason") or "")
        self.message = str(status.get("message") or "")
        self.retry_after = retry_after
        super().__init__(f"{code} {self.reason}: {self.message}")


class NotFound(ApiError):
    """404: no such object, or no such kind."""


class Conflict(ApiError):
    """409: it exists already, or its resourceVersion has moved on."""


class Gone(ApiError):
    """410: the resourceVersion is too old; list again."""


class Forbidden(ApiError):
    """403: a right is missing, or the namespace is going."""

    @property
    def terminating(self) -> bool:
        """Whether nothing can be made because the namespace is being deleted."""
        return self.message.endswith("because it is being terminated")


_ERRORS: Mapping[int, type[ApiError]] = {403: Forbidden, 404: NotFound, 409: Conflict, 410: Gone}


class Unreachable(Exception):
    """The API server did not answer."""


class ListMeta(msgspec.Struct, rename="camel"):
    """Metadata of a list."""

    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")


class Page(msgspec.Struct):
    """One page of a list; its objects as they came."""

    metadata: ListMeta
    items: list[msgspec.Raw] | None = None  # an empty list of metadata is null


class WatchEvent(msgspec.Struct):
    """One line of a watch: ADDED, MODIFIED, DELETED, BOOKMARK or ERROR, and the object as it came."""

    type: str
    object: msgspec.Raw


@dataclass(frozen=True, slots=True)
class Write:
    """A body to send: its media type, and query parameters."""

    body: Any
    content_type: str = JSON
    query: Mapping[str, str] | None = None


class Client:
    """Requests to one API server; at most `connections` at a time, watches not counted."""

    def __init__(self, credentials: Credentials, *, connections: int = 12) -> None:
        self.credentials = credentials
        self._tls = credentials.tls() if credentials.server.startswith("https") else None
        self._session = self.session(connections)
        self._watches = self.session(0)
        self._event = msgspec.json.Decoder(WatchEvent)
        self._page = msgspec.json.Decoder(Page)

    def session(self, connections: int) -> aiohttp.ClientSession:
        """An HTTP session that logs in; the caller closes it. `connections` 0 is no limit."""
        connector = aiohttp.TCPConnector(limit=connections, ssl=self._tls if self._tls is not None else True)
        return aiohttp.ClientSession(
            connector=connector,
            middlewares=(self._log_in,),
            headers={"User-Agent": "postrider-operator"},
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
            proxy=self.credentials.proxy,
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()
        await self._watches.close()

    async def _log_in(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        if header := self.credentials.authorization():
            request.headers["Authorization"] = header
        if self.credentials.server_name:
            request.server_hostname = self.credentials.server_name
        return await handler(request)

    async def get(self, path: str, *, accept: str = JSON, query: Mapping[str, str] | None = None) -> Object:
        """One object. Raises NotFound, ApiError, Unreachable."""
        return decode(await self._send("GET", path, None, accept=accept, query=query))

    async def find(self, path: str) -> Object | None:
        """One object, None when there is none."""
        found = await self.read(path)
        return None if found is None else decode(found)

    async def read(self, path: str) -> bytes | None:
        """One object as it came, None when there is none."""
        try:
            return await self._send("GET", path, None)
        except NotFound:
            return None

    async def create(self, path: str, body: Object) -> bytes:
        """POST to a collection; the object as it came back. Raises Conflict when it exists."""
        return await self._send("POST", path, Write(body))

    async def apply(self, path: str, body: Object, *, manager: str) -> bytes:
        """Server-side apply; fields of other managers that we name become ours."""
        query = {"fieldManager": manager, "force": "true"}
        return await self._send("PATCH", path, Write(body, APPLY, query))

    async def merge(self, path: str, body: Object, *, manager: str) -> bytes:
        """JSON merge patch."""
        return await self._send("PATCH", path, Write(body, MERGE, {"fieldManager": manager}))

    async def replace(self, path: str, body: Object) -> bytes:
        """PUT; Conflict when the body's resourceVersion is not the present one."""
        return await self._send("PUT", path, Write(body))

    async def delete(self, path: str, *, uid: str = "", orphan: bool = False) -> None:
        """Ask for deletion (of just that object, when its uid is given); nothing to delete is no error."""
        options: Object = {"propagationPolicy": "Orphan" if orphan else "Background"}
        if uid:
            options["preconditions"] = {"uid": uid}
        with contextlib.suppress(NotFound):
            await self._send("DELETE", path, Write(options))

    async def pages(
        self, path: str, *, accept: str = JSON, query: Mapping[str, str] | None = None
    ) -> AsyncIterator[Page]:
        """A consistent list, page by page. Raises Gone when it took so long that it must start again."""
        asked = {"limit": str(PAGE), **(query or {})}
        while True:
            page = self._page.decode(await self._send("GET", path, None, accept=accept, query=asked))
            yield page
            if not page.metadata.continue_:
                return
            asked["continue"] = page.metadata.continue_

    async def watch(
        self, path: str, since: str, *, accept: str = JSON, query: Mapping[str, str] | None = None
    ) -> AsyncIterator[WatchEvent]:
        """Changes after a resourceVersion until the server ends it. Raises Gone, ApiError, Unreachable."""
        seconds = random.randint(240, 480)  # noqa: S311 - only spreads reconnects
        asked = {"watch": "1", "allowWatchBookmarks": "true", "resourceVersion": since, "timeoutSeconds": str(seconds)}
        try:
            async with self._watches.get(
                self._url(path),
                params={**asked, **(query or {})},
                headers={"Accept": accept},
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=SILENCE),
            ) as response:
                await self._check(response)
                async for line in _lines(response.content):
                    event = self._event.decode(line)
                    if event.type == "ERROR":
                        status = msgspec.json.decode(event.object)
                        raise _error(int(status.get("code") or 500), status)
                    yield event
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unreachable(f"watch of {path}: {error or type(error).__name__}") from error

    async def _send(
        self, verb: str, path: str, write: Write | None, *, accept: str = JSON, query: Mapping[str, str] | None = None
    ) -> bytes:
        """Send, again while the server says it is too busy (429, 503), and once more with new credentials after 401."""
        for tried in range(1, TRIES + 1):
            try:
                return await self._send_once(verb, path, write, accept=accept, query=query)
            except ApiError as error:
                if error.code not in (401, 429, 503) or tried == TRIES or (error.code == 401 and tried > 1):
                    raise
                if error.code == 401:
                    await asyncio.to_thread(self.credentials.reload)
                else:
                    await asyncio.sleep(error.retry_after or 0.25 * 2**tried)
        raise AssertionError("unreachable: the last try returns or raises")

    async def _send_once(
        self, verb: str, path: str, write: Write | None, *, accept: str, query: Mapping[str, str] | None
    ) -> bytes:
        headers = {"Accept": accept}
        data = None
        if write is not None:
            headers["Content-Type"], data, query = write.content_type, msgspec.json.encode(write.body), write.query
        try:
            async with asyncio.timeout(60):
                request = self._session.request(verb, self._url(path), params=query, data=data, headers=headers)
                async with request as response:
                    await self._check(response)
                    return await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unreachable(f"{verb} {path}: {error or type(error).__name__}") from error

    def _url(self, path: str) -> URL:
        return URL(self.credentials.server + path, encoded=True)

    async def _check(self, response: aiohttp.ClientResponse) -> None:
        if response.status < 400:
            return
        text = await response.read()
        try:
            status = msgspec.json.decode(text, type=dict[str, Any])
        except msgspec.MsgspecError:
            status = {"message": text[:300].decode(errors="replace")}
        raise _error(response.status, status, _seconds(response.headers.get("Retry-After", "")))


def micro_time() -> str:
    """This moment as metav1.MicroTime is written."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def decode(raw: bytes) -> Object:
    """A whole object as it came."""
    found: Object = msgspec.json.decode(raw)
    return found


def _error(code: int, status: Mapping[str, Any], retry_after: float = 0.0) -> ApiError:
    return _ERRORS.get(code, ApiError)(code, status, retry_after)


def _seconds(text: str) -> float:
    return float(text) if text.isdigit() else 0.0


async def _lines(stream: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Lines of any length (readline of the stream refuses those above its buffer)."""
    rest = b""
    async for chunk in stream.iter_any():
        *whole, rest = (rest + chunk).split(b"\n") if b"\n" in chunk else (rest + chunk,)
        for line in whole:
            if line:
                yield line
    if rest.strip():
        yield rest
