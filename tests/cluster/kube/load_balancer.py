"""Gives every Service of type LoadBalancer an address, as a cloud would; kube-proxy does the rest."""

import ipaddress

from kube.api import Api, Object
from kube.watching import Watch

ADDRESSES = ipaddress.ip_network("198.18.128.0/24")


class LoadBalancer:
    """Hands out addresses in order; an address is never given twice in a run."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.free = ADDRESSES.hosts()
        self.watch = Watch(api, "/api/v1/services", self._give)

    def _give(self, event: str, service: Object) -> None:
        if event == "DELETED" or service["spec"].get("type") != "LoadBalancer":
            return
        if service.get("status", {}).get("loadBalancer", {}).get("ingress"):
            return
        meta = service["metadata"]
        status = {"loadBalancer": {"ingress": [{"ip": str(next(self.free))}]}}
        self.api.patch(f"/api/v1/namespaces/{meta['namespace']}/services/{meta['name']}/status", {"status": status})
