"""What the supervisor tells of all processes."""

from postrider.contract.report import Status
from postrider.supervise.health import Health, metrics


async def test_metrics_are_told_while_a_process_makes_its_file(tmp_path):
    (tmp_path / "counter_17.db").touch()

    async def counters():
        return {"accepted": 3, "queued": 0}

    app = metrics(Health(str, Status, counters, str(tmp_path)))
    response = await app.routes[0].endpoint(None)
    assert b'postrider_deliveries_total{outcome="accepted"} 3.0\n' in response.body
