"""A thin client of the Kubernetes API: JSON verbs and watches, over connections the caller may place elsewhere."""

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from typing import Any
from urllib.parse import urlencode, urlsplit

Object = dict[str, Any]
Connect = Callable[[str, int, float], socket.socket]

PATCHES = {
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}


class ApiError(Exception):
    """The API server's refusal: its code, its reason and its message."""

    def __init__(self, code: int, status: Object) -> None:
        super().__init__(f"{code} {status.get('reason', '')}: {status.get('message', '')}")
        self.code = code
        self.reason = status.get("reason", "")


def plain(host: str, port: int, timeout: float) -> socket.socket:
    return socket.create_connection((host, port), timeout)


@dataclass
class Api:
    """One user's view of one API server; safe for threads, each has a connection of its own."""

    server: str
    token: str = field(default="", repr=False)
    ca: str = ""
    connect: Connect = plain
    _local: threading.local = field(default_factory=threading.local)

    def get(self, path: str, **query: str) -> Object:
        """GET of an object or a list."""
        return self._call("GET", path, query=query)

    def find(self, path: str) -> Object | None:
        """GET of an object that may not exist."""
        try:
            return self.get(path)
        except ApiError as error:
            if error.code == 404:
                return None
            raise

    def create(self, path: str, body: Object) -> Object:
        """POST to a collection or a subresource."""
        return self._call("POST", path, body=body)

    def patch(self, path: str, body: Object, kind: str = "merge") -> Object:
        """PATCH; `kind` is a row of `PATCHES`."""
        query = {"fieldManager": "postrider-tests", "force": "true"} if kind == "apply" else {}
        return self._call("PATCH", path, query=query, body=body, content=PATCHES[kind])

    def delete(self, path: str, body: Object | None = None) -> Object:
        """DELETE; the body holds DeleteOptions."""
        return self._call("DELETE", path, body=body)

    def watch(self, path: str, since: str, seconds: int = 300, **query: str) -> Iterator[Object]:
        """Events since a resourceVersion, until the server ends the watch after `seconds`."""
        asked = {"watch": "true", "resourceVersion": since, "timeoutSeconds": str(seconds), **query}
        connection = self._open(seconds + 30.0)
        try:
            answer = self._send(connection, "GET", path, query=asked)
            for line in answer:
                yield json.loads(line)
        finally:
            connection.close()

    def _open(self, timeout: float) -> HTTPConnection:
        at = urlsplit(self.server)
        host, port = at.hostname or "", at.port or 443
        raw = self.connect(host, port, timeout)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if at.scheme == "http":
            plain = HTTPConnection(host, port, timeout=timeout)
            plain.sock = raw
            return plain
        context = ssl.create_default_context(cafile=self.ca)
        secure = HTTPSConnection(host, port, timeout=timeout, context=context)
        secure.sock = context.wrap_socket(raw, server_hostname=host)
        return secure

    def _send(self, connection: HTTPConnection, verb: str, path: str, **asked: Any) -> HTTPResponse:
        query, body = asked.get("query"), asked.get("body")
        target = f"{path}?{urlencode(query)}" if query else path
        headers = {"Accept": "application/json", "Content-Type": asked.get("content") or "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        connection.request(verb, target, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        if answer.status >= 400:
            text = answer.read()
            raise ApiError(answer.status, _status(text))
        return answer

    def _call(self, verb: str, path: str, **asked: Any) -> Object:
        kept: HTTPConnection | None = getattr(self._local, "connection", None)
        self._local.connection = None
        if kept is not None:
            try:
                return self._answer(kept, verb, path, **asked)
            except (ConnectionError, ssl.SSLEOFError):  # the server closed it while it was idle
                kept.close()
        return self._answer(self._open(30.0), verb, path, **asked)

    def _answer(self, connection: HTTPConnection, verb: str, path: str, **asked: Any) -> Object:
        try:
            found: Object = json.loads(self._send(connection, verb, path, **asked).read())
        except ApiError:
            self._local.connection = connection
            raise
        self._local.connection = connection
        return found


def _status(text: bytes) -> Object:
    try:
        found = json.loads(text)
    except ValueError:
        return {"message": text.decode(errors="replace")}
    return found if isinstance(found, dict) else {}
