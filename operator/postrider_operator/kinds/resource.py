"""What all kinds have in common: metadata, conditions, and what the CRD says beside the schema."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

GROUP = "postrider.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"


class Model(BaseModel):
    """A frozen part of a resource; camelCase outside, unknown fields are ignored (the schema refuses them)."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore")


@dataclass(frozen=True, slots=True)
class Rule:
    """One x-kubernetes-validations entry: a CEL expression that must hold, and what to say when it does not.

    CEL has no raw backslashes to spare: write patterns as r'...' and quotes in them as \\x27 and \\x22.
    """

    rule: str
    message: str
    #: The field the message is about, relative to where the rule stands: ".address".
    field: str = ""

    def entry(self) -> dict[str, str]:
        """The rule as the CRD has it."""
        entry = {"rule": self.rule, "message": self.message}
        return entry | ({"fieldPath": self.field} if self.field else {})


def ruled(*rules: Rule, **schema: Any) -> dict[str, Any]:
    """json_schema_extra for a field or model with CEL rules and other schema keywords."""
    entries: dict[str, Any] = {"x-kubernetes-validations": [rule.entry() for rule in rules]} if rules else {}
    return entries | schema


@dataclass(frozen=True, slots=True)
class Column:
    """A printer column of `kubectl get`; `priority` 1 shows with -o wide only."""

    name: str
    path: str
    description: str
    type: str = "string"
    priority: int = 0


def condition_column(name: str, condition: str, description: str, priority: int = 0) -> Column:
    """A column that shows a condition's status."""
    return Column(name, f'.status.conditions[?(@.type=="{condition}")].status', description, priority=priority)


READY = condition_column("Ready", "Ready", "Whether the servers have loaded it as it is now.")
REASON = Column(
    "Reason", '.status.conditions[?(@.type=="Ready")].reason', "Why it is ready or not, in one word.", priority=0
)
MESSAGE = Column(
    "Message", '.status.conditions[?(@.type=="Ready")].message', "Why it is ready or not, and what to do.", priority=1
)
AGE = Column("Age", ".metadata.creationTimestamp", "Time since it was created.", type="date")


@dataclass(frozen=True, slots=True)
class KindInfo:
    """What the CRD says of a kind beside its schema."""

    kind: str
    plural: str
    short_names: tuple[str, ...]
    columns: tuple[Column, ...]
    selectable: tuple[str, ...] = ()
    #: CEL rules on the whole object.
    rules: tuple[Rule, ...] = ()
    #: JSON paths of replicas in spec and status, for the scale subresource.
    scale: tuple[str, str] | None = None


class Metadata(Model):
    """The part of ObjectMeta that planning needs."""

    name: str
    namespace: str = "default"
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    creation_timestamp: str = ""
    deletion_timestamp: str = ""
    annotations: Mapping[str, str] = {}
    labels: Mapping[str, str] = {}
    finalizers: tuple[str, ...] = ()


class Condition(Model):
    """One observation about the object, as metav1.Condition."""

    type: str = Field(description="Name of the condition, such as Ready.", max_length=316)
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it holds.")
    observed_generation: int = Field(
        default=0,
        ge=0,
        description="metadata.generation the condition speaks of.",
        json_schema_extra={"format": "int64"},
    )
    last_transition_time: str = Field(
        description="When the status last went over to another value.", json_schema_extra={"format": "date-time"}
    )
    reason: str = Field(
        description="Why, in one word for programs.",
        min_length=1,
        max_length=1024,
        pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
    )
    message: str = Field(description="Why, and what to do about it, for people.", max_length=32768)


class Status(Model):
    """What the operator found, written by nobody else."""

    observed_generation: int = Field(
        default=0, description="metadata.generation this status speaks of.", json_schema_extra={"format": "int64"}
    )
    conditions: tuple[Condition, ...] = Field(
        default=(),
        description="What holds and what does not; each says in its message what to do.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    config_generation: int = Field(
        default=0,
        description="Generation of the published configuration in which this object last changed, once it is served.",
        json_schema_extra={"format": "int64"},
    )


class Reference(Model):
    """Names another object in the same namespace."""

    name: str = Field(description="Name of the object, in the same namespace.", min_length=1, max_length=253)


class Resource(Model):
    """One object of our group. `status` is kept as it was read: it is compared with, never planned from."""

    INFO: ClassVar[KindInfo]
    #: The models the CRD's schema is made of.
    SPEC: ClassVar[type[Model]]
    STATUS: ClassVar[type[Status]]
    SPEC_REQUIRED: ClassVar[bool] = True

    metadata: Metadata
    status: Mapping[str, Any] = {}

    @property
    def name(self) -> str:
        """metadata.name."""
        return self.metadata.name

    @property
    def deleting(self) -> bool:
        """Whether deletion was asked for; such an object only lives until its finalizers are gone."""
        return bool(self.metadata.deletion_timestamp)

    def condition(self, type_: str) -> Mapping[str, Any]:
        """The condition of this type in the status as it was read; {} when there is none."""
        return next((c for c in self.status.get("conditions", ()) if c.get("type") == type_), {})


DeletionPolicy = Literal["Retain", "Delete"]
