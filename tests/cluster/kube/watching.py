"""Follows a collection of the API in a thread: every object it holds, then every change."""

import threading
from collections.abc import Callable

from kube.api import Api, ApiError, Object

Handle = Callable[[str, Object], None]


class Watch:
    """Calls `handle(event, object)` for each ADDED, MODIFIED and DELETED until stopped."""

    def __init__(self, api: Api, path: str, handle: Handle) -> None:
        self.api, self.path, self.handle = api, path, handle
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._follow, name=f"watch {path}", daemon=True)

    def start(self) -> None:
        """Begins to follow."""
        self.thread.start()

    def stop(self) -> None:
        """No event after the one being handled; the thread ends with its connection."""
        self.stopping.set()

    def _follow(self) -> None:
        while not self.stopping.is_set():
            try:
                self._once()
            except (OSError, ApiError):
                if not self.stopping.is_set():  # the cluster is not being taken down: this is a fault to be seen
                    raise

    def _once(self) -> None:
        listed = self.api.get(self.path)
        for item in listed["items"]:
            self.handle("ADDED", item)
        for event in self.api.watch(self.path, listed["metadata"]["resourceVersion"]):
            if self.stopping.is_set() or event["type"] == "ERROR":
                return
            self.handle(event["type"], event["object"])
