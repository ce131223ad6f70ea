"""Whether an object is still as we applied it: every value we name has it, whatever else others have put beside."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)(m|k|Ki|M|Mi|G|Gi|T|Ti|P|Pi)?")
_UNITS = {"m": Decimal("0.001"), None: Decimal(1)} | {
    prefix: Decimal(base) ** (power + 1)
    for base, prefixes in ((1000, ("k", "M", "G", "T", "P")), (1024, ("Ki", "Mi", "Gi", "Ti", "Pi")))
    for power, prefix in enumerate(prefixes)
}


def holds(live: Any, wanted: Any) -> bool:
    """Whether `live` has everything `wanted` says; the API server adds defaults and leaves out what is empty."""
    if isinstance(wanted, dict):
        found = live if isinstance(live, dict) else {}
        return (live is None or isinstance(live, dict)) and all(holds(found.get(key), wanted[key]) for key in wanted)
    if isinstance(wanted, list):
        found_rows = live if isinstance(live, list) else []
        return len(found_rows) == len(wanted) and all(map(holds, found_rows, wanted))
    return live == wanted or (live is None and wanted in ("", None)) or _same_quantity(live, wanted)


def as_applied(live: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """`holds` for whole objects; a resourceVersion in `wanted` is a precondition and no wish."""
    metadata = {key: value for key, value in wanted["metadata"].items() if key != "resourceVersion"}
    return holds(live, {**wanted, "metadata": metadata})


def _same_quantity(live: Any, wanted: Any) -> bool:
    """Whether two texts are one amount: the API server writes 1024Mi as 1Gi."""
    if not isinstance(live, str) or not isinstance(wanted, str):
        return False
    one, other = _QUANTITY.fullmatch(live), _QUANTITY.fullmatch(wanted)
    if one is None or other is None:
        return False
    return Decimal(one[1]) * _UNITS[one[2]] == Decimal(other[1]) * _UNITS[other[2]]
