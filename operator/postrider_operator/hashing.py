"""Verifiers of passwords, made in threads and remembered while their Secret stays as it is."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from postrider.contract import passwords
from postrider_operator import material
from postrider_operator.plan.secrets import Password

log = logging.getLogger(__name__)

Key = tuple[str, str]


class Changed(Protocol):
    """Is told that there are new verifiers for a MailServer."""

    def __call__(self, key: Key, after: float | None = None) -> None:
        """Plan again soon, or in `after` seconds."""
        ...


#: Seconds a plan waits for hashes, and for how many; those that take longer are in a later one.
PATIENCE, FEW = 1.5, 20
#: Seconds between two plans while many are being made.
BY_AND_BY = 5.0
#: Threads, at most: an argon2 hash takes 19 MiB while it is made.
THREADS = 2


class Hashing:
    """Makes verifiers; a few passwords are waited for, thousands come in by and by."""

    def __init__(self, changed: Changed) -> None:
        self._changed = changed
        self._pool = ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1), "argon2")
        self._made: dict[str, tuple[str, ...]] = {}
        self._making: dict[str, asyncio.Task[None]] = {}
        self._wanted: dict[Key, frozenset[str]] = {}

    def made(self, key: Key) -> Mapping[str, tuple[str, ...]]:
        """Verifiers that were made for a MailServer and are not in its last snapshot yet: source -> verifiers."""
        return {s: self._made[s] for s in self._wanted.get(key, ()) if s in self._made}

    async def make(self, key: Key, wanted: Iterable[Password]) -> None:
        """Have just these made for a MailServer, and wait a little; verifiers nobody wants any more are forgotten."""
        missing = {password.source: password for password in wanted}
        self._wanted[key] = frozenset(missing)
        needed = frozenset[str]().union(*self._wanted.values())
        self._made = {source: found for source, found in self._made.items() if source in needed}
        for source, password in missing.items():
            if source in self._made or source in self._making:
                continue
            if _is_quick(password):
                self._made[source] = material.verifiers(password)
            else:
                self._making[source] = asyncio.create_task(self._hash(password))
        tasks = [self._making[source] for source in missing if source in self._making]
        if 0 < len(tasks) <= FEW:
            await asyncio.wait(tasks, timeout=PATIENCE)

    def close(self) -> None:
        """Stop."""
        for task in self._making.values():
            task.cancel()
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _hash(self, password: Password) -> None:
        loop = asyncio.get_running_loop()
        try:
            made = await loop.run_in_executor(self._pool, material.verifiers, password)
        except ValueError as error:
            log.error("password not hashed", extra={"source": password.source, "error": str(error)})
            return
        finally:
            del self._making[password.source]
        self._made[password.source] = made
        for key in [key for key, wanted in self._wanted.items() if password.source in wanted]:
            self._changed(key, BY_AND_BY if self._making else None)


def _is_quick(password: Password) -> bool:
    """Whether it takes microseconds, and so need not wait behind others."""
    return password.generated or passwords.is_hash(password.text)
