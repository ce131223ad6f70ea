"""What the operator is told from outside: one table of settings, each a flag and an environment variable."""

from __future__ import annotations

import argparse
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from postrider_operator.lookups import nameserver

#: Every setting NAME is also read from the environment as POSTRIDER_NAME.
PREFIX = "POSTRIDER_"


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _secrets(text: str) -> str:
    if text not in ("watch", "get"):
        raise argparse.ArgumentTypeError("must be 'watch' or 'get'")
    return text


def _nameservers(text: str) -> tuple[str, ...]:
    for name in _names(text):
        try:
            nameserver(name)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{name!r} is not the address of a DNS server: {error}") from error
    return _names(text)


def _place(text: str) -> str:
    port = text.rpartition(":")[2]
    if ":" not in text or not port.isdecimal() or int(port) > 65535:
        raise argparse.ArgumentTypeError("must be an address and a port, such as 0.0.0.0:8081")
    return text


def _above_zero(number: type[int] | type[float]) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            value = number(text)
        except ValueError:
            value = number(0)
        if not 0 < value < float("inf"):
            raise argparse.ArgumentTypeError(f"must be a number above 0, not {text!r}")
        return value

    return parse


def _level(text: str) -> str:
    if text not in ("debug", "info", "warning", "error"):
        raise argparse.ArgumentTypeError("must be debug, info, warning or error")
    return text


def _switch(text: str) -> bool:
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if text.lower() not in words:
        raise argparse.ArgumentTypeError("must be true or false")
    return words[text.lower()]


def _setting(default: Any, help_: str, parse: Any = str) -> Any:
    return field(default=default, metadata={"help": help_, "parse": parse})


@dataclass(frozen=True, slots=True)
class Settings:
    """The operator's settings; the defaults suit a Deployment made by the chart."""

    namespaces: tuple[str, ...] = _setting((), "namespaces to serve, comma-separated; empty: all", _names)
    secrets: str = _setting(
        "watch", "'watch': changed Secrets are served in seconds; 'get': no right to list, seen at a resync", _secrets
    )
    server_image: str = _setting("postrider-server:0.1.0", "image of the mail server's pods")
    server_image_pull_policy: str = _setting("IfNotPresent", "pull policy of the mail server's image")
    server_image_pull_secrets: tuple[str, ...] = _setting((), "pull Secrets of the mail server's pods", _names)
    operator_namespace: str = _setting("postrider", "namespace of the operator: its Lease, and who may ask pods")
    identity: str = _setting("", "name of this replica in the Lease; empty: the host's name")
    leader_election: bool = _setting(True, "whether replicas elect one that acts", _switch)
    lease_name: str = _setting("postrider-operator", "name of the Lease")
    http: str = _setting("0.0.0.0:8081", "address and port of /livez, /readyz and /metrics", _place)
    nameservers: tuple[str, ...] = _setting(
        (), "DNS servers (host or host:port) asked for published records", _nameservers
    )
    dns_seconds: float = _setting(
        300.0, "seconds between two checks of a domain's published records", _above_zero(float)
    )
    dns_rate: float = _setting(20.0, "DNS questions a second, at most", _above_zero(float))
    resync_seconds: float = _setting(600.0, "seconds between two full looks at every MailServer", _above_zero(float))
    connections: int = _setting(12, "parallel requests to the API server", _above_zero(int))
    status_port: int = _setting(8080, "port of the mail server's /status", _above_zero(int))
    log_level: str = _setting("info", "debug, info, warning or error", _level)


def read(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> Settings:
    """Settings from flags, else the environment, else the defaults. Wrong ones end the program with a clear text."""
    parser = argparse.ArgumentParser(prog="postrider-operator", description="The control plane of Postrider.")
    for row in fields(Settings):
        variable = PREFIX + row.name.upper()
        parser.add_argument(
            "--" + row.name.replace("_", "-"),
            type=row.metadata["parse"],
            default=environment.get(variable, row.default),
            help=f"{row.metadata['help']} [${variable}]",
        )
    values = vars(parser.parse_args(arguments))
    values["identity"] = values["identity"] or socket.gethostname()
    return Settings(**values)
