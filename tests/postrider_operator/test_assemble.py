"""What a World says of the pods is what the cluster says."""

import json
from typing import Any

from postrider_operator.assemble import workload
from postrider_operator.picture import Picture
from postrider_operator.world import Workload


def seen(*objects: tuple[str, dict[str, Any]]) -> Workload:
    picture = Picture()
    for kind, body in objects:
        metadata = {"name": "default-mail", "namespace": "ns", "uid": "u", "resourceVersion": "1", "generation": 3}
        picture.put(kind, json.dumps({"metadata": metadata, **body}).encode())
    return workload(picture, ("ns", "default"))


def test_replicas_are_the_pods_there_are_not_those_that_are_wanted() -> None:
    status = {"observedGeneration": 3, "replicas": 0, "updateRevision": "r2"}
    found = seen(("StatefulSet", {"spec": {"replicas": 1}, "status": status}))
    assert found == Workload(replicas=0, observed=True, update_revision="r2")


def test_a_statefulset_whose_controller_has_not_looked_yet_is_not_observed() -> None:
    status = {"observedGeneration": 2, "replicas": 1, "readyReplicas": 1, "updatedReplicas": 1}
    found = seen(("StatefulSet", {"spec": {"replicas": 1}, "status": status}))
    assert (found.replicas, found.ready, found.updated, found.observed) == (1, 1, 1, False)


def test_addresses_are_known_before_there_is_a_pod() -> None:
    ingress = [{"ip": "192.0.2.9"}, {"hostname": "lb.example"}]
    found = seen(("Service", {"status": {"loadBalancer": {"ingress": ingress}}}))
    assert found == Workload(addresses=("192.0.2.9", "lb.example"))
