"""The authority and its leaves: the chain is believed by cryptography's own verifier, mistakes are told."""

import datetime
import ipaddress

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from postrider.contract import tls

NOW = 1_790_000_000.0
DAY = 86400.0
CA = tls.make_ca(NOW)
LEAF = tls.issue(CA, ["mx.example.org", "*.example.org", "127.0.0.1", "::1"], NOW, days=90)


def believed(pair: tls.Pair, name: x509.DNSName | x509.IPAddress, at: float) -> bool:
    store = Store(x509.load_pem_x509_certificates(CA.certificate.encode()))
    moment = datetime.datetime.fromtimestamp(at, datetime.UTC)
    verifier = PolicyBuilder().store(store).time(moment).build_server_verifier(name)
    try:
        verifier.verify(x509.load_pem_x509_certificate(pair.certificate.encode()), [])
    except VerificationError:
        return False
    return True


@pytest.mark.parametrize(
    "name",
    [
        x509.DNSName("mx.example.org"),
        x509.DNSName("imap.example.org"),
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
        x509.IPAddress(ipaddress.ip_address("::1")),
    ],
)
def test_a_leaf_is_believed_for_its_names_and_days(name: x509.DNSName | x509.IPAddress) -> None:
    assert believed(LEAF, name, NOW)
    assert believed(LEAF, name, NOW + 89 * DAY)
    assert not believed(LEAF, name, NOW + 91 * DAY)
    assert not believed(LEAF, name, NOW - DAY)


def test_not_for_other_names_and_not_from_others() -> None:
    assert not believed(LEAF, x509.DNSName("mx.example.com"), NOW)
    other = tls.issue(tls.make_ca(NOW), ["mx.example.org"], NOW)
    assert not believed(other, x509.DNSName("mx.example.org"), NOW)
    assert tls.issued_by(LEAF.certificate, CA)
    assert not tls.issued_by(other.certificate, CA)


def test_a_leaf_cannot_sign() -> None:
    assert not tls.issued_by(tls.issue(CA, ["a.example"], NOW).certificate, LEAF)


def test_what_a_certificate_says_of_itself() -> None:
    assert tls.names_of(LEAF.certificate) == ("mx.example.org", "*.example.org", "127.0.0.1", "::1")
    assert tls.names_of(CA.certificate) == ()
    assert tls.validity(LEAF.certificate) == (NOW - 3600, NOW + 90 * DAY)


def test_a_name_too_long_for_a_subject_still_gets_its_certificate() -> None:
    long = ".".join(["x" * 60] * 3) + ".example"
    assert believed(tls.issue(CA, [long], NOW), x509.DNSName(long), NOW)


def test_an_authority_with_a_name_too_long_for_a_subject_can_be_made() -> None:
    ca = tls.make_ca(NOW, "Postrider CA " + "a-long-namespace-" * 4)
    assert tls.issue(ca, ("mx.example.org",), NOW, 90).certificate


def test_pairs() -> None:
    tls.check_pair(LEAF.certificate, LEAF.key)
    tls.check_pair(LEAF.certificate + CA.certificate, LEAF.key)
    for certificate, key, says in (
        (LEAF.certificate, CA.key, "belong"),
        (LEAF.certificate, "", "private key"),
        ("", LEAF.key, "certificate in PEM"),
        (LEAF.key, LEAF.key, "certificate in PEM"),
    ):
        with pytest.raises(tls.BadCertificate, match=says):
            tls.check_pair(certificate, key)


def test_what_cannot_be_issued() -> None:
    with pytest.raises(ValueError, match="needs a name"):
        tls.issue(CA, [], NOW)
    with pytest.raises(tls.BadCertificate):
        tls.issue(tls.Pair(CA.certificate, LEAF.key), ["a.example"], NOW)


def self_signed(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> tuple[str, str]:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mx.example.org")])
    start = datetime.datetime.fromtimestamp(NOW, datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return certificate.public_bytes(Encoding.PEM).decode(), pem.decode()


def test_what_tls_libraries_would_not_load_is_found_before() -> None:
    tls.check_pair(*self_signed(rsa.generate_private_key(65537, 2048)))
    with pytest.raises(tls.BadCertificate, match="1024 bits"):
        tls.check_pair(*self_signed(rsa.generate_private_key(65537, 1024)))
    with pytest.raises(tls.BadCertificate, match="192 bits"):
        tls.check_pair(*self_signed(ec.generate_private_key(ec.SECP192R1())))
