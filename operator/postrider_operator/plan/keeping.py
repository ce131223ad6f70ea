"""How much mail is kept and how long, as rows of the contract have it."""

from __future__ import annotations

from typing import Any

from postrider.contract.model import SPECIAL_USES, Policy, Retention
from postrider_operator.kinds.keeping import Keeping
from postrider_operator.kinds.texts import duration_seconds, size_bytes


def fields(keeping: Keeping) -> dict[str, Any]:
    """The fields of contract.model.Policy that something is said of; the others keep their defaults."""
    spans = {use: span for use in SPECIAL_USES if (span := getattr(keeping.retention, use)) is not None}
    said = {
        "quota_bytes": None if keeping.quota is None else size_bytes(keeping.quota),
        "when_full": None if keeping.when_full is None else keeping.when_full.lower(),
        "quota_warnings": keeping.quota_warnings,
        "undelete": None if keeping.undelete is None else duration_seconds(keeping.undelete),
        "retention": Retention(**{use: duration_seconds(span) for use, span in spans.items()}) if spans else None,
        "legal_hold": keeping.legal_hold or None,
    }
    return {name: value for name, value in said.items() if value is not None}


def defaults(keeping: Keeping) -> dict[str, Any]:
    """The field `mailboxes` of a domain or server, where anything is said."""
    said = fields(keeping)
    return {"mailboxes": Policy(**said)} if said else {}
