"""Custom resources as tests write them: the short form of what a user puts into YAML."""

import base64
from typing import Any

from kube.api import Object

API_VERSION = "postrider.dev/v1alpha1"


def resource(kind: str, name: str, spec: Object | None = None) -> Object:
    """Any of our kinds; without a spec there is none."""
    found: Object = {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}}
    return found if spec is None else {**found, "spec": spec}


def mail_server(hostname: str = "mail.one.test", name: str = "default", **spec: Any) -> Object:
    """A MailServer with a small volume."""
    return resource("MailServer", name, {"hostname": hostname, "storage": {"size": "1Gi"}, **spec})


def mail_domain(name: str, **spec: Any) -> Object:
    """A MailDomain; its name alone is enough."""
    return resource("MailDomain", name, spec or None)


def mailbox(address: str, name: str = "", **spec: Any) -> Object:
    """A Mailbox, called like the local part where no name is given."""
    return resource("Mailbox", name or address.split("@", 1)[0], {"address": address, **spec})


def alias(address: str, *targets: str, name: str = "") -> Object:
    """An Alias, called like the local part where no name is given."""
    return resource("Alias", name or address.split("@", 1)[0], {"address": address, "targets": list(targets)})


def dkim_key(name: str, domain: str, selector: str, algorithm: str = "Ed25519") -> Object:
    """A DkimKey."""
    return resource("DkimKey", name, {"domain": domain, "selector": selector, "algorithm": algorithm})


def secret(name: str, **data: str) -> Object:
    """An Opaque Secret of text values."""
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": "Opaque", "stringData": data}


def decoded(found: Object) -> dict[str, str]:
    """The text values of a Secret that was read."""
    return {key: base64.b64decode(value).decode() for key, value in (found.get("data") or {}).items()}
