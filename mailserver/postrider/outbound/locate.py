"""Asks DNS what `plan` needs to know about a destination."""

from __future__ import annotations

import asyncio
import ipaddress

from postrider.model.address import normal_domain
from postrider.model.ports import Random, Resolver
from postrider.model.reply import Reply
from postrider.outbound import plan
from postrider.outbound.plan import Host


async def exchangers_of(
    domain: str, own: frozenset[str], resolver: Resolver, random: Random
) -> tuple[Host, ...] | Reply:
    """The addresses to try for a recipient domain, in order; or why there are none."""
    direct = plan.literal(domain)
    if direct is not None:
        return (direct,)
    names = plan.exchangers(domain, await resolver.lookup(domain, "MX"), own, random)
    if isinstance(names, Reply):
        return names
    return plan.itinerary(await asyncio.gather(*(addresses_of(name, resolver) for name in names)))


async def addresses_of(name: str, resolver: Resolver) -> tuple[Host, ...] | Reply:
    """The addresses of one host; a smarthost may be given as an IP address."""
    try:
        return (Host(name, str(ipaddress.ip_address(name.strip("[]")))),)
    except ValueError:
        pass
    aaaa, a = await asyncio.gather(resolver.lookup(name, "AAAA"), resolver.lookup(name, "A"))
    return plan.addresses(normal_domain(name), aaaa, a)
