"""S3 servers for tests, as processes of their own, and a proxy before one that fails as networks and servers do."""

import http.client
import os
import re
import socket
import struct
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ACCESS_KEY, SECRET_KEY = "postrider", "a secret that nobody may see"
BUCKET = "mail"
#: Refusals of S3 and the status they come with.
STATUS = {"NoSuchBucket": 404, "AccessDenied": 403, "InvalidAccessKeyId": 403, "ExpiredToken": 400, "SlowDown": 503}
MOTO = Path(__file__).parents[2] / ".venv/moto/bin/python"


def environment(endpoint):
    """What tells a command whose bucket is meant, and where."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
    }


class Moto:
    """moto's server: it knows what S3 answers, and looks at no signature."""

    def __init__(self):
        if not MOTO.exists():
            pytest.skip(f"there is no {MOTO}: `make test` installs it")
        command = [MOTO, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
        env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=env)
        found = next(filter(None, (re.search(r"http://127\.0\.0\.1:\d+", line) for line in self.process.stderr)))
        self.endpoint = found[0]
        threading.Thread(target=self.process.stderr.read, daemon=True).start()
        self.make_bucket(BUCKET)

    def make_bucket(self, name):
        signed = (
            f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/20260101/us-east-1/s3/aws4_request, SignedHeaders=, Signature="
        )
        assert _status(self.endpoint, "PUT", f"/{name}", {"Authorization": signed}) == 200

    def close(self):
        self.process.kill()
        self.process.wait()


class Versity:
    """versitygw over a directory: it checks every signature."""

    def __init__(self, program, root):
        (root / BUCKET).mkdir(parents=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            place = f"127.0.0.1:{probe.getsockname()[1]}"
        env = {**os.environ, "ROOT_ACCESS_KEY": ACCESS_KEY, "ROOT_SECRET_KEY": SECRET_KEY}
        command = [program, "--port", place, "posix", root]
        self.log = (root.parent / "versitygw.log").open("wb")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, env=env)
        self.endpoint = f"http://{place}"
        end = time.monotonic() + 60
        while not _listens(place):
            assert self.process.poll() is None, (root.parent / "versitygw.log").read_text()
            assert time.monotonic() < end
            time.sleep(0.02)

    def close(self):
        self.process.kill()
        self.process.wait()
        self.log.close()


class Faults(ThreadingHTTPServer):
    """Stands before a server and does what `rule` says of each request: (method, path, octets) -> what goes wrong.

    A number is the status of an answer that the server never saw, a word the code of a refusal; "cut" breaks the
    connection in the middle of the request, "torn" in the middle of the answer; None lets it through.
    """

    daemon_threads = True

    def __init__(self, endpoint):
        super().__init__(("127.0.0.1", 0), _Between)
        self.rule = lambda method, path, octets: None
        #: Method, path, and what went wrong.
        self.requests = []
        self.upstream = endpoint.removeprefix("http://")
        self.endpoint = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.shutdown()
        self.server_close()


class _Between(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def handle_one_request(self):
        try:
            super().handle_one_request()
        except OSError:  # the client is gone, or never trusted us
            self.close_connection = True

    def pass_on(self):
        octets = int(self.headers.get("Content-Length", 0))
        wrong = self.server.rule(self.command, self.path, octets)
        self.server.requests.append((self.command, self.path, wrong))
        if wrong == "cut":
            self.rfile.read(octets // 2)
            self.cut()
            return
        body = self.rfile.read(octets)
        if wrong not in (None, "torn"):
            code = f"<Error><Code>{wrong}</Code><AWSAccessKeyId>{ACCESS_KEY}</AWSAccessKeyId></Error>"
            self.answer(*((wrong, {}, b"") if isinstance(wrong, int) else (STATUS[wrong], {}, code.encode())))
            return
        upstream = http.client.HTTPConnection(self.server.upstream, timeout=60)
        upstream.request(self.command, self.path, body, dict(self.headers.items()))
        response = upstream.getresponse()
        self.answer(response.status, dict(response.getheaders()), response.read(), torn=wrong == "torn")
        upstream.close()

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = pass_on  # noqa: N815

    def answer(self, status, headers, body, *, torn=False):
        self.send_response_only(status)
        for name in headers.keys() - {"Transfer-Encoding", "Connection", "Content-Length"}:
            self.send_header(name, headers[name])
        self.send_header("Content-Length", headers.get("Content-Length", str(len(body))))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if torn else body)
        if torn:
            self.cut()

    def cut(self):
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.shutdown(socket.SHUT_RD)
        self.connection.close()
        self.close_connection = True


def _status(endpoint, method, path, headers):
    connection = http.client.HTTPConnection(endpoint.removeprefix("http://"), timeout=60)
    connection.request(method, path, headers=headers)
    response = connection.getresponse()
    response.read()
    connection.close()
    return response.status


def _listens(place):
    host, _, port = place.rpartition(":")
    try:
        socket.create_connection((host, int(port)), 1).close()
    except OSError:
        return False
    return True
