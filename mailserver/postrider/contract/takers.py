"""Who takes the mail of an address: the one rule that check, the directory and routing share. Pure.

In this order: the address itself; the address without its detail (`user+detail`); the domain's catch-all
(`*@domain`); and for postmaster, which every domain has (RFC 5321 §4.5.1), somebody who is there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from postrider.contract.model import Alias, Domain, Mailbox, Server
from postrider.model.address import Address, AddressError, normal_domain, normal_local, parse_address

CATCH_ALL = "*"
_POSTMASTER = "postmaster"

_V = TypeVar("_V")


@dataclass(frozen=True, slots=True)
class Taken:
    """A row that takes an address. `detail` is what followed the separator, as it was written."""

    row: Mailbox | Alias
    detail: str = ""


class Takers:
    """Look-ups over rows whose addresses are in normal form and claimed once; of competing rows the first counts."""

    def __init__(
        self, server: Server, domains: Iterable[Domain], mailboxes: Iterable[Mailbox], aliases: Iterable[Alias]
    ) -> None:
        self.domains: Mapping[str, Domain] = _first((domain.name, domain) for domain in domains)
        self.mailboxes: Mapping[str, Mailbox] = _first((mailbox.address, mailbox) for mailbox in mailboxes)
        self.aliases: Mapping[str, Alias] = _first((alias.address, alias) for alias in aliases)
        self._postmaster = server.postmaster
        self._eldest: dict[str, Mailbox] = {}
        for mailbox in sorted(self.mailboxes.values(), key=_age):
            self._eldest.setdefault(mailbox.address.rpartition("@")[2], mailbox)
            self._eldest.setdefault("", mailbox)

    def find(self, address: Address) -> Taken | None:
        """Who takes it; None when nobody does or the domain is not ours. Raises AddressError for a bad domain."""
        domain = self.domains.get(normal_domain(address.domain))
        if domain is None:
            return None
        return self._declared(domain, address.local) or self._fallback(domain, address.local)

    def find_text(self, text: str) -> Taken | None:
        """`find` of an address as text; None also when it is not an address."""
        try:
            return self.find(parse_address(text))
        except AddressError:
            return None

    def is_local(self, text: str) -> bool:
        """Whether an address, as text, is in one of our domains."""
        try:
            return normal_domain(text.rpartition("@")[2]) in self.domains
        except AddressError:
            return False

    def _declared(self, domain: Domain, written: str) -> Taken | None:
        local = normal_local(written)
        row = self._exact(f"{local}@{domain.name}")
        if row is not None:
            return Taken(row)
        separator = domain.subaddress_separator
        if separator and separator in local:
            row = self._exact(f"{local.partition(separator)[0]}@{domain.name}")
            if row is not None:
                return Taken(row, written.strip('"').partition(separator)[2])
        alias = self.aliases.get(f"{CATCH_ALL}@{domain.name}")
        return Taken(alias) if alias is not None else None

    def _exact(self, key: str) -> Mailbox | Alias | None:
        return self.mailboxes.get(key) or self.aliases.get(key)

    def _fallback(self, domain: Domain, written: str) -> Taken | None:
        """Postmaster where nobody declared one: the server's, else the longest-serving mailbox, here or anywhere."""
        if normal_local(written) != _POSTMASTER:
            return None
        target = self._server_postmaster()
        if not target:
            eldest = self._eldest.get(domain.name) or self._eldest.get("")
            target = eldest.address if eldest else ""
        key = f"{_POSTMASTER}@{domain.name}"
        return Taken(Alias(address=key, targets=(target,), namespace=domain.namespace)) if target else None

    def _server_postmaster(self) -> str:
        """The server's postmaster if mail to it would arrive without this fallback, else ""."""
        try:
            address = parse_address(self._postmaster)
        except AddressError:
            return ""
        domain = self.domains.get(normal_domain(address.domain))
        return self._postmaster if domain is None or self._declared(domain, address.local) else ""


def claim_order(row: Domain | Mailbox | Alias) -> tuple[float, str, str]:
    """Sorts competing claims: the earliest known one first, then by namespace and name."""
    return (row.since or float("inf"), row.namespace, row.resource)


def loops(takers: Takers) -> frozenset[str]:
    """Addresses of the aliases that, through others or at once, stand for themselves."""
    edges = {
        address: tuple(_next(takers, target) for target in alias.targets) for address, alias in takers.aliases.items()
    }
    return frozenset(address for component in _components(edges) for address in component)


def _next(takers: Takers, target: str) -> str:
    taken = takers.find_text(target)
    while taken is not None and isinstance(taken.row, Alias) and taken.row.address not in takers.aliases:
        taken = takers.find_text(taken.row.targets[0])  # the fallback; it never leads to itself
    return taken.row.address if taken is not None else ""


def _components(edges: Mapping[str, tuple[str, ...]]) -> Iterable[list[str]]:
    """Strongly connected components that hold a cycle (Tarjan's algorithm, without recursion)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    path: list[str] = []
    on_path: set[str] = set()
    for root in edges:
        work = [] if root in order else [(root, iter(edges[root]))]
        while work:
            node, successors = work[-1]
            if node not in order:
                order[node] = low[node] = len(order)
                path.append(node)
                on_path.add(node)
            for successor in successors:
                if successor in edges and successor not in order:
                    work.append((successor, iter(edges[successor])))
                    break
                if successor in on_path:
                    low[node] = min(low[node], order[successor])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == order[node]:
                    at = path.index(node)
                    component = path[at:]
                    del path[at:]
                    on_path.difference_update(component)
                    if len(component) > 1 or node in edges[node]:
                        yield component


def _age(mailbox: Mailbox) -> tuple[float, str]:
    return (mailbox.since or float("inf"), mailbox.address)


def _first(pairs: Iterable[tuple[str, _V]]) -> dict[str, _V]:
    rows: dict[str, _V] = {}
    for key, row in pairs:
        rows.setdefault(key, row)
    return rows
