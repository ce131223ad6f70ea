"""A whole node in a network namespace: control plane, scheduler, containerd, kubelet, proxy, DNS. Needs root."""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from kube.build import Programs
from kube.claims import Claims
from kube.cluster import Cluster, condition
from kube.containerd import PAUSE, Containerd
from kube.control_plane import POD_NET, ControlPlane, Place
from kube.load_balancer import LoadBalancer
from kube.network import Namespace, node_namespace
from kube.runs import Run

NODE = "node1"
NEEDS = ("containerd", "ctr", "runc", "buildah", "debootstrap", "nft", "ip", "nsenter", "openssl")
CGROUPS = Path("/sys/fs/cgroup")

COREFILE = """cluster.local:53 {{
  bind {address}
  kubernetes cluster.local {{
    kubeconfig {kubeconfig}
  }}
}}
.:53 {{
  bind {address}
  template ANY ANY {{
    rcode NXDOMAIN
  }}
}}
"""


def missing() -> str:
    """What this machine lacks to run a node; empty when it can."""
    if os.geteuid() != 0:
        return "a node needs root"
    absent = [name for name in NEEDS if shutil.which(name) is None]
    if not Path("/usr/lib/cni/bridge").exists():
        absent.append("containernetworking-plugins")
    return f"a node needs {', '.join(absent)}" if absent else ""


@dataclass
class Node:
    """A running node."""

    run: Run
    network: Namespace
    plane: ControlPlane
    containerd: Containerd
    claims: Claims
    balancer: LoadBalancer

    @property
    def cluster(self) -> Cluster:
        """The cluster as its administrator sees it."""
        kubeconfig = self.plane.kubeconfig("admin")
        return Cluster(self.plane.admin(), self.plane.programs["kubectl"], kubeconfig, self.network.prefix)

    def stop(self) -> None:
        """Ends what runs inside this process; the rest is the run's to undo."""
        self.claims.watch.stop()
        self.balancer.watch.stop()


def start_node(run: Run, programs: Programs) -> Node:
    """Starts everything and waits until the node is Ready (about 13 s)."""
    run.register("mounts", str(run.path))
    network = node_namespace(run)
    run.register("cgroup", f"postrider-{run.id}")
    plane = ControlPlane(run, programs, Place(network.address, network.prefix, network.connect, 6443))
    plane.start()
    containerd = Containerd(run.path, POD_NET)
    admin = plane.admin()
    node = Node(run, network, plane, containerd, Claims(admin, run.path / "claims", NODE), LoadBalancer(admin))
    _containerd(node)
    scheduler = plane.kubeconfig("system:kube-scheduler")
    plane.launch("kube-scheduler", f"--kubeconfig={scheduler}", "--leader-elect=false", "--bind-address=127.0.0.1")
    _proxy(node)
    _dns(node)
    _kubelet(node)
    node.claims.watch.start()
    node.balancer.watch.start()
    plane.wait("the node", lambda: _ready(node), 120)
    return node


def _ready(node: Node) -> bool:
    found = node.plane.admin().find(f"/api/v1/nodes/{NODE}")
    return found is not None and condition(found).get("status") == "True"


def _containerd(node: Node) -> None:
    node.plane.launch("containerd", *node.containerd.configure())
    node.run.register("tasks", str(node.containerd.socket))
    node.plane.wait("containerd", node.containerd.answers)
    node.containerd.load_program(PAUSE, node.plane.programs["pause"])


def _proxy(node: Node) -> None:
    settings = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": {"kubeconfig": str(node.plane.kubeconfig("system:kube-proxy"))},
        "hostnameOverride": NODE,
        "clusterCIDR": POD_NET,
        "conntrack": {"maxPerCore": 0, "min": 0},
        "bindAddress": node.network.address,
        "nodePortAddresses": ["primary"],
    }
    binding = {
        "metadata": {"name": "kube-proxy"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:node-proxier"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "system:kube-proxy"}],
    }
    node.plane.admin().create("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding)
    path = node.run.path / "proxy.json"
    path.write_text(json.dumps(settings))
    node.plane.launch("kube-proxy", f"--config={path}")


def _dns(node: Node) -> None:
    path = node.run.path / "Corefile"
    path.write_text(COREFILE.format(address=node.network.address, kubeconfig=node.plane.kubeconfig("admin")))
    node.plane.launch("coredns", "-conf", str(path))


def _kubelet(node: Node) -> None:
    group = f"postrider-{node.run.id}"
    _make_cgroup(group)
    root = node.run.path / "kubelet"
    root.mkdir()
    settings = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": f"unix://{node.containerd.socket}",
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{group}",
        "enforceNodeAllocatable": [],
        "evictionHard": dict.fromkeys(
            ("memory.available", "nodefs.available", "imagefs.available", "nodefs.inodesFree"), "0%"
        ),
        "failSwapOn": False,
        "address": node.network.address,
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        "clusterDNS": [node.network.address],
        "clusterDomain": "cluster.local",
        "resolvConf": "",
        "imageGCHighThresholdPercent": 100,
        "localStorageCapacityIsolation": False,
        "makeIPTablesUtilChains": False,
    }
    path = node.run.path / "kubelet.json"
    path.write_text(json.dumps(settings))
    node.plane.launch(
        "kubelet",
        f"--config={path}",
        f"--kubeconfig={node.plane.kubeconfig('system:node:node1')}",
        f"--hostname-override={NODE}",
        f"--root-dir={root}",
        f"--node-ip={node.network.address}",
        f"--cert-dir={node.run.path}/kubelet-pki",
        "--v=2",
    )


def _make_cgroup(name: str) -> None:
    """The kubelet's root: in every controller of version 1, with the cpuset filled in; one directory in version 2."""
    if (CGROUPS / "cgroup.controllers").exists():
        controllers = (CGROUPS / "cgroup.controllers").read_text().split()
        wanted = " ".join(f"+{controller}" for controller in controllers)
        (CGROUPS / "cgroup.subtree_control").write_text(wanted)
        (CGROUPS / name).mkdir(exist_ok=True)
        return
    for controller in CGROUPS.iterdir():
        if controller.name == "unified" or not controller.is_dir():
            continue
        group = controller / name
        group.mkdir(exist_ok=True)
        for file in ("cpuset.cpus", "cpuset.mems"):
            if (controller / file).exists():
                (group / file).write_text((controller / file).read_text())
