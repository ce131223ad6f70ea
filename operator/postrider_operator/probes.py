"""/livez, /readyz and /metrics of the operator over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from aiohttp import web

from postrider_operator.metrics import Metrics

#: A check says what is wrong, "" when nothing is.
Check = Callable[[], str]


class Probes:
    """A small HTTP server that answers from checks."""

    def __init__(self, metrics: Metrics, alive: Mapping[str, Check], ready: Mapping[str, Check]) -> None:
        self._metrics = metrics
        self._alive = alive
        self._ready = ready
        self._runner: web.AppRunner | None = None

    async def start(self, address: str) -> int:
        """Listen on "host:port" (port 0: any); the port comes back. Raises OSError."""
        application = web.Application()
        application.add_routes(
            [
                web.get("/livez", self._show_alive),
                web.get("/readyz", self._show_ready),
                web.get("/metrics", self._show_metrics),
            ]
        )
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        host, _, port = address.rpartition(":")
        site = web.TCPSite(self._runner, host.strip("[]") or None, int(port))
        await site.start()
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _show_alive(self, _: web.Request) -> web.Response:
        return _answer(self._alive)

    async def _show_ready(self, _: web.Request) -> web.Response:
        return _answer({**self._alive, **self._ready})

    async def _show_metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=self._metrics.text(), headers={"Content-Type": "text/plain; version=0.0.4"})


def _answer(checks: Mapping[str, Check]) -> web.Response:
    said = {name: check() for name, check in checks.items()}
    text = "".join(f"[{'-' if wrong else '+'}]{name} {wrong or 'ok'}\n" for name, wrong in said.items())
    return web.Response(text=text, status=503 if any(said.values()) else 200)
