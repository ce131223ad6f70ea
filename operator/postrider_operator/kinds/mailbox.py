"""Mailbox: one account with its address, its password, and how its mail is kept."""

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
    Resource,
    Rule,
    Status,
    ruled,
)
from postrider_operator.kinds.texts import AddressText


class PasswordRef(Model):
    """Names the entry of a Secret that holds the password."""

    name: str = Field(description="Name of a Secret in the same namespace.", min_length=1, max_length=253)
    key: str = Field(default="password", description="Key within the Secret's data.", min_length=1, max_length=253)


class MailboxSpec(Keeping):
    """What is wanted of a mailbox. Only the address is required."""

    address: AddressText = Field(
        description="The mail address, such as alice@example.org. The mailbox belongs to the MailDomain after the @. "
        "It cannot be changed: make a new Mailbox and an Alias for the old address instead."
    )
    display_name: str = Field(
        default="", description="The user's name as people read it, such as Alice Arnold.", max_length=256
    )
    password_secret_ref: PasswordRef | None = Field(
        default=None,
        description="Where the password is: clear text, or a hash (argon2, bcrypt, PBKDF2). Without it the operator "
        "generates a password into the Secret <name of the Mailbox>-password with the keys username, password and "
        "host. A changed Secret is a changed password within seconds.",
    )
    deletion_policy: DeletionPolicy = Field(
        default="Retain",
        description="What becomes of the mail and the generated password Secret when the Mailbox is deleted: Retain "
        "keeps both for a Mailbox of this name and address made later; Delete removes them, the mail when the "
        "undelete window has passed and never under legal hold.",
    )


class MailboxStatus(Status):
    """What became of the mailbox."""

    secret_name: str = Field(default="", description="Secret that holds the login: username, password, host.")


class Mailbox(Resource):
    """An account that receives, keeps and sends mail; one may log in with its address and password."""

    SPEC: ClassVar[type[Model]] = MailboxSpec
    STATUS: ClassVar[type[Status]] = MailboxStatus
    INFO: ClassVar[KindInfo] = KindInfo(
        kind="Mailbox",
        plural="mailboxes",
        short_names=("mbx",),
        columns=(
            Column("Address", ".spec.address", "The mail address."),
            READY,
            REASON,
            Column("Quota", ".spec.quota", "How much mail it may hold.", priority=1),
            Column("Secret", ".status.secretName", "Secret that holds the login.", priority=1),
            MESSAGE,
            AGE,
        ),
        selectable=(".spec.address",),
    )

    spec: MailboxSpec = Field(
        json_schema_extra=ruled(
            Rule(
                "self.address == oldSelf.address",
                "the address cannot be changed: make a new Mailbox, and an Alias for the old address",
                ".address",
            )
        )
    )
