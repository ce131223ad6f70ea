"""Where and how a MailServer keeps mail: its volume, what bodies are written to, the keys they are encrypted with."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from postrider_operator.kinds.resource import Model, Rule, ruled
from postrider_operator.kinds.texts import SomeSizeText

_ID = Rule(
    r"self.matches(r'^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$')",
    "an id is up to 63 letters, digits, dots, underscores and hyphens, a letter or digit at both ends",
)
_ONCE = Rule("self.all(one, self.exists_one(other, other.id == one.id))", "two keys have the same id")


class KeySecretRef(Model):
    """Names the entry of a Secret that holds the key."""

    name: str = Field(description="Name of a Secret in the same namespace.", min_length=1, max_length=253)
    key: str = Field(default="key", description="Key within the Secret's data.", min_length=1, max_length=253)


class StorageKey(Model):
    """One key, by the id that stands in what it wrapped."""

    id: Annotated[str, Field(min_length=1, max_length=63, json_schema_extra=ruled(_ID))] = Field(
        description="What the key is called from now on, such as 2026a. Another key needs another id."
    )
    key_secret_ref: KeySecretRef = Field(
        description="Where the key is: 32 random bytes, as they are or in base64 (openssl rand -base64 32). Without "
        "it nobody can read the mail again: keep a copy in another place."
    )


class Encryption(Model):
    """Mail is encrypted before it reaches the volume; each mailbox has a key of its own, wrapped with these."""

    keys: tuple[StorageKey, ...] = Field(
        description="The newest first: it wraps the mailboxes' keys, all of them unwrap. To rotate, put a new one in "
        "front; take an old one out when nothing is wrapped with it any more.",
        min_length=1,
        max_length=16,
        json_schema_extra=ruled(_ONCE, **{"x-kubernetes-list-type": "atomic"}),
    )


class Storage(Model):
    """The volume that holds all mail. It outlives the MailServer unless deletionPolicy says otherwise."""

    size: SomeSizeText = Field(default="10Gi", description="How large the volume is; it may grow, never shrink.")
    class_name: str | None = Field(
        default=None,
        description="StorageClass of the volume; the cluster's default where it is not said. It cannot be changed.",
        max_length=253,
    )
    blobs: Literal["packs", "maildir"] = Field(
        default="packs",
        description="What bodies of messages are written to: packs (large files, fastest) or maildir (a file each, in "
        "DOMAIN/USER/ as other programs know it). Decided when the volume is first used; it cannot be changed.",
    )
    encryption: Encryption | None = Field(
        default=None,
        description="Encryption at rest; without it mail lies on the volume as it came. It can be switched on, never "
        "off: what was encrypted needs its keys.",
    )


#: Rules on a whole spec: what a volume is cannot be changed, and the field that says it may be left out.
STORAGE_RULES = (
    Rule(
        "(has(self.storage) && has(self.storage.className) ? self.storage.className : '') == "
        "(has(oldSelf.storage) && has(oldSelf.storage.className) ? oldSelf.storage.className : '')",
        "the class cannot be changed: move the mail to a new MailServer",
        ".storage.className",
    ),
    Rule(
        "(has(self.storage) && has(self.storage.blobs) ? self.storage.blobs : 'packs') == "
        "(has(oldSelf.storage) && has(oldSelf.storage.blobs) ? oldSelf.storage.blobs : 'packs')",
        "what bodies are written to cannot be changed: move the mail to a new MailServer",
        ".storage.blobs",
    ),
    Rule(
        "!(has(oldSelf.storage) && has(oldSelf.storage.encryption)) || "
        "(has(self.storage) && has(self.storage.encryption))",
        "encryption cannot be switched off: move the mail to a new MailServer",
        ".storage.encryption",
    ),
    Rule(
        "!(has(self.storage) && has(self.storage.encryption) && has(self.storage.blobs) && "
        "self.storage.blobs == 'maildir')",
        "mail in files for other programs (blobs: maildir) cannot be encrypted",
        ".storage.encryption",
    ),
)
