"""What one client can choose freely counts as one client."""

from __future__ import annotations

import functools
import ipaddress


# Asked when a connection comes and when it goes.
@functools.lru_cache(maxsize=4096)
def network_of(ip: str) -> str:
    """An IPv4 address, or the /64 of an IPv6 address (RFC 6177 §2); what is neither stays as it is."""
    try:
        address = ipaddress.ip_address(ip.partition("%")[0])
    except ValueError:
        return ip
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
