"""`postrider status` against an API server that has what the test says."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from postrider_operator.cli import app
from postrider_operator.kinds import KINDS
from postrider_operator.kinds.resource import API_VERSION, GROUP, VERSION

Answers = Mapping[str, Any]
VERSIONS = {"groupVersion": API_VERSION, "version": VERSION}
RESOURCES = [
    {"name": kind.INFO.plural, "kind": kind.INFO.kind, "singularName": "", "namespaced": True, "verbs": ["get", "list"]}
    for kind in KINDS
]
#: What an API server says that knows nothing of ours, and one that does.
EMPTY: Answers = {
    "/version": {"major": "1", "minor": "34"},
    "/api": {"kind": "APIVersions", "versions": []},
    "/apis": {"kind": "APIGroupList", "groups": []},
}
OURS: Answers = {
    **EMPTY,
    "/apis": {
        "kind": "APIGroupList",
        "groups": [{"name": GROUP, "versions": [VERSIONS], "preferredVersion": VERSIONS}],
    },
    f"/apis/{API_VERSION}": {"kind": "APIResourceList", "groupVersion": API_VERSION, "resources": RESOURCES},
}


def listed(namespace: str, **objects: list[Any]) -> Answers:
    """Lists of objects by plural; kinds that are not named have none."""
    return {
        f"/apis/{API_VERSION}/namespaces/{namespace}/{kind.INFO.plural}": {
            "apiVersion": API_VERSION,
            "kind": f"{kind.INFO.kind}List",
            "items": objects.get(kind.INFO.plural, []),
        }
        for kind in KINDS
    }


def mailbox(name: str, ready: str, reason: str, message: str) -> Any:
    condition = {"type": "Ready", "status": ready, "reason": reason, "message": message}
    return {"metadata": {"name": name}, "status": {"conditions": [condition]}}


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Answers], None]]:
    """Starts an API server with these answers, 404 for all else, and makes it the one that is meant."""
    running: list[ThreadingHTTPServer] = []

    def start(answers: Answers) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                found = answers.get(self.path.partition("?")[0], {"kind": "Status", "code": 404})
                body = json.dumps(found).encode()
                self.send_response(found.get("code", 200))
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Quietly."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        running.append(server)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        meant(tmp_path, monkeypatch, server.server_port)

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


def meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    """Have KUBECONFIG name an API server, and the namespace team."""
    body = {
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "team"}}],
        "current-context": "c",
    }
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(body))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    # Where to find it is read when the library is imported.
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "kubeconfig"))


def status(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["status", *arguments])


def test_it_counts_what_is_ready_and_says_why_the_rest_is_not(cluster: Callable[[Answers], None]) -> None:
    rows = [mailbox("a", "True", "Serving", ""), mailbox("b", "False", "Pending", "Wait."), {"metadata": {"name": "c"}}]
    cluster({**OURS, **listed("team", mailboxes=rows)})
    found = status()
    assert found.exit_code == 1
    assert "Mailbox     1 of 3 ready\n  b: Pending: Wait.\n  c: the operator has not seen it yet\n" in found.stdout


def test_all_is_well_in_another_namespace(cluster: Callable[[Answers], None]) -> None:
    cluster({**OURS, **listed("other", mailboxes=[mailbox("a", "True", "Serving", "")])})
    found = status("-n", "other")
    assert (found.exit_code, found.stdout.count("0 of 0 ready")) == (0, len(KINDS) - 1)


def test_a_cluster_without_our_kinds_is_told_how_to_get_them(cluster: Callable[[Answers], None]) -> None:
    cluster(EMPTY)
    found = status()
    assert found.exit_code == 2
    assert "kubectl apply --server-side -f crds/" in found.stderr


def test_a_right_that_is_missing_is_told_in_a_line(cluster: Callable[[Answers], None]) -> None:
    refusal = {"kind": "Status", "code": 403, "message": "you may not list mailservers"}
    cluster({**OURS, **dict.fromkeys(listed("team"), refusal)})
    found = status()
    assert found.exit_code == 2
    assert found.stderr == "postrider: the cluster cannot be asked: you may not list mailservers\n"


def test_an_api_server_that_does_not_answer_is_told_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as held:  # bound and not listening: nobody answers here, and nobody else can
        held.bind(("127.0.0.1", 0))
        meant(tmp_path, monkeypatch, held.getsockname()[1])
        found = status()
    assert found.exit_code == 2
    assert "refused" in found.stderr
    assert found.stderr.count("\n") == 1
