"""A running cluster with all that belongs to it."""

from dataclasses import dataclass

from kube.audit import Audit
from kube.build import Programs
from kube.cluster import Cluster
from kube.runs import Run


@dataclass(frozen=True)
class Stage:
    """What the tests of tests/cluster have to work with; `audit` is None where the API server is not ours."""

    cluster: Cluster
    run: Run
    programs: Programs
    audit: Audit | None
