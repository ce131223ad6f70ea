"""A cluster somebody else runs, named by KUBECONFIG."""

import base64
import json
from pathlib import Path

from kube.api import Api
from kube.build import Programs
from kube.cluster import Cluster, wait
from kube.runs import Run


def given_cluster(kubeconfig: Path, programs: Programs, run: Run) -> Cluster:
    """The cluster, spoken to through `kubectl proxy`, so that every way to log in works."""
    proxy = [str(programs["kubectl"]), "--kubeconfig", str(kubeconfig), "proxy", "--port=0", "--address=127.0.0.1"]
    run.start("kubectl-proxy", proxy)

    def port() -> str | None:
        words = run.log("kubectl-proxy").split()
        return words[-1] if words[:3] == ["Starting", "to", "serve"] else None

    address = wait("kubectl proxy", port, 20, lambda: run.log("kubectl-proxy"))
    return Cluster(Api(f"http://{address}"), programs["kubectl"], kubeconfig)


def server_and_ca(cluster: Cluster) -> tuple[str, str]:
    """The API server's address and the PEM of its authority, for kubeconfigs of service accounts."""
    view = json.loads(cluster.kubectl("config", "view", "--raw", "--minify", "-o", "json"))
    entry = view["clusters"][0]["cluster"]
    if data := entry.get("certificate-authority-data"):
        return entry["server"], base64.b64decode(data).decode()
    return entry["server"], Path(entry["certificate-authority"]).read_text()
