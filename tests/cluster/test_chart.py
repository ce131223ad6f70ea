"""The chart: real Helm renders it, the real API server takes it, restricted Pod Security admits its pods."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import CHECKOUT, Stage
from kube.api import Object
from kube.cluster import Cluster
from kube.operator_process import Chart

VARIANTS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "some namespaces, secrets by name": {"watchNamespaces": ["team-a", "team-b"], "secrets": "get"},
    "a first server": {
        "mailServer": {"create": True, "name": "main", "spec": {"hostname": "mx.example.test"}},
        "imagePullSecrets": ["registry"],
    },
    "everything off": {
        "operator": {"replicas": 1},
        "rbac": {"create": False},
        "serviceAccount": {"create": False, "name": "given"},
        "networkPolicy": {"create": False},
        "podDisruptionBudget": {"create": False},
        "metrics": {"service": False},
    },
}
RECOMMENDED = {f"app.kubernetes.io/{name}" for name in ("name", "instance", "component", "part-of", "managed-by")}


@pytest.fixture(scope="module")
def release(cluster: Cluster) -> Iterator[str]:
    """A namespace under restricted Pod Security, and those the variants name."""
    with (
        cluster.namespace("chart", {"pod-security.kubernetes.io/enforce": "restricted"}) as name,
        cluster.namespace("team-a") as one,
        cluster.namespace("team-b") as two,
    ):
        VARIANTS["some namespaces, secrets by name"]["watchNamespaces"] = [one, two]
        yield name


def render(stage: Stage, namespace: str, variant: str) -> list[Object]:
    return Chart(stage.programs["helm"], CHECKOUT / "helm/postrider", namespace, VARIANTS[variant]).render()


def helm(stage: Stage, *args: str) -> subprocess.CompletedProcess[str]:
    argv = [str(stage.programs["helm"]), *args]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_api_server_takes_what_is_rendered(stage: Stage, cluster: Cluster, release: str, variant: str) -> None:
    rendered = render(stage, release, variant)
    assert {part["kind"] for part in rendered} >= {"Deployment"}
    text = "\n---\n".join(json.dumps(part) for part in rendered)
    cluster.kubectl("apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-", stdin=text)


@pytest.mark.parametrize("variant", VARIANTS)
def test_everything_carries_the_recommended_labels(stage: Stage, release: str, variant: str) -> None:
    for part in render(stage, release, variant):
        labels = part["metadata"].get("labels", {})
        assert set(labels) >= RECOMMENDED, part["kind"]
        wanted = "server" if part["kind"] == "MailServer" else "operator"
        assert labels["app.kubernetes.io/component"] == wanted


def test_the_operators_pods_are_admitted_under_restricted_pod_security(
    stage: Stage, cluster: Cluster, release: str
) -> None:
    deployment = next(part for part in render(stage, release, "defaults") if part["kind"] == "Deployment")
    assert deployment["spec"]["replicas"] == 2
    template = deployment["spec"]["template"]
    spec = {**template["spec"], "serviceAccountName": "default"}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {**template["metadata"], "name": "one"}, "spec": spec}
    cluster.kubectl("create", "--dry-run=server", "-n", release, "-f", "-", stdin=json.dumps(pod))


def test_without_the_right_to_watch_secrets_there_is_none(stage: Stage, release: str) -> None:
    variant = "some namespaces, secrets by name"
    rendered = render(stage, release, variant)
    rules = [rule for part in rendered if part["kind"] in ("Role", "ClusterRole") for rule in part["rules"]]
    verbs = {verb for rule in rules if "secrets" in rule["resources"] for verb in rule["verbs"]}
    assert "get" in verbs
    assert not verbs & {"list", "watch", "*"}
    everywhere = [part for part in rendered if part["kind"] == "ClusterRoleBinding"]
    (bound,) = [
        part
        for part in rendered
        if part["kind"] == "ClusterRole" and part["metadata"]["name"] == everywhere[0]["roleRef"]["name"]
    ]
    assert [rule["resources"] for rule in bound["rules"]] == [["customresourcedefinitions"]]


def test_lint_finds_nothing(stage: Stage) -> None:
    done = helm(stage, "lint", "--strict", str(CHECKOUT / "helm/postrider"))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("secrets=all", "secrets"),
        ("operator.replicas=two", "replicas"),
        ("operator.image.repository=", "repository"),
        ("mailServer.create=true", "hostname"),
        ("opertor.replicas=1", "opertor"),
    ],
)
def test_wrong_values_are_named(stage: Stage, wrong: str, said: str) -> None:
    done = helm(stage, "template", "postrider", str(CHECKOUT / "helm/postrider"), f"--set={wrong}")
    assert done.returncode != 0
    assert said in done.stderr
