"""Ids of users for names from elsewhere: the same for ever, and never two names' own."""

from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from client import user_id_of
from client.rest.user_ids import info_of, is_user_id, plain_name

# Any text, with halves of surrogate pairs, which folders' names that are no UTF-8 have.
names = st.text(st.characters(blacklist_categories=()), max_size=40)
# Names of few letters, which meet more easily where they can.
close_names = st.text(st.sampled_from("aA_ 1\u00e9e\u0301\u0430张\t\udcff"), max_size=6)
either = names | close_names

# Users of these ids are in libraries: no version may make others.
MADE = {
    "张三": "ZhangSan_1d841bc0ee98309cb791",
    "李四": "LiSi_808b4f6221599eee052b",
    "山田 太郎": "ShanTian_TaiLang_ed6d53c9daab99579440",
    "Zoë": "Zoe_c6a12698582fc1104ea2",
    "Eileen Collins": "Eileen_Collins_7e608f917cfc86100706",
    "А": "A_1d15dbf70d129544581f",
    "😀": "grinning_f0443a342c5ef54783a1",
    "-": "user_3973e022e93220f9212c",
    "１２３": "123_307022e51fdcf7fced17",
    "x" * 200: "x" * 40 + "_aa20c23e320183405067",
}


@pytest.mark.parametrize("name", MADE, ids=lambda name: ascii(name)[:20])
def test_ids_are_what_they_were(name):
    assert user_id_of(name) == MADE[name]


@pytest.mark.parametrize("name", ["ada", "Ada", "ada_l", "00123", "__", "x" * 128, "a_0123456789"])
def test_a_name_that_is_an_id_stays(name):
    assert user_id_of(name) == name


@pytest.mark.parametrize(
    "group",
    [
        ["张三", "李四", "張三"],
        ["Anna", "anna", "ANNA", "Änna"],
        ["Zoë", "Zoé", "Zoe", "Zo_", "Zo_e"],
        ["A", "А", "Α", "Ａ"],
        ["😀", "😁", "grinning", ":grinning:"],
        ["1", "１", "١", "①", "01"],
        ["Ada L", "Ada_L", "Ada-L", "AdaL"],
        ["x" * 200, "x" * 201, "é" * 200, "é" * 201],
        ["\udcff", "\udcfe", "\ufffd", "?"],
        ["Ada\u200b", "Ada", "Ada\u202e"],
        ["Zoë", MADE["Zoë"], user_id_of(MADE["Zoë"]), "Zoe"],
    ],
    ids=lambda group: ascii(group)[:20],
)
def test_names_that_look_alike_are_told_apart(group):
    assert len({user_id_of(name) for name in group}) == len(group)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (unicodedata.normalize("NFC", "Zoë Nguyễn"), unicodedata.normalize("NFD", "Zoë Nguyễn")),
        ("Ada L", "  Ada\u3000\t L\n"),
        ("ada", " ada "),
        ("\u212b", "\u00c5"),
    ],
)
def test_spellings_of_one_name_have_one_id(one, other):
    assert user_id_of(one) == user_id_of(other)


@given(either, either)
def test_no_two_names_meet(one, other):
    assume(plain_name(one) != plain_name(other))
    assert user_id_of(one) != user_id_of(other)


@given(either)
def test_nobody_can_be_named_into_the_id_of_another(name):
    id_ = user_id_of(name)
    assert id_ == plain_name(name) or user_id_of(id_) != id_


@given(either)
def test_an_id_is_one_and_the_same_each_time(name):
    id_ = user_id_of(name)
    assert is_user_id(id_)
    assert id_.isascii()
    assert len(id_) <= 128
    assert user_id_of(name) == id_
    assert user_id_of(unicodedata.normalize("NFD", name)) == id_
    assert user_id_of(f" {name}\n") == id_


@given(either, st.integers(0, 300))
def test_a_kept_name_is_text_that_fits(name, most):
    info = info_of(name, most)
    assert len(info.encode("utf-8")) <= most
    assert not any(unicodedata.category(c) == "Cc" for c in info)
    assert info_of(info, most) == info, "what is kept of it is compared with it later"


def test_a_long_name_is_cut_between_characters_and_says_so():
    assert info_of("张三", 256) == "张三"
    assert info_of("张" * 100, 256) == "张" * 84 + "…"
    assert info_of("x" * 300, 256) == "x" * 253 + "…"


def test_ids_that_are_names_need_no_package_for_names(monkeypatch):
    monkeypatch.setitem(sys.modules, "anyascii", None)
    assert user_id_of("ada") == "ada"
    with pytest.raises(ImportError, match="anyascii"):
        user_id_of("张三")
