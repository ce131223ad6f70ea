"""Probes of a played container: HTTP, TCP and exec, at the pod's own periods and thresholds."""

import http.client
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

from kube.api import Object

Exec = Callable[[list[str], float], int]


@dataclass
class Probe:
    """One probe of a container: `state` turns after as many answers in a row as the thresholds ask for."""

    spec: Object
    container: Object
    address: str
    run: Exec
    state: bool = False
    streak: int = 0
    due: float = 0.0

    def begin(self, state: bool) -> None:
        """The container has started; the first question comes after the initial delay."""
        self.state, self.streak = state, 0
        self.due = time.monotonic() + self.spec.get("initialDelaySeconds", 0)

    def poll(self) -> bool:
        """Asks when it is time to; whether the state is good."""
        now = time.monotonic()
        if now < self.due:
            return self.state
        self.due = now + self.spec.get("periodSeconds", 10)
        good = self._ask()
        self.streak = self.streak + 1 if good != self.state else 0
        needed = self.spec.get("successThreshold", 1) if good else self.spec.get("failureThreshold", 3)
        if self.streak >= needed:
            self.state, self.streak = good, 0
        return self.state

    def _ask(self) -> bool:
        timeout = float(self.spec.get("timeoutSeconds", 1))
        try:
            if "httpGet" in self.spec:
                return self._http(self.spec["httpGet"], timeout)
            if "tcpSocket" in self.spec:
                port = self._port(self.spec["tcpSocket"]["port"])
                socket.create_connection((self.address, port), timeout).close()
                return True
            return self.run(self.spec["exec"]["command"], timeout) == 0
        except (OSError, http.client.HTTPException, subprocess.TimeoutExpired):
            return False

    def _http(self, wanted: Object, timeout: float) -> bool:
        connection = http.client.HTTPConnection(self.address, self._port(wanted["port"]), timeout=timeout)
        try:
            connection.request("GET", wanted.get("path", "/"))
            return 200 <= connection.getresponse().status < 400
        finally:
            connection.close()

    def _port(self, port: int | str) -> int:
        if isinstance(port, int):
            return port
        return next(int(row["containerPort"]) for row in self.container["ports"] if row.get("name") == port)
