"""One piece of work in a thread, whose result is taken when it is there."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any


class Aside:
    """Work of the writer that may take its time. One at a time."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._thread: threading.Thread | None = None
        self._result: Any = None
        self._error: Exception | None = None

    @property
    def running(self) -> bool:
        """Whether there is no result yet."""
        return self._thread is not None and self._thread.is_alive()

    def start(self, work: Callable[[], object]) -> None:
        """Begin."""
        self._result = self._error = None
        self._thread = threading.Thread(target=self._run, args=(work,), name=self._name, daemon=True)
        self._thread.start()

    def take(self) -> Any:
        """What it returned. Raises what it raised."""
        self.join()
        if self._error is not None:
            raise self._error
        return self._result

    def join(self) -> None:
        """Wait until it is done."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self, work: Callable[[], object]) -> None:
        try:
            self._result = work()
        except Exception as error:
            self._error = error
