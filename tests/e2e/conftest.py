"""A node with both images and the chart installed by Helm, and a host outside the cluster."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from kube.build import programs
from kube.images import archives, reference
from kube.network import outside_host
from kube.node import Node, missing, start_node
from kube.runs import Run, interruptible
from kube.site import Site
from kube.versions import NODE

CHECKOUT = Path(__file__).resolve().parents[2]
RELEASE_NAMESPACE = "postrider-system"


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    """The node, both images built from the checkout, the chart installed, the operator rolled out."""
    if lack := missing():
        pytest.skip(lack)
    found = programs(NODE)
    interruptible()
    run = Run.new()
    try:
        node = start_node(run, found)
        for archive in archives(CHECKOUT, run.path).values():
            node.containerd.load(archive)
        _install(node, found["helm"])
        yield Site(node, node.cluster, outside_host(run, node.network, "outside", 10))
        node.stop()
    finally:
        run.close()


def _install(node: Node, helm: Path) -> None:
    """`helm install` into a namespace with restricted Pod Security, and waits for the operator."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    node.cluster.api.create("/api/v1/namespaces", {"metadata": {"name": RELEASE_NAMESPACE, "labels": labels}})
    values = []
    for product in ("operator", "server"):
        repository, _, tag = reference(product).rpartition(":")
        for key, value in (("repository", repository), ("tag", tag), ("pullPolicy", "Never")):
            values.append(f"--set={product}.image.{key}={value}")
    argv = [*node.network.prefix, str(helm), f"--kubeconfig={node.cluster.kubeconfig}", "install", "postrider"]
    argv += [str(CHECKOUT / "helm/postrider"), f"--namespace={RELEASE_NAMESPACE}", *values, "--wait", "--timeout=120s"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        pods = node.cluster.kubectl("describe", "pods", "-n", RELEASE_NAMESPACE)
        raise RuntimeError(f"helm install: {done.stderr}\n{pods}")


@pytest.fixture
def namespace(site: Site, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace for one test, with restricted Pod Security."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    with site.cluster.namespace(request.node.originalname, labels) as name:
        yield name


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test waits for the node and the images, and on a new machine for all programs to be built."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.timeout(1800))
