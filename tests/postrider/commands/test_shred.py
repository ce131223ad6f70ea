"""`shred` as it is typed."""

import asyncio
from dataclasses import replace

import pytest
from stored import ALICE, BOB, MASTERS, intake
from typer.testing import CliRunner

from postrider.__main__ import app
from postrider.store import transactions as t
from postrider.store.directory import key_files
from postrider.store.open import Options, keyring, open_local

PLAIN = Options(allow_tmpfs=True, measure_sync=False)


def filled(data, options):
    async def fill():
        store = open_local(data, options)
        await store.writer.commit(intake(ALICE, BOB))
        await store.writer.commit(t.Release(ALICE, keep=True))
        await store.writer.commit(intake(ALICE))
        await store.close()

    asyncio.run(fill())


def names(data):
    async def read():
        store = open_local(data, PLAIN)
        found = [row.name for row in await store.reader.accounts()]
        await store.close()
        return found

    return asyncio.run(read())


def run(data, *words, **given):
    line = ["shred", "mail/alice@a.test", "--data", str(data), *words]
    done = CliRunner().invoke(app, line, **given)
    return done.exit_code, done.output


@pytest.fixture
def sealed(tmp_path):
    filled(tmp_path, replace(PLAIN, keys=keyring(tmp_path, MASTERS)))
    return tmp_path


def test_it_asks(sealed):
    code, said = run(sealed, input="n\n")
    assert (code, "2 messages" in said, len(list(key_files(sealed)))) == (1, True, 4)


def test_all_that_has_the_name_goes_without_any_master_key(sealed):
    code, said = run(sealed, "--yes")
    assert (code, "cannot be read by anybody" in said) == (0, True)
    assert names(sealed) == [BOB]
    assert len(list(key_files(sealed))) == 2


def test_what_cannot_be_opened_is_not_said_to_be_well(sealed):
    done = CliRunner().invoke(app, ["store", "verify", "--data", str(sealed)])
    assert (done.exit_code, "master key of their accounts' keys is not here" in done.output) == (0, True)
    assert done.output.splitlines()[-1] == "all else is well"


def test_who_is_not_there(sealed):
    run(sealed, "--yes")
    code, said = run(sealed, "--yes")
    assert (code, "there is no account mail/alice@a.test" in said) == (1, True)


def test_mail_in_the_clear_has_no_key(tmp_path):
    filled(tmp_path, PLAIN)
    code, said = run(tmp_path, "--yes")
    assert (code, "lies in the clear" in said) == (1, True)
    assert len(names(tmp_path)) == 3
