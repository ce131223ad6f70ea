"""How much mail mailboxes may hold and how long it is kept: said for one, for a domain, for a server."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from postrider_operator.kinds.resource import Model, Rule, ruled
from postrider_operator.kinds.texts import SizeText

# Whole days: what is removed unasked is never younger than one (contract.policy has the same limits).
_SPAN = Rule(
    r"self.matches(r'^(0[smhd]|[1-9][0-9]{0,3}d)$')",
    "mail is removed after a number of days, for example 30d; 0d keeps it",
)
_WINDOW = Rule(
    r"self.matches(r'^(0[smhd]|[1-9][0-9]{0,3}[dh]|[1-9][0-9]{0,5}[ms])$')",
    "a number with d, h, m or s, for example 7d; 0d is none",
)

SpanText = Annotated[str, Field(min_length=1, max_length=8, json_schema_extra=ruled(_SPAN))]
WindowText = Annotated[str, Field(min_length=1, max_length=8, json_schema_extra=ruled(_WINDOW))]
Percent = Annotated[int, Field(ge=1, le=100)]


class Retention(Model):
    """When mail is removed from folders with a special use (RFC 6154); a folder that is not named keeps its mail."""

    archive: SpanText | None = Field(default=None, description="Days that mail stays in the archive.")
    drafts: SpanText | None = Field(default=None, description="Days that drafts stay.")
    junk: SpanText | None = Field(default=None, description="Days that junk stays, such as 30d.")
    sent: SpanText | None = Field(default=None, description="Days that copies of sent mail stay.")
    trash: SpanText | None = Field(default=None, description="Days that mail stays in the trash, such as 30d.")


class Keeping(Model):
    """How much mail a mailbox may hold and how long it is kept."""

    quota: SizeText | None = Field(
        default=None,
        description="How much mail a mailbox may hold, such as 5Gi; 0 is no limit. Where it is not said, what the "
        "MailDomain, then the MailServer says.",
    )
    when_full: Literal["Defer", "Reject"] | None = Field(
        default=None,
        description="What senders hear when a mailbox, or its domain, is full: Defer (452 4.2.2, they try again for "
        "some days) or Reject (552 5.2.2, they are told at once). Defer where nobody says anything.",
    )
    quota_warnings: tuple[Percent, ...] | None = Field(
        default=None,
        description="Percentages of the quota at which the user is sent a warning, once at each; an empty list is "
        "none. 80 and 95 where nobody says anything.",
        max_length=5,
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    undelete: WindowText | None = Field(
        default=None,
        description="How long expunged mail can be brought back (postrider-server undelete), such as 7d; after that "
        "it is removed for good. 0d removes it at once. 7d where nobody says anything.",
    )
    retention: Retention = Field(
        default=Retention(),
        description="When mail is removed from folders such as the trash, counted from when it came there. What is "
        "removed can still be brought back within the undelete window.",
    )
    legal_hold: bool = Field(
        default=False,
        description="Nothing is removed for good: neither after the undelete window or a retention nor with "
        "deletionPolicy Delete. A mailbox is held when it, its MailDomain or its MailServer says so.",
    )
