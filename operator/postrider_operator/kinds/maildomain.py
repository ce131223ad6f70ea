"""MailDomain: a domain whose mail we take; its name alone is enough."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from postrider_operator.kinds.keeping import Keeping
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
    condition_column,
    ruled,
)
from postrider_operator.kinds.texts import DomainText, SizeText

_EFFECTIVE = "(has({0}.spec) && has({0}.spec.domain) ? {0}.spec.domain : {0}.metadata.name)"


class ServerRef(Reference):
    """Names the MailServer that serves the domain."""

    name: str = Field(
        default="default", description="Name of a MailServer in the same namespace.", min_length=1, max_length=253
    )


class MailDomainSpec(Model):
    """What is wanted of a domain; everything has a default."""

    domain: DomainText | None = Field(
        default=None,
        description="The domain, such as example.org or bücher.example; metadata.name where it is not said. "
        "It cannot be changed.",
    )
    server_ref: ServerRef = Field(
        default=ServerRef(), description="The MailServer that serves it; the one called default where it is not said."
    )
    subaddress_separator: str = Field(
        default="+",
        description="Separates the user from a detail in local parts: alice+news@ is delivered to alice@. "
        "Empty switches sub-addresses off.",
        max_length=1,
        json_schema_extra=ruled(Rule("self.matches(r'^[+=_.-]?$')", "the separator is one of + = _ . - or empty")),
    )
    quota: SizeText | None = Field(
        default=None,
        description="How much mail all mailboxes of the domain may hold together, such as 500Gi; no limit where it is "
        "not said. What one of them may hold is mailboxes.quota.",
    )
    mailboxes: Keeping = Field(
        default=Keeping(),
        description="What holds for the domain's mailboxes where a Mailbox does not say otherwise.",
    )
    deletion_policy: DeletionPolicy = Field(
        default="Retain",
        description="What becomes of generated DKIM keys when the MailDomain is deleted: Retain keeps their Secrets, "
        "and a MailDomain made later signs with the same keys; Delete removes them. Mail goes with its Mailbox.",
    )


class DnsRecord(Model):
    """One DNS record to publish."""

    name: str = Field(description="Full name of the record, without the dot at the end.")
    type: str = Field(description="MX, TXT, SRV, CNAME, ...")
    ttl: int = Field(description="Time to live in seconds.", json_schema_extra={"format": "int32"})
    value: str = Field(description="The record's value as in a zone file; TXT without quotes.")


class MailDomainStatus(Status):
    """What became of the domain, and the DNS records to publish for it."""

    domain: str = Field(default="", description="The domain as DNS has it (A-labels).")
    selectors: tuple[str, ...] = Field(
        default=(),
        description="Selectors its mail is signed with.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    dns_records: tuple[DnsRecord, ...] = Field(
        default=(),
        description="The DNS records to publish, all of them.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )


class MailDomain(Resource):
    """A domain whose mail a MailServer takes, sends and signs."""

    SPEC: ClassVar[type[Model]] = MailDomainSpec
    STATUS: ClassVar[type[Status]] = MailDomainStatus
    SPEC_REQUIRED: ClassVar[bool] = False
    INFO: ClassVar[KindInfo] = KindInfo(
        kind="MailDomain",
        plural="maildomains",
        short_names=("md",),
        columns=(
            READY,
            condition_column("DNS", "DNSReady", "Whether all records of status.dnsRecords are published."),
            condition_column("MX", "MXPublished", "Whether mail for the domain is sent to this server."),
            condition_column("DKIM", "DKIMPublished", "Whether others can verify the domain's signatures."),
            REASON,
            Column("Domain", ".status.domain", "The domain.", priority=1),
            Column("Server", ".spec.serverRef.name", "The MailServer that serves it.", priority=1),
            MESSAGE,
            AGE,
        ),
        selectable=(".spec.domain",),
        rules=(
            Rule(
                f"{_EFFECTIVE.format('self')} == {_EFFECTIVE.format('oldSelf')}",
                "the domain (spec.domain, or metadata.name where that is absent) cannot be changed: "
                "make a new MailDomain",
                ".spec.domain",
            ),
        ),
    )

    spec: MailDomainSpec = MailDomainSpec()

    @property
    def domain(self) -> str:
        """The domain as the user wrote it: spec.domain, else metadata.name."""
        return self.spec.domain or self.metadata.name
