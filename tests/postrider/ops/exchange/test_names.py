"""Folder names as directories are called, and back; where folders of other programs go."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postrider.mailbox.names import normal_name
from postrider.ops.exchange import names
from postrider.store.transactions import StoreError


def possible(name):
    try:
        return normal_name(name) == name
    except StoreError:
        return False


LEVEL = st.one_of(
    st.sampled_from(
        ["cur", "new", "tmp", ".hidden", "R&D", "a.b", "&AC4-x", "x.mbox", "y.sbd", "z.eml", "Entwürfe", "会議", "~"]
    ),
    st.text(min_size=1, max_size=8).map(lambda text: unicodedata.normalize("NFC", text)),
)
FOLDERS = st.lists(LEVEL, min_size=1, max_size=3).map("/".join).filter(possible)


def folder(levels):
    return "/".join(map(names.level_of, levels))


@given(FOLDERS)
def test_every_name_comes_back(name):
    assert folder(names.levels(name)) == name
    assert folder(names.maildir_levels(name)) == name
    assert folder(names.plus_levels(name)) == name


@given(FOLDERS)
def test_names_are_names_of_files(name):
    for level in [*names.levels(name), *names.maildir_levels(name)]:
        assert "/" not in level
        assert not level.startswith(".")
        assert level not in names.MAILDIR
    assert "." not in "".join(names.plus_levels(name))
    assert names.plus_entry(name).isascii()


@pytest.mark.parametrize(
    ("name", "entry"),
    [
        ("INBOX", ""),
        ("Sent", ".Sent"),
        ("Work/2026", ".Work.2026"),
        ("Entwürfe", ".Entw&APw-rfe"),
        ("R&D", ".R&-D"),
        ("v1.0", ".v1&AC4-0"),
    ],
)
def test_maildirplusplus_has_modified_utf7(name, entry):
    assert names.plus_entry(name) == entry


def test_trees_for_people_have_names_as_people_write_them():
    assert names.levels("Entwürfe/R&D") == ["Entwürfe", "R&D"]


@pytest.mark.parametrize(
    ("part", "level"),
    [
        ("Entwürfe", "Entwürfe"),  # UTF-8, as some programs write it
        ("Entw\udcfcrfe", "Entwürfe"),  # Latin-1, as old ones did
        ("R&D", "R&D"),  # no modified UTF-7
        ("a&AC8-b", "a_b"),  # a slash, which parts our levels
    ],
)
def test_names_of_other_programs_are_understood(part, level):
    assert names.level_of(part) == level


def test_folders_of_a_special_use_go_to_ours():
    uses = {"\\Sent": "Sent", "\\Junk": "Junk", "\\Trash": "Bin"}
    assert names.places(["INBOX", "Sent Items", "SPAM", "Deleted Messages", "Work"], uses) == {
        "INBOX": "INBOX",
        "Sent Items": "Sent",
        "SPAM": "Junk",
        "Deleted Messages": "Bin",
        "Work": "Work",
    }


def test_a_source_that_has_the_name_itself_keeps_both():
    assert names.places(["Sent", "Sent Items"], {"\\Sent": "Sent"}) == {"Sent": "Sent", "Sent Items": "Sent Items"}
    assert names.places(["Junk E-mail", "Spam"], {"\\Junk": "Junk"}) == {"Junk E-mail": "Junk", "Spam": "Spam"}


def test_names_that_no_folder_can_have_are_changed():
    assert names.acceptable("100% *sure*") == "100_ _sure_"
    assert names.acceptable("a//b/../c") == "a/b/_/c"
    assert names.acceptable("bell\x07") == "bell_"
    with pytest.raises(StoreError):
        names.acceptable("x" * 2000)
