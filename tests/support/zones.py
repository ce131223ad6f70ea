"""A DNS server on loopback that answers from a map."""

import dnslib
import dnslib.server


class Zones:
    """A DNS server on loopback that answers from a map: (name, type) -> presentation forms."""

    def __init__(self):
        self.records = {}
        self.server = dnslib.server.DNSServer(self, port=0, address="127.0.0.1", logger=_Silent())
        self.server.start_thread()

    @property
    def address(self):
        return f"127.0.0.1:{self.server.server.server_address[1]}"

    def close(self):
        self.server.stop()
        self.server.server.server_close()

    def add(self, name, rdtype, *values):
        self.records.setdefault((name.lower().rstrip("."), rdtype), []).extend(values)

    def resolve(self, request, _handler):
        reply = request.reply()
        name, rdtype = str(request.q.qname).lower().rstrip("."), dnslib.QTYPE[request.q.qtype]
        for value in self.records.get((name, rdtype), []):
            reply.add_answer(*dnslib.RR.fromZone(f"{name}. 60 {rdtype} {value}"))
        if not any(known == name or known.endswith("." + name) for known, _ in self.records):
            reply.header.rcode = dnslib.RCODE.NXDOMAIN
        return reply


class _Silent(dnslib.server.DNSLogger):
    def __init__(self):
        super().__init__("-request,-reply,-truncated,-error,-data,-send,-recv")
