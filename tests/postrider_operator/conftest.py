"""An API server of a test's own on loopback, and the operator's client for it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web

from postrider_operator.client import Client
from postrider_operator.credentials import Credentials

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
#: Starts a server whose every answer the handler gives; its port.
Serve = Callable[[Handler], Awaitable[int]]
#: The same, and a client that speaks to it.
Connect = Callable[[Handler], Awaitable[Client]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    runners: list[web.AppRunner] = []

    async def start(handler: Handler) -> int:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", handler)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0)
        runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return int(runner.addresses[0][1])

    yield start
    for runner in runners:
        await runner.cleanup()


@pytest.fixture
async def connect(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Connect]:
    clients: list[Client] = []

    async def start(handler: Handler) -> Client:
        cluster = {"name": "c", "cluster": {"server": f"http://127.0.0.1:{await serve(handler)}"}}
        context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
        users = [{"name": "u", "user": {}}]
        config = {"clusters": [cluster], "contexts": [context], "users": users, "current-context": "c"}
        path = tmp_path / "kubeconfig"
        path.write_text(json.dumps(config))
        # What KUBECONFIG says is read when the library is loaded.
        monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(path))
        monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
        clients.append(Client(Credentials.load()))
        return clients[-1]

    yield start
    for client in clients:
        await client.close()
