"""DkimKey: one key that signs a domain's mail."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from postrider_operator.kinds.maildomain import DnsRecord
from postrider_operator.kinds.resource import (
    AGE,
    MESSAGE,
    READY,
    REASON,
    Column,
    DeletionPolicy,
    KindInfo,
    Model,
    Resource,
    Rule,
    Status,
    condition_column,
    ruled,
)
from postrider_operator.kinds.texts import DomainText, SelectorText


class KeyRef(Model):
    """Names the entry of a Secret that holds a private key."""

    name: str = Field(description="Name of a Secret in the same namespace.", min_length=1, max_length=253)
    key: str = Field(default="key.pem", description="Key within the Secret's data.", min_length=1, max_length=253)


class DkimKeySpec(Model):
    """What is wanted of a signing key. Domain, selector and algorithm cannot be changed: make a new DkimKey."""

    domain: DomainText = Field(description="Domain whose mail is signed; the MailDomain of that name.")
    selector: SelectorText = Field(
        description="Name below _domainkey where the public key is published (RFC 6376 section 3.1), such as s2026a."
    )
    algorithm: Literal["RSA", "Ed25519"] = Field(
        default="RSA", description="RSA (2048 bit, which everybody verifies) or Ed25519 (RFC 8463)."
    )
    secret_ref: KeyRef | None = Field(
        default=None,
        description="Where your own private key is, PEM. Without it the operator generates one into the Secret "
        "<name of the DkimKey>-dkim.",
    )
    deletion_policy: DeletionPolicy = Field(
        default="Retain",
        description="What becomes of the generated key when the DkimKey is deleted: Retain keeps its Secret, and a "
        "DkimKey of this name made later has the same key; Delete removes it.",
    )


class DkimKeyStatus(Status):
    """What became of the key."""

    secret_name: str = Field(default="", description="Secret that holds the private key.")
    dns_record: DnsRecord | None = Field(default=None, description="The TXT record to publish for this key.")


class DkimKey(Resource):
    """A key that signs mail of a domain. A MailDomain without any gets generated ones."""

    SPEC: ClassVar[type[Model]] = DkimKeySpec
    STATUS: ClassVar[type[Status]] = DkimKeyStatus
    INFO: ClassVar[KindInfo] = KindInfo(
        kind="DkimKey",
        plural="dkimkeys",
        short_names=("dkim",),
        columns=(
            Column("Domain", ".spec.domain", "Domain whose mail is signed."),
            Column("Selector", ".spec.selector", "Name below _domainkey."),
            Column("Algorithm", ".spec.algorithm", "RSA or Ed25519."),
            READY,
            condition_column("Published", "DNSReady", "Whether DNS answers with this key."),
            REASON,
            MESSAGE,
            AGE,
        ),
        selectable=(".spec.domain", ".spec.selector"),
    )

    spec: DkimKeySpec = Field(
        json_schema_extra=ruled(
            Rule("self.domain == oldSelf.domain", "the domain cannot be changed: make a new DkimKey", ".domain"),
            Rule(
                "self.selector == oldSelf.selector", "the selector cannot be changed: make a new DkimKey", ".selector"
            ),
            Rule(
                "(has(self.algorithm) ? self.algorithm : 'RSA') == "
                "(has(oldSelf.algorithm) ? oldSelf.algorithm : 'RSA')",
                "the algorithm cannot be changed: make a new DkimKey with another selector",
                ".algorithm",
            ),
        )
    )
