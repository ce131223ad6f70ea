"""The cluster the tests of this directory run against: our own control plane, or the one KUBECONFIG names."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from kube.audit import Audit
from kube.build import programs
from kube.cluster import Cluster
from kube.control_plane import ControlPlane
from kube.given import given_cluster
from kube.operator_process import Chart, Operator
from kube.player import Player
from kube.runs import Run, interruptible
from kube.stage import Stage
from kube.versions import CONTROL_PLANE

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    """The control plane, without anything of ours in it."""
    found = programs(CONTROL_PLANE)
    interruptible()
    run = Run.new()
    try:
        if given := os.environ.get("KUBECONFIG"):
            yield Stage(given_cluster(Path(given), found, run), run, found, None)
            return
        plane = ControlPlane(run, found)
        plane.start()
        cluster = Cluster(plane.admin(), found["kubectl"], plane.kubeconfig("admin"))
        yield Stage(cluster, run, found, Audit(plane.audit_log))
    finally:
        run.close()


@pytest.fixture(scope="session")
def player(stage: Stage) -> Iterator[Player]:
    """Runs the pods of StatefulSets as processes."""
    nodes = [node["metadata"]["name"] for node in stage.cluster.api.get("/api/v1/nodes")["items"]]
    if set(nodes) - {"played"}:
        pytest.skip(f"the cluster of KUBECONFIG has nodes of its own ({', '.join(nodes)}): use tests/e2e")
    playing = Player(stage.cluster.api, stage.run, CHECKOUT)
    playing.start()
    yield playing
    playing.stop()


@pytest.fixture(scope="session")
def cluster(stage: Stage, player: Player) -> Cluster:
    """The cluster with our CustomResourceDefinitions in it."""
    crds = CHECKOUT / "crds"
    stage.cluster.kubectl("apply", "--server-side", "-f", str(crds))
    stage.cluster.kubectl("wait", "--for=condition=Established", "--timeout=120s", "-f", str(crds))
    return stage.cluster


@pytest.fixture(scope="session")
def operator(cluster: Cluster, stage: Stage) -> Iterator[Operator]:
    """The operator as a process under the chart's rights; the replica is called `first`."""
    chart = Chart(stage.programs["helm"], CHECKOUT / "helm/postrider", "postrider-system")
    running = Operator(cluster, stage.run, chart)
    running.install()
    running.start("first")
    yield running
    for identity in list(running.replicas):
        running.stop(identity)


@pytest.fixture
def audit(stage: Stage) -> Audit:
    """Counts of writes; skipped on a cluster whose audit log we do not have."""
    if stage.audit is None:
        pytest.skip("the cluster of KUBECONFIG shows no audit log")
    return stage.audit


@pytest.fixture
def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace for one test, with restricted Pod Security."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    with cluster.namespace(request.node.originalname, labels) as name:
        yield name


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test waits for the cluster, and on a new machine for its programs to be built (about 9 minutes)."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.timeout(1500))
