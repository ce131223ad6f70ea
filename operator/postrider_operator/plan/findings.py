"""What is wrong with declared objects, collected while planning and told in their statuses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from postrider_operator.world import Ref

#: Reason of what the operator and the pods are busy with themselves: it passes within seconds, nobody need act.
BUSY = "Progressing"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with one object."""

    #: A condition's reason, CamelCase.
    reason: str
    #: What is wrong.
    message: str
    #: What to do about it.
    action: str = ""
    #: It mends itself when something else arrives (Reconciling); else somebody must act (Stalled).
    waits: bool = False
    #: The object does not serve as declared; False for a mere warning.
    blocks: bool = True

    def __str__(self) -> str:
        """The message as people read it."""
        said = self.message.rstrip(".") + "."
        first = said.split(" ", 1)[0]
        if not set(first) & set("@./-_*"):  # a name stays as it is
            said = said[:1].upper() + said[1:]
        return f"{said} {self.action}".strip()


def busy(message: str) -> Finding:
    """A finding for what the operator itself is at."""
    return Finding(BUSY, message, waits=True)


@dataclass(slots=True)
class Findings:
    """Findings by object; the first blocking one of an object is the one that is told."""

    _rows: dict[Ref, list[Finding]] = field(default_factory=dict)

    def add(self, ref: Ref, finding: Finding) -> None:
        """Note a finding; the same twice is one."""
        rows = self._rows.setdefault(ref, [])
        if finding not in rows:
            rows.append(finding)

    def blocking(self, ref: Ref) -> Finding | None:
        """The first finding that keeps the object from serving as declared."""
        return next((row for row in self._rows.get(ref, ()) if row.blocks), None)

    def warnings(self, ref: Ref) -> tuple[Finding, ...]:
        """What should be mended though the object serves."""
        return tuple(row for row in self._rows.get(ref, ()) if not row.blocks)

    def __iter__(self) -> Iterator[tuple[Ref, Finding]]:
        return ((ref, row) for ref, rows in self._rows.items() for row in rows)
