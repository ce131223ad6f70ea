"""What is a bucket's alone: networks that fail, servers that refuse, and nobody to hold a lock."""

import random
import ssl
import subprocess
import sys
import threading
import time

import pytest
from buckets import ACCESS_KEY, BUCKET, SECRET_KEY
from stored import ALICE, StillClock, intake

from postrider.app import backup as backups
from postrider.contract import tls
from postrider.ops.backup.bucket import Bucket
from postrider.ops.backup.lease import Pace
from postrider.ops.backup.place import BackupError
from postrider.ops.backup.restore import Restore
from postrider.ops.backup.shelf import Shelf
from postrider.ops.backup.take import Backup
from postrider.ops.backup.verify import Verify
from postrider.store.open import Options, database_file, open_local

#: For servers that do not come back.
HASTE = Pace(small=0.1, large=0.1)


def silent(*_):
    """Nobody asks how far it is."""


@pytest.fixture
async def data(tmp_path):
    """A data directory with three packs of mail."""
    options = Options(clock=StillClock(), allow_tmpfs=True, measure_sync=False, wait=0, pack_size=128 * 1024)
    store = open_local(tmp_path / "data", options)
    for number in range(6):
        await store.writer.commit(intake(ALICE, data=random.Random(number).randbytes(60_000)))
    await store.close()
    return tmp_path / "data"


def take(data, bucket, pace=None):
    return Backup(data, Bucket(bucket, pace=pace), database_file(), StillClock(), silent).take()


def restore(bucket, target):
    return Restore(Bucket(bucket), target, database_file(), StillClock(), silent).restore()


def names(bucket):
    return Shelf(Bucket(bucket)).names()


def test_a_bad_network_only_makes_it_slower(data, bucket, faults, tmp_path):
    wrong = ["cut", 503, 500, 429]
    met = {}

    def once_each(method, path, octets):
        """The first request of each kind for each path fails, for as long as there are ways to."""
        fresh = (method, path) not in met
        met[method, path] = None
        return wrong.pop() if fresh and wrong and ("pack" in path or "blocks" in path) else None

    faults.rule = once_each
    taken = take(data, bucket)
    assert not wrong
    assert names(bucket) == [taken.name]
    wrong += ["torn", "cut", 500]
    met.clear()
    assert Verify(Bucket(bucket), database_file(), silent).verify() == []
    assert not wrong
    assert restore(bucket, tmp_path / "new") == (taken.name, taken.manifest)


@pytest.mark.parametrize("wrong", ["cut", "NoSuchBucket"])
def test_what_fails_in_the_middle_is_not_listed_and_gone_on_with(data, bucket, faults, wrong):
    def after_one(method, path, octets):
        put = [path for method, path, _ in faults.requests if method == "PUT" and "/packs/" in path]
        return wrong if put and method != "POST" and "locks" not in path else None

    faults.rule = after_one
    with pytest.raises(BackupError) as error:
        take(data, bucket, HASTE)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(f"{bucket}: ")
    faults.rule = silent
    assert names(bucket) == []
    done = sum(length for _, length in Bucket(bucket).lengths("packs"))
    taken = take(data, bucket)
    assert names(bucket) == [taken.name]
    assert taken.copied < taken.size - done
    assert Verify(Bucket(bucket), database_file(), silent).verify() == []
    assert list(Bucket(bucket).lengths("locks")) == []


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ("NoSuchBucket", "there is no such bucket"),
        ("AccessDenied", "the credentials lack a right"),
        ("InvalidAccessKeyId", "the access key is not known there"),
        ("ExpiredToken", "the session token has expired"),
        ("SlowDown", "too many requests at once"),
        (500, "the server answers 500"),
        (301, "the bucket is in another region"),
        ("cut", "http://127.0.0.1:[0-9]+ cannot be reached"),
    ],
)
def test_what_is_wrong_is_said_without_secrets(bucket, faults, wrong, text):
    faults.rule = lambda method, path, octets: wrong
    place = Bucket(bucket, pace=HASTE)
    with pytest.raises(BackupError, match=f"^{bucket}: .*{text}") as error:
        place.write("x", b"")
    assert ACCESS_KEY not in str(error.value)
    assert SECRET_KEY not in str(error.value)
    assert error.value.__cause__ is None


def test_one_writes_at_a_time(bucket):
    """The second sees that the first one lives, and leaves no mark."""
    pace = Pace(renew=0.1)
    with Bucket(bucket, pace=pace).alone():
        second = Bucket(bucket, pace=pace)
        with pytest.raises(BackupError, match="another command is at work in s3://mail/prefix"), second.alone():
            pass
        assert len(list(Bucket(bucket).lengths("locks"))) == 1
    assert list(Bucket(bucket).lengths("locks")) == []
    with Bucket(bucket).alone():
        pass


def test_what_a_dead_one_left_holds_nobody_up_for_long(bucket):
    Bucket(bucket).mark("locks/dead", b"")
    told = []
    began = time.monotonic()
    with Bucket(bucket, told.append, Pace(renew=0.2, dead=1)).alone():
        assert [name for name, _ in Bucket(bucket).lengths("locks")] != ["locks/dead"]
    assert told
    assert time.monotonic() - began < 60


def test_of_many_at_once_never_two_are_alone(bucket):
    inside, most, refused = [], [], []

    def work():
        try:
            with Bucket(bucket, pace=Pace(renew=0.1)).alone():
                inside.append(1)
                most.append(len(inside))
                time.sleep(0.2)
                inside.pop()
        except BackupError:
            refused.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) + len(refused) == 4
    assert set(most) <= {1}


def test_who_was_not_heard_of_decides_nothing(bucket):
    """Another may have taken it for dead: it neither finishes a backup nor removes anything."""
    place = Bucket(bucket, pace=Pace(renew=0.1, doubt=0.05))
    place.write("one", b"")
    with place.alone():
        time.sleep(0.25)  # it is not heard of again either
        with pytest.raises(BackupError, match="did not answer"):
            place.conclude("manifest", b"")
        with pytest.raises(BackupError, match="did not answer"):
            place.remove(["one"])
    assert place.length("one") == 0
    assert place.length("manifest") == -1


@pytest.mark.parametrize(
    "name", ["s3://", "s3:///x", "s3://a", "s3://mail/../x", "s3://mail/x//y", "s3:/mail", "s3://me:pw@x"]
)
def test_names_of_buckets(name):
    with pytest.raises(BackupError, match="a bucket is written s3://BUCKET or s3://BUCKET/PREFIX") as error:
        Bucket(name)
    assert "pw" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        *(
            ("AWS_ENDPOINT_URL", value, "is not written https://HOST or https://HOST:PORT")
            for value in (
                "s3.example.org",
                "me:pw@s3.example.org:9000",
                "https://",
                "https://s3 x",
                "https://s3:x",
                "http://[::1",
            )
        ),
        ("AWS_ENDPOINT_URL", "https://s3.example.org\r", "AWS_ENDPOINT_URL has a line end"),
        ("AWS_REGION", "us-east-1\r", "AWS_REGION has a line end"),
        ("AWS_SECRET_ACCESS_KEY", "pw\n", "AWS_SECRET_ACCESS_KEY has a line end"),
    ],
)
def test_what_is_misspelt_in_the_environment_is_said(bucket, monkeypatch, name, value, text):
    monkeypatch.setenv(name, value)
    with pytest.raises(BackupError, match=text) as error:
        Bucket(bucket)
    assert "pw" not in str(error.value)


def test_a_bucket_without_prefix(bucket):
    assert Bucket(f"s3://{BUCKET}/").title == f"s3://{BUCKET}"
    assert "prefix" in Bucket(f"s3://{BUCKET}").folders()


def test_plain_http_only_where_the_endpoint_says_so(bucket, monkeypatch, moto):
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto.endpoint.replace("http://", "https://"))
    with pytest.raises(BackupError, match="cannot be reached"):
        backups.listed(Bucket(bucket, pace=HASTE))


def test_an_authority_of_ones_own(bucket, faults, monkeypatch, tmp_path):
    ca = tls.make_ca(time.time())
    leaf = tls.issue(ca, ("localhost",), time.time(), days=1)
    for name, text in (("ca.pem", ca.certificate), ("leaf.pem", leaf.certificate), ("key.pem", leaf.key)):
        (tmp_path / name).write_text(text)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "leaf.pem", tmp_path / "key.pem")
    faults.socket = context.wrap_socket(faults.socket, server_side=True, do_handshake_on_connect=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", faults.endpoint.replace("http://127.0.0.1", "https://localhost"))
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    Bucket(bucket).write("one", b"sealed")
    assert Bucket(bucket).read("one") == b"sealed"
    monkeypatch.delenv("AWS_CA_BUNDLE")
    with pytest.raises(BackupError, match="cannot be reached"):
        Bucket(bucket, pace=HASTE).read("one")


def test_without_credentials_it_says_so(bucket, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(BackupError, match="there are no credentials: set AWS_ACCESS_KEY_ID"):
        backups.listed(Bucket(bucket))


def test_nobody_else_loads_the_client(monkeypatch):
    code = "import sys, postrider.commands.backup, postrider.app.writer; sys.exit('obstore' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    monkeypatch.delitem(sys.modules, "postrider.ops.backup.bucket")
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(BackupError, match=r"obstore is not installed: pip install 'postrider\[server,s3\]'"):
        backups.place("s3://mail/x", silent)
