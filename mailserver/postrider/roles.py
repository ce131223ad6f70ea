"""The table of roles and of the listeners they bring; which of them a process group runs is a flag."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


class Role(enum.StrEnum):
    """What a process group does. Roles never call each other; they meet in the store."""

    MX = "mx"
    SUBMISSION = "submission"
    IMAP = "imap"
    QUEUE = "queue"


class Tls(enum.Enum):
    """How a listener comes to TLS."""

    START = "STARTTLS"
    IMPLICIT = "implicit"  # RFC 8314 §3
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Listener:
    """One row: the port the world knows, and the one a process without privileges takes in a pod."""

    well_known: int
    unprivileged: int
    tls: Tls
    #: None: the supervisor's own (probes, metrics), there whatever the roles are.
    role: Role | None


LISTENERS: Mapping[str, Listener] = {
    "smtp": Listener(25, 2525, Tls.START, Role.MX),
    "submission": Listener(587, 2587, Tls.START, Role.SUBMISSION),
    "submissions": Listener(465, 2465, Tls.IMPLICIT, Role.SUBMISSION),
    "imap": Listener(143, 2143, Tls.START, Role.IMAP),
    "imaps": Listener(993, 2993, Tls.IMPLICIT, Role.IMAP),
    "health": Listener(80, 8080, Tls.NONE, None),
    "metrics": Listener(90, 9090, Tls.NONE, None),
}

#: `--ports` values that are no number.
UNPRIVILEGED, AUTO = "unprivileged", "auto"


def ports(scheme: str, roles: Sequence[Role]) -> dict[str, int]:
    """Listener names to ports: "unprivileged", "auto" (0: the system chooses) or BASE, added to the well-known ones.

    Raises ValueError when the scheme is none of these or a port would lie beyond 65535.
    """
    chosen = {name: row for name, row in LISTENERS.items() if row.role is None or row.role in roles}
    if scheme == UNPRIVILEGED:
        return {name: row.unprivileged for name, row in chosen.items()}
    if scheme == AUTO:
        return dict.fromkeys(chosen, 0)
    highest = 65535 - max(row.well_known for row in chosen.values())
    if not scheme.isascii() or not scheme.isdigit() or int(scheme) > highest:
        raise ValueError(f"ports: {scheme!r} is neither {UNPRIVILEGED!r}, {AUTO!r} nor a number up to {highest}")
    return {name: int(scheme) + row.well_known for name, row in chosen.items()}
