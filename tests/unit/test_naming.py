"""File names of shorts: safe everywhere, and one per export."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from klap_provider.rules.naming import file_name, manifest_name

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
        ("ﬁne_print", None, "fine-print_x3Fp.mp4"),
    ],
)
def test_a_name_sorts_by_score_and_reads_as_the_short_does(
    name: str | None, score: float | None, expected: str
) -> None:
    assert file_name(export_id="x3Fp", short_name=name, virality_score=score) == expected


def test_a_long_name_is_cut_between_words_or_within_but_ends_in_no_dash() -> None:
    name = file_name(export_id="x", short_name="a" * 39 + " " + "b" * 39)
    assert name == f"{'a' * 39}_x.mp4"


@given(export_id=st.text(), short_name=st.none() | st.text(), score=st.none() | st.floats(0, 100))
@example(export_id="x", short_name="CON", score=None)
@example(export_id="", short_name="nul", score=None)
@example(export_id="../../x", short_name="..", score=None)
@example(export_id="\x00", short_name="\x00", score=None)
@example(export_id="\ud800", short_name="\ud800", score=None)
@example(export_id="𝔘" * 300, short_name="𠀀" * 300, score=100.0)
@example(export_id="a. ", short_name=". . ", score=0.0)
def test_any_name_is_safe_on_every_file_system(export_id: str, short_name: str | None, score: float | None) -> None:
    name = file_name(export_id=export_id, short_name=short_name, virality_score=score)
    assert len(name.encode()) <= 255
    assert all(c in SEPARATORS or c.isalnum() for c in name)
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
def test_an_id_as_klap_makes_them_stands_in_the_name_as_it_is(export_id: str) -> None:
    assert file_name(export_id=export_id) == f"short_{export_id}.mp4"


RUN = ("klap_generate_shorts", "manual__2026-11-24T14:31:07.5+00:00", "publish", -1)


def test_the_manifest_of_a_run_is_named_after_it_in_characters_that_every_storage_takes() -> None:
    name = manifest_name(*RUN)
    assert name.startswith("klap_generate_shorts_manual__2026-11-24T14-31-07.5-00-00_")
    assert re.fullmatch(r"[A-Za-z0-9_.-]+\.json", name)
    assert name == manifest_name(*RUN)
    assert len(manifest_name("d" * 250, "r" * 250, "publish", 3)) < 150


@pytest.mark.parametrize("place", range(4))
def test_no_two_runs_have_the_same_manifest(place: int) -> None:
    other = [*RUN]
    other[place] = 0 if place == 3 else f"{RUN[place]}/"
    assert manifest_name(*other) != manifest_name(*RUN)  # type: ignore[arg-type]  # of just these kinds
