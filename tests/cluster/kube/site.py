"""A node that runs the product as its chart installs it, and a host outside the cluster."""

from dataclasses import dataclass

from kube.cluster import Cluster
from kube.network import Namespace
from kube.node import Node


@dataclass(frozen=True)
class Site:
    """What an end-to-end test has to work with."""

    node: Node
    cluster: Cluster
    outside: Namespace
