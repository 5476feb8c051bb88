"""Ids of users for names from elsewhere: of folders, in a spreadsheet.

An id of the API is made of ASCII letters, digits and underscores, at most 128. What of a name
counts, so that the same name always has the same id and different names never meet:

- A name is taken in Unicode's form NFC: composed and decomposed letters are the same.
- White space at its ends does not count, and a run of it within counts as one space.
- Everything else counts: case, accents, invisible characters, letters that only look alike.

A name that is an id stays as it is. Of any other the id is its transliteration, for people to
read, and a digest of the whole name, for it to be told apart: 张三 is ZhangSan_ and 20 digits. A
name that looks like such an id gets one of its own, so that nobody can be named into another's.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata

MOST_CHARACTERS = 128
# Of the transliteration; the digest tells apart what is cut.
_MOST_READABLE = 40
# 80 bits: among a million names, the chance that two meet is below one in a million million.
_DIGITS = 20
# For names of which nothing can be written in letters.
_UNREADABLE = "user"

_ID = re.compile(rf"[A-Za-z0-9_]{{1,{MOST_CHARACTERS}}}")
_MADE = re.compile(rf"[A-Za-z0-9_]*_[0-9a-f]{{{_DIGITS}}}")
_OTHERS = re.compile(r"[^A-Za-z0-9]+")


def is_user_id(text: str) -> bool:
    """Whether a text is an id of the API as it is."""
    return _ID.fullmatch(text) is not None


def plain_name(name: str) -> str:
    """What counts of a name: see above. Two names with the same plain name are the same."""
    return " ".join(unicodedata.normalize("NFC", name).split())


def user_id_of(name: str) -> str:
    """The user id of a name; at most 128 characters, and the same for ever.

    name: any text, also with what `os.fsdecode` makes of bytes that are no UTF-8.
    Raises ImportError for a name that is no id, where anyascii is not installed.
    """
    plain = plain_name(name)
    if is_user_id(plain) and not _MADE.fullmatch(plain):
        return plain
    # Only here: a client for people who have ids needs no package for names.
    from anyascii import anyascii

    readable = _OTHERS.sub("_", anyascii(plain)).strip("_")[:_MOST_READABLE].rstrip("_")
    digest = hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{readable or _UNREADABLE}_{digest[:_DIGITS]}"


def info_of(name: str, most_bytes: int) -> str:
    """A name as user_info keeps it: plain, in at most so many bytes of UTF-8.

    A longer one is cut between two characters, and ends in … then. What is no text, and what a
    terminal would obey, is replaced by U+FFFD.
    """
    text = "".join(
        "\ufffd" if unicodedata.category(c) in ("Cc", "Cs") else c for c in plain_name(name)
    )
    if len(text.encode("utf-8")) <= most_bytes:
        return text
    mark = "…" if most_bytes >= len("…".encode()) else ""
    kept = text.encode("utf-8")[: most_bytes - len(mark.encode())]
    return kept.decode("utf-8", "ignore").rstrip() + mark
