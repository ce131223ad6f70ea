"""MailServer: a fleet of mail servers, its storage, its way in and its limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from postrider_operator.kinds.keeping import Keeping
from postrider_operator.kinds.mailbox import PasswordRef
from postrider_operator.kinds.resource import (
    AGE,
    MESSAGE,
    READY,
    REASON,
    Column,
    DeletionPolicy,
    KindInfo,
    Model,
    Reference,
    Resource,
    Rule,
    Status,
    ruled,
)
from postrider_operator.kinds.storage import STORAGE_RULES, Storage
from postrider_operator.kinds.texts import (
    AddressText,
    DomainText,
    DurationText,
    HostText,
    SomeDurationText,
    SomeSizeText,
)

_PRESERVE: dict[str, Any] = {"x-kubernetes-preserve-unknown-fields": True}


class Tls(Model):
    """The certificate clients see."""

    secret_ref: Reference | None = Field(
        default=None,
        description="Secret of type kubernetes.io/tls (tls.crt, tls.key), as cert-manager makes them. Without it the "
        "operator issues a certificate signed by its own CA, which stands in the Secret <name of the MailServer>-ca.",
    )


class Service(Model):
    """How mail ports are reached from outside."""

    type: Literal["LoadBalancer", "NodePort", "ClusterIP"] = Field(
        default="LoadBalancer", description="Type of the Service in front of the mail ports."
    )
    annotations: Mapping[str, str] = Field(
        default={}, description="Annotations for the Service, such as a load balancer's settings."
    )
    load_balancer_ip: str | None = Field(
        default=None,
        description="Address to ask the load balancer for, where it can be asked.",
        max_length=45,
        alias="loadBalancerIP",
    )
    load_balancer_class: str | None = Field(
        default=None, description="Which load balancer implementation is meant.", max_length=253
    )
    external_traffic_policy: Literal["Local", "Cluster"] = Field(
        default="Local",
        description="Local keeps the client's address, which spam checks need; Cluster replaces it by a node's.",
    )


class Limits(Model):
    """What strangers can make grow, and how far."""

    message_size: SomeSizeText = Field(default="50Mi", description="Largest message taken (SIZE, RFC 1870).")
    recipients_per_message: int = Field(
        default=1000, ge=100, le=100_000, description="Recipients of one message (RFC 5321 section 4.5.3.1.8)."
    )
    connections: int = Field(default=2000, ge=10, le=100_000, description="Connections of all clients together.")
    connections_per_address: int = Field(
        default=100,
        ge=1,
        le=100_000,
        description="Connections from one client address or IPv6 network (/64), in each process.",
    )
    login_failures: int = Field(
        default=10,
        ge=1,
        le=1000,
        description="Failed logins within ten minutes, per client address and per login, before further ones wait.",
    )


class Queue(Model):
    """How mail for other servers is tried again."""

    first_retry: SomeDurationText = Field(
        default="5m", description="Time until the first new try; it doubles from there."
    )
    max_retry: SomeDurationText = Field(default="67m", description="Longest time between two tries.")
    lifetime: DurationText = Field(default="5d", description="Time after which a message is returned to its sender.")
    delay_notice: DurationText = Field(default="4h", description="Time after which the sender is told of the delay.")


class Relay(Model):
    """Another server (smarthost) that takes all mail for other domains."""

    host: DomainText = Field(description="Host name of the relay.")
    port: int = Field(default=587, ge=1, le=65535, description="Port of the relay.")
    tls: Literal["starttls", "tls", "none"] = Field(
        default="starttls",
        description="starttls upgrades the connection and insists on it, tls starts with TLS, none sends in the clear.",
    )
    username: str = Field(default="", description="Login at the relay; no login where it is empty.", max_length=256)
    password_secret_ref: PasswordRef | None = Field(default=None, description="Where the password for the login is.")


class Toleration(Model):
    """A taint of nodes the pods may run on all the same."""

    key: str | None = Field(default=None, description="Key of the taint; any where it is not said.")
    operator: Literal["Exists", "Equal"] | None = Field(default=None, description="How key and value are compared.")
    value: str | None = Field(default=None, description="Value of the taint.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        default=None, description="Effect of the taint; any where it is not said."
    )
    toleration_seconds: int | None = Field(
        default=None, description="How long a NoExecute taint is borne.", json_schema_extra={"format": "int64"}
    )


class Resources(Model):
    """CPU and memory, as in any container."""

    requests: Mapping[str, str] = Field(
        default={}, description="What a pod asks for, such as cpu: 250m and memory: 256Mi."
    )
    limits: Mapping[str, str] = Field(default={}, description="What a pod may use at most.")


class Pod(Model):
    """Where and how the server's pods run."""

    resources: Resources = Field(
        default=Resources(requests={"cpu": "100m", "memory": "256Mi"}), description="CPU and memory."
    )
    node_selector: Mapping[str, str] = Field(default={}, description="Labels a node must have.")
    tolerations: tuple[Toleration, ...] = Field(
        default=(),
        description="Taints that do not keep the pods away.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    affinity: Mapping[str, Any] = Field(
        default={}, description="Affinity rules, as in a pod.", json_schema_extra=_PRESERVE
    )
    priority_class_name: str = Field(default="", description="PriorityClass of the pods.", max_length=253)
    termination_grace: DurationText = Field(
        default="60s", description="Time a stopping server has to finish what it accepted."
    )


class MailServerSpec(Model):
    """What is wanted of a mail server. Only the hostname is required."""

    hostname: HostText = Field(
        description="Name the server gives itself and MX records point to, such as mail.example.org; its address must "
        "resolve back to it."
    )
    replicas: int = Field(
        default=1,
        ge=0,
        description="How many pods; with the embedded store 0 or 1.",
        json_schema_extra=ruled(Rule("self <= 1", "the embedded store runs in one pod: replicas is 0 or 1")),
    )
    storage: Storage = Field(default=Storage(), description="The volume that holds all mail.")
    tls: Tls = Field(default=Tls(), description="The certificate clients see.")
    service: Service = Field(default=Service(), description="How mail ports are reached from outside.")
    image: str | None = Field(
        default=None, description="Image of the server; the one that belongs to the operator where it is not said."
    )
    pod: Pod = Field(default=Pod(), description="Where and how the server's pods run.")
    limits: Limits = Field(default=Limits(), description="What strangers can make grow, and how far.")
    queue: Queue = Field(default=Queue(), description="How mail for other servers is tried again.")
    relay: Relay | None = Field(
        default=None, description="A server that takes all mail for other domains; without it MX records are asked."
    )
    mailboxes: Keeping = Field(
        default=Keeping(),
        description="What holds for all mailboxes where neither a Mailbox nor its MailDomain says otherwise.",
    )
    postmaster: AddressText | None = Field(
        default=None, description="Who receives mail to postmaster where a domain has none, and reports of failures."
    )
    deletion_policy: DeletionPolicy = Field(
        default="Retain",
        description="What becomes of the volume with all mail, the CA and the published configuration when the "
        "MailServer is deleted: Retain keeps them for a MailServer of this name made later; Delete removes them.",
    )


class MailServerStatus(Status):
    """What became of the server."""

    generation: int = Field(
        default=0,
        description="Number of the configuration all pods are to serve.",
        json_schema_extra={"format": "int64"},
    )
    replicas: int = Field(default=0, description="Pods there are.", json_schema_extra={"format": "int32"})
    ready_replicas: int = Field(default=0, description="Pods that serve.", json_schema_extra={"format": "int32"})
    addresses: tuple[str, ...] = Field(
        default=(),
        description="Addresses of the mail Service: publish them as A and AAAA records of the hostname.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )


class MailServer(Resource):
    """A mail server: SMTP in and out, submission and IMAP for all its domains."""

    SPEC: ClassVar[type[Model]] = MailServerSpec
    STATUS: ClassVar[type[Status]] = MailServerStatus
    INFO: ClassVar[KindInfo] = KindInfo(
        kind="MailServer",
        plural="mailservers",
        short_names=("msrv",),
        columns=(
            Column("Hostname", ".spec.hostname", "Name the server gives itself."),
            READY,
            REASON,
            Column("Address", ".status.addresses[0]", "First address of the mail Service."),
            Column("Generation", ".status.generation", "Number of the configuration.", type="integer", priority=1),
            MESSAGE,
            AGE,
        ),
        rules=(
            Rule(
                "self.metadata.name.matches(r'^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$')",
                "the name of a MailServer becomes part of other names: at most 40 lower-case letters, digits and "
                "hyphens, a letter first, no dots",
            ),
        ),
        scale=(".spec.replicas", ".status.replicas"),
    )

    spec: MailServerSpec = Field(
        json_schema_extra=ruled(
            *STORAGE_RULES,
            Rule(
                "!has(self.relay) || !has(self.relay.username) || self.relay.username == '' || "
                "has(self.relay.passwordSecretRef)",
                "a username needs a passwordSecretRef",
                ".relay.username",
            ),
            Rule(
                "!has(self.relay) || !has(self.relay.tls) || self.relay.tls != 'none' || "
                "!has(self.relay.username) || self.relay.username == ''",
                "a password is not sent in the clear: with a username tls must be starttls or tls",
                ".relay.tls",
            ),
        )
    )
