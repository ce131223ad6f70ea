"""Who the operator is to the API server: the pod's service account or a kubeconfig, with tokens that rotate."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from typing import Any

from kubernetes.config import ConfigException, load_incluster_config, load_kube_config


class NoCredentials(Exception):
    """There is neither a service account nor a usable kubeconfig."""


class _Configuration:
    """What the official loaders fill in; a stand-in for their own class, which would bring every typed API along."""

    def __init__(self) -> None:
        self.host = ""
        self.ssl_ca_cert: str | None = None
        self.cert_file: str | None = None
        self.key_file: str | None = None
        self.verify_ssl = True
        self.tls_server_name: str | None = None
        self.proxy: str | None = None
        self.username = ""
        self.password = ""
        self.api_key: dict[str, str] = {}
        self.refresh_api_key_hook: Any = None


@dataclass(slots=True)
class Credentials:
    """A place to connect to, and what to say there."""

    configuration: _Configuration

    @classmethod
    def load(cls) -> Credentials:
        """From KUBECONFIG, else the pod's service account, else ~/.kube/config. Raises NoCredentials."""
        found = _Configuration()
        try:
            if not os.environ.get("KUBECONFIG") and os.environ.get("KUBERNETES_SERVICE_HOST"):
                load_incluster_config(client_configuration=found)  # type: ignore[no-untyped-call]
            else:
                load_kube_config(client_configuration=found, persist_config=False)  # type: ignore[no-untyped-call]
        except (ConfigException, OSError) as error:
            raise NoCredentials(f"no way to log in to a Kubernetes API server: {error}") from error
        return cls(found)

    @property
    def server(self) -> str:
        """The API server's URL, without a final slash."""
        return self.configuration.host.rstrip("/")

    @property
    def server_name(self) -> str | None:
        """The name the server's certificate must show, where it is not that of the URL."""
        return self.configuration.tls_server_name

    @property
    def proxy(self) -> str | None:
        """An HTTP proxy to go through."""
        return self.configuration.proxy

    def tls(self) -> ssl.SSLContext:
        """Verifies the server and shows our client certificate, if we have one."""
        context = ssl.create_default_context(cafile=self.configuration.ssl_ca_cert)
        if self.configuration.cert_file:
            context.load_cert_chain(self.configuration.cert_file, self.configuration.key_file)
        if not self.configuration.verify_ssl:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def authorization(self) -> str:
        """The Authorization header of this moment, "" without one; a token file is read again every minute."""
        if self.configuration.refresh_api_key_hook is not None:
            self.configuration.refresh_api_key_hook(self.configuration)
        scheme, _, token = self.configuration.api_key.get("BearerToken", "").partition(" ")
        return f"Bearer {token.strip()}" if scheme.lower() == "bearer" and token else ""

    def reload(self) -> None:
        """Read everything again: the answer to a 401."""
        self.configuration = Credentials.load().configuration
