"""Alias: an address that stands for others."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from postrider_operator.kinds.resource import (
    AGE,
    MESSAGE,
    READY,
    REASON,
    Column,
    KindInfo,
    Model,
    Resource,
    Rule,
    Status,
    ruled,
)
from postrider_operator.kinds.texts import AliasAddressText, TargetText


class AliasSpec(Model):
    """What is wanted of an alias: an address and where its mail goes."""

    address: AliasAddressText = Field(
        description="The address, such as sales@example.org; *@example.org takes all mail for addresses of the domain "
        "that nothing else takes (the catch-all). It cannot be changed."
    )
    targets: tuple[TargetText, ...] = Field(
        description="Addresses that receive the mail: mailboxes, other aliases or addresses anywhere else.",
        min_length=1,
        max_length=500,
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )


class Alias(Resource):
    """An address that hands its mail on to one or more others."""

    SPEC: ClassVar[type[Model]] = AliasSpec
    STATUS: ClassVar[type[Status]] = Status
    INFO: ClassVar[KindInfo] = KindInfo(
        kind="Alias",
        plural="aliases",
        short_names=("mailalias",),
        columns=(
            Column("Address", ".spec.address", "The address."),
            Column("Targets", ".spec.targets", "Who receives its mail."),
            READY,
            REASON,
            MESSAGE,
            AGE,
        ),
        selectable=(".spec.address",),
    )

    spec: AliasSpec = Field(
        json_schema_extra=ruled(
            Rule("self.address == oldSelf.address", "the address cannot be changed: make a new Alias", ".address")
        )
    )
