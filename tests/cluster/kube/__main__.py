"""`python -m kube`: build the cluster's programs, run a cluster by hand, or take away what dead runs left."""

import argparse
import signal
import sys
import threading
from pathlib import Path

from kube.build import programs
from kube.control_plane import ControlPlane
from kube.images import archives
from kube.node import missing, start_node
from kube.runs import Run, reap
from kube.versions import CONTROL_PLANE, NODE

CHECKOUT = Path(__file__).resolve().parents[3]
SETS = {"control-plane": CONTROL_PLANE, "node": NODE}


def build(what: str) -> None:
    """Builds what is not there yet."""
    for name, path in programs(SETS[what]).items():
        print(f"{name:24} {path}")


def up(what: str) -> None:
    """Runs a cluster until it is interrupted; a node gets both images."""
    if what == "node" and (lack := missing()):
        sys.exit(lack)
    found = programs(SETS[what])
    run = Run.new()
    try:
        if what == "node":
            node = start_node(run, found)
            for archive in archives(CHECKOUT, run.path).values():
                node.containerd.load(archive)
            kubeconfig, before = node.plane.kubeconfig("admin"), " ".join(node.network.prefix)
        else:
            plane = ControlPlane(run, found)
            plane.start()
            kubeconfig, before = plane.kubeconfig("admin"), ""
        print(f"{before} {found['kubectl']} --kubeconfig {kubeconfig}".strip(), flush=True)
        ended = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: ended.set())
        ended.wait()
    finally:
        run.close()


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m kube", description=__doc__)
    parser.add_argument("verb", choices=("build", "up", "reap"))
    parser.add_argument("what", nargs="?", choices=tuple(SETS), default="control-plane")
    asked = parser.parse_args()
    if asked.verb == "reap":
        reap()
        return
    {"build": build, "up": up}[asked.verb](asked.what)


if __name__ == "__main__":
    main()
