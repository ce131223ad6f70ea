"""Probes and metrics over HTTP."""

import aiohttp

from postrider_operator.metrics import Metrics
from postrider_operator.probes import Probes


async def test_probes_say_what_is_wrong() -> None:
    wrong = {"informers": "not listed yet"}
    metrics = Metrics()
    metrics.count("postrider_operator_reconciles_total", result="ok")
    probes = Probes(metrics, alive={"queue": lambda: ""}, ready={"informers": lambda: wrong["informers"]})
    port = await probes.start("127.0.0.1:0")
    async with aiohttp.ClientSession() as session:

        async def get(path: str) -> tuple[int, str]:
            async with session.get(f"http://127.0.0.1:{port}{path}") as response:
                return response.status, await response.text()

        assert await get("/livez") == (200, "[+]queue ok\n")
        assert await get("/readyz") == (503, "[+]queue ok\n[-]informers not listed yet\n")
        wrong["informers"] = ""
        assert (await get("/readyz"))[0] == 200
        status, text = await get("/metrics")
        assert status == 200
        assert 'postrider_operator_reconciles_total{result="ok"} 1.0' in text
    await probes.stop()
