"""TLS contexts of the server: a certificate for each name (SNI), exchanged at run time without touching a listener."""

from __future__ import annotations

import contextlib
import os
import ssl
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from postrider.contract.model import Certificate
from postrider.contract.tls import BadCertificate, check_pair

_NONE = "there is no certificate"


class ServerTls:
    """The certificates in use. Connections that stand keep theirs; each new handshake asks `context`."""

    def __init__(self, certificates: Sequence[Certificate] = ()) -> None:
        """Begin with these; without any, handshakes fail until `reload` brings some. Raises BadCertificate."""
        self._contexts = _Contexts(certificates) if certificates else None

    def context(self) -> ssl.SSLContext:
        """The context for the next handshake; it takes the certificate that fits the name the client asks for.

        Raises BadCertificate while there is none.
        """
        if self._contexts is None:
            raise BadCertificate(_NONE)
        return self._contexts.default

    def reload(self, certificates: Sequence[Certificate]) -> None:
        """Use other certificates from now on. Raises BadCertificate and goes on with the present ones."""
        if not certificates:
            raise BadCertificate(_NONE)
        self._contexts = _Contexts(certificates)


class _Contexts:
    """One set of certificates, as contexts by name."""

    def __init__(self, certificates: Sequence[Certificate]) -> None:
        by_names: dict[tuple[str, ...], list[Certificate]] = {}
        for certificate in certificates:
            by_names.setdefault(certificate.names, []).append(certificate)
        self._by_name: dict[str, ssl.SSLContext] = {}
        made = [(names, _context(rows)) for names, rows in by_names.items()]
        for names, context in made:
            for name in names:
                self._by_name.setdefault(name.lower(), context)
        #: The first one serves whoever names nothing, or nothing we know.
        self.default = made[0][1]
        self.default.sni_callback = self._choose

    def _choose(self, connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, _: ssl.SSLContext) -> None:
        # RFC 6066 §3: an unknown name is no reason to break off; mail clients decide by themselves.
        lowered = (name or "").lower()
        # RFC 9525 §6.3: a wildcard stands for one whole label, the leftmost.
        found = self._by_name.get(lowered) or self._by_name.get(f"*.{lowered.partition('.')[2]}")
        if found is not None:
            connection.context = found


def _context(certificates: Sequence[Certificate]) -> ssl.SSLContext:
    """A context for certificates of the same names (an RSA one beside an ECDSA one, say)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # RFC 8996
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    for certificate in certificates:
        check_pair(certificate.chain, certificate.key)
        with _file(f"{certificate.key.strip()}\n{certificate.chain.strip()}\n") as path:
            try:
                context.load_cert_chain(path)
            except ssl.SSLError as error:
                raise BadCertificate(f"the certificate for {', '.join(certificate.names)} is not usable") from error
    return context


@contextlib.contextmanager
def _file(text: str) -> Iterator[str]:
    """A path OpenSSL can read a key from; in memory where the system can, so that no key touches a disk."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("certificate", os.MFD_CLOEXEC)
        try:
            os.write(descriptor, text.encode())
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
    else:
        with tempfile.TemporaryDirectory() as directory:  # mode 0700
            path = Path(directory) / "pair.pem"
            path.write_text(text)
            yield str(path)
