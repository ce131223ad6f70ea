"""What a stranger may not do, on every listener."""

import imaplib
import smtplib
import socket
import time

import pytest
from letters import letter
from running import PASSWORD

from postrider.contract import passwords

SMTP_LISTENERS = ("smtp", "submission", "submissions")
#: Listeners that start without TLS.
PLAIN_SMTP = ("smtp", "submission")


def connect(server, listener):
    if listener == "submissions":
        return smtplib.SMTP_SSL(*server.place(listener), context=server.context(), timeout=60)
    return smtplib.SMTP(*server.place(listener), timeout=60)


@pytest.mark.parametrize("listener", SMTP_LISTENERS)
@pytest.mark.parametrize("secure", [False, True])
def test_nobody_relays_without_login(shared, listener, secure):
    with connect(shared, listener) as client:
        if secure and listener != "submissions":
            client.starttls(context=shared.context())
        client.ehlo("stranger.test")
        code, _ = client.mail("a@elsewhere.test")
        if code == 250:
            code, text = client.rcpt("b@elsewhere.test")
            assert text.startswith(b"5.7.1")
        assert 500 <= code < 600


@pytest.mark.parametrize("path", ["@one.test:b@elsewhere.test", "b%elsewhere.test@mx.one.test", '"b@elsewhere.test"'])
def test_nobody_relays_by_a_strange_path(shared, path):
    with connect(shared, "smtp") as client:
        client.ehlo("stranger.test")
        client.mail("a@elsewhere.test")
        code, _ = client.docmd("RCPT", f"TO:<{path}>")
        assert 500 <= code < 600


@pytest.mark.parametrize("listener", PLAIN_SMTP)
def test_no_auth_before_tls(shared, listener):
    with connect(shared, listener) as client:
        client.ehlo("stranger.test")
        assert not client.has_extn("auth")
        code, _ = client.docmd("AUTH", "PLAIN AGFsaWNlQG9uZS50ZXN0AHg=")
        assert code in {502, 503, 530, 538}


def test_mail_exchanger_offers_no_auth_at_all(shared):
    with connect(shared, "smtp") as client:
        client.starttls(context=shared.context())
        client.ehlo("stranger.test")
        assert not client.has_extn("auth")


def test_no_imap_login_before_tls(shared):
    client = imaplib.IMAP4(*shared.place("imap"), timeout=60)
    assert "LOGINDISABLED" in client.capabilities
    with pytest.raises(imaplib.IMAP4.error, match="PRIVACYREQUIRED"):
        client.login("alice@one.test", PASSWORD)
    client.shutdown()


def test_unknown_address_is_refused_at_rcpt(shared):
    with connect(shared, "smtp") as client:
        client.ehlo("stranger.test")
        client.mail("a@elsewhere.test")
        code, text = client.rcpt("nobody@one.test")
        assert (code, text[:5]) == (550, b"5.1.1")


@pytest.mark.parametrize("declared", [True, False])
def test_more_than_size_is_refused(shared, declared):
    message = b"Subject: big\r\n\r\n" + b"x" * 70 + b"\r\n"
    message += b"".join(b"%d\r\n" % n for n in range(30_000))
    with connect(shared, "smtp") as client:
        client.ehlo("stranger.test")
        code, _ = client.mail("a@elsewhere.test", [f"SIZE={len(message)}"] if declared else [])
        if declared:
            assert code == 552
            return
        client.rcpt("bob0@one.test")
        code, text = client.data(message)
        assert (code, text[:5]) == (552, b"5.3.4")
        assert client.noop()[0] == 250


def test_loop_of_received_fields_is_refused(shared):
    message = b"Received: from x by y; Sat, 21 Nov 2026 10:00:00 +0000\r\n" * 21 + b"Subject: loop\r\n\r\nx\r\n"
    with connect(shared, "smtp") as client:
        client.ehlo("stranger.test")
        client.mail("a@elsewhere.test")
        client.rcpt("bob0@one.test")
        code, text = client.data(message)
        assert (code, text[:5]) == (554, b"5.4.6")


@pytest.mark.parametrize(
    ("listener", "command", "slipped"),
    [
        ("smtp", b"STARTTLS\r\n", b"MAIL FROM:<a@elsewhere.test>\r\nRCPT TO:<bob0@one.test>\r\n"),
        ("submission", b"STARTTLS\r\n", b"NOOP\r\nEHLO slipped\r\n"),
        ("imap", b"a STARTTLS\r\n", b"b NOOP\r\nc CAPABILITY\r\n"),
    ],
)
def test_commands_before_the_handshake_are_thrown_away(shared, listener, command, slipped):
    with socket.create_connection(shared.place(listener), timeout=60) as plain:
        plain.recv(4096)
        if listener != "imap":
            plain.sendall(b"EHLO stranger.test\r\n")
            while b"\r\n250 " not in plain.recv(4096):
                pass
        plain.sendall(command + slipped)
        answer = b""
        while not answer.endswith(b"\n"):
            answer += plain.recv(1)
        with shared.context().wrap_socket(plain, server_hostname="mx.one.test") as secure:
            secure.sendall(b"d LOGOUT\r\n" if listener == "imap" else b"QUIT\r\n")
            lines = secure.makefile("rb").readlines()
    # Nothing but the last command is answered.
    assert [line.split()[0] for line in lines] == ([b"*", b"d"] if listener == "imap" else [b"221"])


@pytest.mark.parametrize("listener", ["submission", "imaps"])
def test_login_ends_with_the_mailbox(shared, bob, listener):
    def login():
        if listener == "imaps":
            with shared.imap(bob):
                pass
        else:
            with shared.submission(bob):
                pass

    login()
    with shared.imap(bob) as session:
        session.select_folder("INBOX")
        shared.remove_mailbox(bob)
        with pytest.raises((imaplib.IMAP4.error, smtplib.SMTPAuthenticationError)):
            login()
        end = time.monotonic() + 60
        with pytest.raises((imaplib.IMAP4.abort, OSError)):  # noqa: PT012 -- any of them may be the one
            while time.monotonic() < end:
                session.noop()
                time.sleep(0.05)


def test_just_vanished_address_is_not_refused_for_good(shared, bob):
    shared.remove_mailbox(bob)
    with connect(shared, "smtp") as client:
        client.ehlo("stranger.test")
        client.mail("a@elsewhere.test")
        assert client.rcpt(bob)[0] == 450
        assert client.rcpt("never@one.test")[0] == 550


def test_changed_password_counts_at_once(shared, alice):
    shared.change_mailbox(alice, verifiers=passwords.make("another secret", generated=True))
    with shared.submission() as client:
        with pytest.raises(smtplib.SMTPAuthenticationError):
            client.login(alice, PASSWORD)
        client.login(alice, "another secret")


def test_sender_must_be_ones_own(shared, alice, bob):
    with shared.submission(alice) as client:
        code, text = client.mail(bob)
        assert (code, text[:5]) == (550, b"5.7.1")


def test_letter_helper_is_accepted(shared, alice):
    with connect(shared, "smtp") as client:
        assert client.send_message(letter("a@elsewhere.test", alice)) == {}
