"""File names of shorts are safe in every storage, and unique per export."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from klap_provider.rules.file_names import file_name, manifest_name

SEPARATORS = set("-_.")
DEVICES = {"con", "prn", "aux", "nul", *(f"{name}{n}" for name in ("com", "lpt") for n in range(10))}


@pytest.mark.parametrize(
    ("name", "score", "expected"),
    [
        ("Why we sleep", 87, "087_why-we-sleep_x3Fp.mp4"),
        ("Why we sleep", None, "why-we-sleep_x3Fp.mp4"),
        (None, 100, "100_short_x3Fp.mp4"),
        ("", 0, "000_short_x3Fp.mp4"),
        ("🔥🔥", 4.6, "005_short_x3Fp.mp4"),
        ("../../etc/passwd", None, "etc-passwd_x3Fp.mp4"),
        ("A\\B:C*D?", None, "a-b-c-d_x3Fp.mp4"),
        ("Größe & Übergröße", None, "größe-übergröße_x3Fp.mp4"),
        ("なぜ眠るのか", None, "なぜ眠るのか_x3Fp.mp4"),
        ("ﬁne_print", None, "ﬁne-print_x3Fp.mp4"),
        ("हिन्दी में नींद", None, "हिन्दी-में-नींद_x3Fp.mp4"),
        ("ทำไมเราถึงนอนหลับ", None, "ทำไมเราถึงนอนหลับ_x3Fp.mp4"),
        ("தமிழ் மொழி", None, "தமிழ்-மொழி_x3Fp.mp4"),
        ("שָׁלוֹם עוֹלָם", None, "שָׁלוֹם-עוֹלָם_x3Fp.mp4"),
        ("مُحَمَّدٌ يَنَامُ", None, "مُحَمَّدٌ-يَنَامُ_x3Fp.mp4"),
        ("می\u200cخواهم", None, "میخواهم_x3Fp.mp4"),
        ("বাংলা ভাষা", None, "বাংলা-ভাষা_x3Fp.mp4"),
        ("မြန်မာ ဘာသာ", None, "မြန်မာ-ဘာသာ_x3Fp.mp4"),
        ("ខ្មែរ", None, "ខ្មែរ_x3Fp.mp4"),
        ("İstanbul", None, "istanbul_x3Fp.mp4"),
        ("I\u0307stanbul", None, "istanbul_x3Fp.mp4"),
        ("Việt Nam", None, "việt-nam_x3Fp.mp4"),
        ("Vie\u0323\u0302t Nam", None, "việt-nam_x3Fp.mp4"),
        ("Cafe\u0301", None, "café_x3Fp.mp4"),
        ("cafe\u200d\u0301", None, "café_x3Fp.mp4"),
        ("한국어", None, "한국어_x3Fp.mp4"),
        ("१२३ और ٤٥٦", None, "१२३-और-٤٥٦_x3Fp.mp4"),
        ("1️⃣ first ❤️ heart", None, "1⃣-first-heart_x3Fp.mp4"),
        ("\u202egnp.mp4", None, "gnp-mp4_x3Fp.mp4"),
        ("\u0301\u0301", None, "short_x3Fp.mp4"),
        ("\u3164\uffa0", None, "short_x3Fp.mp4"),
    ],
)
def test_a_name_sorts_by_score_and_reads_as_the_short_does(
    name: str | None, score: float | None, expected: str
) -> None:
    assert file_name(export_id="x3Fp", short_name=name, virality_score=score) == expected


def test_a_long_name_is_cut_and_ends_in_no_dash() -> None:
    name = file_name(export_id="x", short_name="a" * 39 + " " + "b" * 39)
    assert name == f"{'a' * 39}_x.mp4"


@pytest.mark.parametrize("word", ["नीं", "שָׁ", "ที่", "e\u0301\u0323", "𑄇𑄳", "a"])
def test_a_long_name_is_cut_between_letters_with_their_marks(word: str) -> None:
    whole = unicodedata.normalize("NFC", word * 200)
    slug = file_name(export_id="x", short_name=word * 200).removesuffix("_x.mp4")
    assert whole.startswith(slug)
    assert len(slug) >= 20
    assert len(slug.encode()) <= 160
    assert not unicodedata.category(whole[len(slug)]).startswith("M")


def test_a_letter_with_too_many_marks_is_left_out() -> None:
    assert file_name(export_id="x", short_name="a" + "\u0327\u0317" * 100) == "short_x.mp4"
    assert file_name(export_id="x", short_name="One " + "a" + "\u0327\u0317" * 100) == "one_x.mp4"


@given(export_id=st.text(), short_name=st.none() | st.text(), score=st.none() | st.floats(0, 100))
@example(export_id="x", short_name="CON", score=None)
@example(export_id="", short_name="nul", score=None)
@example(export_id="../../x", short_name="..", score=None)
@example(export_id="\x00", short_name="\x00", score=None)
@example(export_id="\ud800", short_name="\ud800", score=None)
@example(export_id="𝔘" * 300, short_name="𠀀" * 300, score=100.0)
@example(export_id="x", short_name="นี่" * 300, score=100.0)
@example(export_id="x", short_name="\u202e\u2066\u0000\u2028/\\:", score=None)
@example(export_id="a. ", short_name=". . ", score=0.0)
def test_any_name_is_safe_on_every_file_system(export_id: str, short_name: str | None, score: float | None) -> None:
    name = file_name(export_id=export_id, short_name=short_name, virality_score=score)
    assert len(name.encode()) <= 255
    assert all(c in SEPARATORS or c.isalnum() or unicodedata.category(c)[0] == "M" for c in name)
    assert unicodedata.is_normalized("NFC", name)
    assert name.count(".") == 1
    assert name.endswith(".mp4")
    assert name[0].isalnum()
    assert name.removesuffix(".mp4").lower() not in DEVICES


@given(ids=st.lists(st.text(max_size=16), min_size=2, max_size=2, unique=True), short_name=st.text(max_size=8))
@example(ids=["a/b", "a_2f_b"], short_name="x")
@example(ids=["_", "_5f_"], short_name="x")
@example(ids=["a" * 64 + "1", "a" * 64 + "2"], short_name="x")
def test_two_exports_never_share_a_name(ids: list[str], short_name: str) -> None:
    first, second = (file_name(export_id=export_id, short_name=short_name) for export_id in ids)
    assert first != second


@given(export_id=st.from_regex(re.compile(r"[A-Za-z0-9]{16}", re.ASCII), fullmatch=True))
def test_an_id_of_klap_is_unchanged_in_the_name(export_id: str) -> None:
    assert file_name(export_id=export_id) == f"short_{export_id}.mp4"


RUN = ("klap_generate_shorts", "manual__2026-11-24T14:31:07.5+00:00", "publish", -1)


def test_the_manifest_of_a_run_has_a_portable_name() -> None:
    name = manifest_name(*RUN)
    assert name.startswith("klap_generate_shorts_manual__2026-11-24T14-31-07.5-00-00_")
    assert re.fullmatch(r"[A-Za-z0-9_.-]+\.json", name)
    assert name == manifest_name(*RUN)
    assert len(manifest_name("d" * 250, "r" * 250, "publish", 3)) < 150


@pytest.mark.parametrize("index", range(4))
def test_no_two_runs_have_the_same_manifest(index: int) -> None:
    other = [*RUN]
    other[index] = 0 if index == 3 else f"{RUN[index]}/"
    assert manifest_name(*other) != manifest_name(*RUN)  # type: ignore[arg-type]  # of just these kinds
