"""Counts of what a user wrote, read from the API server's audit log."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})


@dataclass(frozen=True)
class Write:
    """One write request that was answered."""

    user: str
    verb: str
    resource: str
    namespace: str
    name: str
    code: int


@dataclass
class Audit:
    """The log file; `mark` remembers where it ends, `writes` tells what has been added since."""

    path: Path

    def mark(self) -> int:
        """The present end of the log."""
        return self.path.stat().st_size

    def writes(self, user: str, since: int = 0, ignore: tuple[str, ...] = ()) -> list[Write]:
        """Writes of a user since a mark; `ignore` names resources such as `leases` (subresources: `pods/status`)."""
        with self.path.open("rb") as log:
            log.seek(since)
            found = [_write(line) for line in log if line.endswith(b"\n")]
        return [
            write for write in found if write.user == user and write.verb in WRITES and write.resource not in ignore
        ]

    def count(self, user: str, since: int = 0, ignore: tuple[str, ...] = ()) -> Counter[tuple[str, str]]:
        """The same as numbers by verb and resource."""
        return Counter((write.verb, write.resource) for write in self.writes(user, since, ignore))


def _write(line: bytes) -> Write:
    event = json.loads(line)
    target = event.get("objectRef", {})
    resource = "/".join(part for part in (target.get("resource", ""), target.get("subresource", "")) if part)
    code = event.get("responseStatus", {}).get("code", 0)
    user = event["user"]["username"]
    return Write(user, event["verb"], resource, target.get("namespace", ""), target.get("name", ""), code)
