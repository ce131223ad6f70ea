"""An own certificate authority and the certificates it issues, for servers that have no other (RFC 5280)."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CA_DAYS = 3650
#: Clocks differ: a certificate is valid from an hour before it was made.
_SLACK = datetime.timedelta(hours=1)
#: What certificates must have at least.
MIN_RSA_BITS = 2048
MIN_EC_BITS = 224
_MAX_COMMON_NAME = 64  # RFC 5280 appendix A.1, ub-common-name


class BadCertificate(ValueError):
    """A certificate or its key cannot be used; the message says why and never quotes the key."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate, followed by what signed it but the root, and its private key; both PEM."""

    certificate: str
    key: str


def make_ca(now: float, name: str = "Postrider CA") -> Pair:
    """A new authority, valid for ten years from `now` (seconds since the epoch); a name too long for X.509 is cut."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:_MAX_COMMON_NAME])])
    public = key.public_key()
    identifier = x509.SubjectKeyIdentifier.from_public_key(public)
    certificate = (
        _builder(now, CA_DAYS)
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(public)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )
    return Pair(_pem(certificate), _key_pem(key))


def issue(ca: Pair, names: Sequence[str], now: float, days: int = 90) -> Pair:
    """A server certificate for DNS names (A-labels, "*." allowed) and IP addresses, valid for `days` from `now`.

    Raises BadCertificate when the authority's certificate or key is damaged, ValueError without names.
    """
    if not names:
        raise ValueError("a certificate needs a name")
    authority, signer = _authority(ca)
    key = ec.generate_private_key(ec.SECP256R1())
    common = [x509.NameAttribute(NameOID.COMMON_NAME, names[0])] if len(names[0]) <= _MAX_COMMON_NAME else []
    certificate = (
        _builder(now, days)
        .subject_name(x509.Name(common))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        # RFC 5280 §4.2.1.6: critical where the subject is empty.
        .add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=not common)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .sign(signer, hashes.SHA256())
    )
    return Pair(_pem(certificate), _key_pem(key))


def check_pair(chain: str, key: str) -> None:
    """Whether the PEM texts are a certificate (chain) and the private key of its first, and TLS libraries take them.

    Raises BadCertificate.
    """
    certificates = _chain(chain)
    for certificate in certificates:
        _check_strength(certificate)
    leaf = certificates[0]
    try:
        private = load_pem_private_key(key.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise BadCertificate("the key is not a private key in PEM without a passphrase") from None
    if _public(private.public_key()) != _public(leaf.public_key()):
        raise BadCertificate("the key does not belong to the certificate")


def names_of(chain: str) -> tuple[str, ...]:
    """DNS names and IP addresses the first certificate is for. Raises BadCertificate."""
    leaf = _chain(chain)[0]
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return ()
    addresses = (str(address) for address in names.get_values_for_type(x509.IPAddress))
    return (*names.get_values_for_type(x509.DNSName), *addresses)


def validity(chain: str) -> tuple[float, float]:
    """Start and end of the first certificate's life, seconds since the epoch. Raises BadCertificate."""
    leaf = _chain(chain)[0]
    return leaf.not_valid_before_utc.timestamp(), leaf.not_valid_after_utc.timestamp()


def issued_by(chain: str, ca: Pair) -> bool:
    """Whether the first certificate was signed by this authority. Raises BadCertificate."""
    try:
        _chain(chain)[0].verify_directly_issued_by(_chain(ca.certificate)[0])
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _builder(now: float, days: int) -> x509.CertificateBuilder:
    start = datetime.datetime.fromtimestamp(now, datetime.UTC)
    return (
        x509.CertificateBuilder()
        .serial_number(x509.random_serial_number())
        .not_valid_before(start - _SLACK)
        .not_valid_after(start + datetime.timedelta(days=days))
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _authority(ca: Pair) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    check_pair(ca.certificate, ca.key)
    key = load_pem_private_key(ca.key.encode(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise BadCertificate("the authority's key is not an elliptic curve key")
    return _chain(ca.certificate)[0], key


def _chain(text: str) -> list[x509.Certificate]:
    try:
        chain = x509.load_pem_x509_certificates(text.encode())
    except ValueError:
        chain = []
    if not chain:
        raise BadCertificate("not a certificate in PEM")
    return chain


def _check_strength(certificate: x509.Certificate) -> None:
    """OpenSSL at its security level 2 loads nothing weaker."""
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < MIN_RSA_BITS:
        raise BadCertificate(f"an RSA key of {key.key_size} bits; {MIN_RSA_BITS} is the least that TLS takes")
    if isinstance(key, ec.EllipticCurvePublicKey) and key.key_size < MIN_EC_BITS:
        raise BadCertificate(f"an elliptic curve key of {key.key_size} bits; {MIN_EC_BITS} is the least that TLS takes")
    signed = certificate.signature_hash_algorithm
    if isinstance(signed, hashes.SHA1 | hashes.MD5) and certificate.subject != certificate.issuer:
        raise BadCertificate(f"signed with {signed.name}, which nobody believes any more")


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _public(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
