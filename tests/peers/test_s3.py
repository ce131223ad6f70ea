"""Backups in a bucket of versitygw, an S3 server that checks every signature; built from its Go module once."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from buckets import BUCKET, SECRET_KEY, Versity, environment
from kube.build import programs

from postrider.ops.backup.bucket import Bucket

ADDRESS = "alice@one.test"
#: The first run builds the server, which takes minutes.
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def versity(tmp_path_factory):
    server = Versity(programs(["versitygw"])["versitygw"], tmp_path_factory.mktemp("versitygw") / "buckets")
    yield server
    server.close()


@pytest.fixture
def bucket(versity, monkeypatch, request):
    for name, value in environment(versity.endpoint).items():
        monkeypatch.setenv(name, value)
    return f"s3://{BUCKET}/{request.node.name}"


def command(*arguments):
    run = [sys.executable, "-m", "postrider", *map(str, arguments)]
    return subprocess.run(run, capture_output=True, check=False, text=True, timeout=180)


def done(*arguments):
    ended = command(*arguments)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def names(bucket):
    return [line.split()[0] for line in done("backup", "list", bucket).splitlines()]


def send(server, count):
    with server.submission(ADDRESS) as client:
        for number in range(count):
            text = f"{number} " + "mail " * 3000
            client.sendmail(ADDRESS, [ADDRESS], f"From: {ADDRESS}\r\nTo: {ADDRESS}\r\n\r\n{text}\r\n")


def test_a_server_is_backed_up_and_comes_back(server, bucket, tmp_path):
    data = server.directory / "data"
    send(server, 3)
    done("backup", bucket, "--data", data)
    send(server, 3)
    for _ in range(3):
        done("backup", bucket, "--data", data, "--keep", "2")
    assert len(names(bucket)) == 2
    assert done("backup", "verify", bucket) == "all is well\n"
    mail = server.messages(ADDRESS, count=6)
    assert server.terminate() == 0
    data.rename(tmp_path / "lost")
    done("restore", bucket, "--data", data)
    server.start()
    assert server.messages(ADDRESS, count=6) == mail


def test_a_wrong_secret_is_said_and_not_shown(bucket, monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    ended = command("backup", "list", bucket)
    assert ended.returncode == 1
    assert ended.stderr == f"postrider-server: {bucket}: the secret access key is wrong (SignatureDoesNotMatch)\n"
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    ended = command("restore", "s3://another/x", "--data", tmp_path / "new")
    assert ended.returncode == 1
    assert ended.stderr == "postrider-server: s3://another/x: there is no such bucket (NoSuchBucket)\n"


def test_more_files_than_a_page_has(bucket):
    place = Bucket(bucket)
    files = [f"bodies/{number:04d}" for number in range(2100)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: place.write(name, b"x"), files))
    assert [name for name, _ in place.lengths("bodies")] == files
    place.clear("bodies")
    assert place.folders() == []
