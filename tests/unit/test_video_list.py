"""Lists of videos: their entries, duplicates, and the run ids."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klap_provider.errors import KlapInputError
from klap_provider.rules.video_list import (
    Row,
    canonical,
    describe_schema,
    label,
    read_csv,
    read_lines,
    run_id,
    set_fields,
)

TALK = "https://example.com/talks/why-we-sleep.mp4"
FORM = {
    "source_video_url": {"type": "string"},
    "name": {"type": ["string", "null"]},
    "limit": {"type": ["integer", "null"]},
    "min_virality_score": {"type": "number"},
    "captions": {"type": "boolean"},
}
DEFAULTS = {"limit": 3, "min_virality_score": 0, "captions": True, "language": None, "destination": None}

hosts = st.from_regex(r"[a-z]{1,8}\.(com|org)", fullmatch=True)
words = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=12)
urls = st.builds("https://{}/{}?{}={}".format, hosts, words, words, words)
youtube_ids = st.from_regex(r"[A-Za-z0-9_-]{11}", fullmatch=True)


def test_a_text_has_one_video_per_line_and_comments() -> None:
    text = f"# Monday\n\n  {TALK}  \n#{TALK}\nhttps://example.com/b.mp4"
    assert read_lines(text.splitlines()) == [Row(3, TALK), Row(5, "https://example.com/b.mp4")]


def test_a_table_gives_settings_of_the_forms_types() -> None:
    text = f"""Source_Video_URL, name, limit, captions, min_virality_score
{TALK}, "Sleep, at last", 5, FALSE, 80.5

# later: {TALK}
https://example.com/b.mp4,,null,,
"""
    assert read_csv(text, FORM) == [
        Row(2, TALK, {"name": "Sleep, at last", "limit": 5, "captions": False, "min_virality_score": 80.5}),
        Row(5, "https://example.com/b.mp4", {"limit": None}),
    ]


def test_a_table_may_have_semicolons_and_a_column_url() -> None:
    assert read_csv(f"url;name\n{TALK};One, two\n", FORM) == [Row(2, TALK, {"name": "One, two"})]


TWO = [Row(2, TALK, {"name": "One", "limit": 5}), Row(3, "https://example.com/b.mp4")]


@pytest.mark.parametrize(
    ("text", "first_line"),
    [
        pytest.param(f"url,name,limit\n{TALK},One,5\nhttps://example.com/b.mp4,,\n", 2, id="commas"),
        pytest.param(f"url\tname\tlimit\n{TALK}\tOne\t5\nhttps://example.com/b.mp4\t\t\n", 2, id="tabs"),
        pytest.param(f"url;name;limit;;;\n{TALK};One;5;;;\nhttps://example.com/b.mp4;;;;;\n;;;;;\n", 2, id="empty end"),
        pytest.param(f"url,,name,limit\n{TALK},,One,5\nhttps://example.com/b.mp4,,,\n", 2, id="an empty column"),
        pytest.param(f"url,name,limit\n{TALK},One,5,,,\nhttps://example.com/b.mp4\n", 2, id="empty cells behind"),
        pytest.param(f"\ufeffurl,name,limit\n{TALK},One,5\nhttps://example.com/b.mp4,,\n", 2, id="byte order mark"),
        pytest.param(f"url,name,limit\r\n{TALK},One,5\r\nhttps://example.com/b.mp4,,\r\n", 2, id="Windows"),
        pytest.param(f"url,name,limit\r{TALK},One,5\rhttps://example.com/b.mp4,,\r", 2, id="old Macintosh"),
        pytest.param(f"sep=;\nurl;name;limit\n{TALK};One;5\nhttps://example.com/b.mp4;;\n", 3, id="sep="),
        pytest.param(f'\ufeff"sep=\t"\r\nurl\tname\tlimit\r\n{TALK}\tOne\t5\r\nhttps://example.com/b.mp4', 3, id="sep"),
        pytest.param(f'"URL";"Name";"Limit"\n"{TALK}";"One";"5"\n"https://example.com/b.mp4";"";""\n', 2, id="quotes"),
        pytest.param(f"name;limit;url\nOne;5; {TALK}\u200b\n;;https://example.com/b.mp4\n", 2, id="another order"),
    ],
)
def test_a_table_is_read_in_the_formats_of_spreadsheets(text: str, first_line: int) -> None:
    rows = read_csv(text, FORM)
    assert [(row.source_video_url, row.settings) for row in rows] == [
        (row.source_video_url, row.settings) for row in TWO
    ]
    assert [row.line for row in rows] == [first_line, first_line + 1]


def test_a_row_with_several_lines_has_the_number_of_its_first_line() -> None:
    text = f'url,name\n{TALK},"One,\r\ntwo"\nhttps://example.com/b.mp4,\n'
    assert read_csv(text, FORM) == [Row(2, TALK, {"name": "One,\ntwo"}), Row(4, "https://example.com/b.mp4")]


def test_a_comma_is_a_decimal_point_if_it_is_not_the_separator() -> None:
    assert read_csv(f"url;min_virality_score;name\n{TALK};72,5;1,5\n", FORM) == [
        Row(2, TALK, {"min_virality_score": 72.5, "name": "1,5"})
    ]
    assert read_csv(f'url,min_virality_score\n{TALK},"72,5"\n', FORM)[0].settings == {"min_virality_score": "72,5"}


def test_a_cell_of_the_wrong_type_is_left_to_the_field() -> None:
    assert read_csv(f"url,limit\n{TALK},many\n", FORM)[0].settings == {"limit": "many"}


def test_a_cell_of_a_text_field_is_a_text() -> None:
    assert read_csv(f"url,name\n{TALK},null\n{TALK},007\n", FORM) == [
        Row(2, TALK, {"name": "null"}),
        Row(3, TALK, {"name": "007"}),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name,limit\nx,1\n", "one column source_video_url"),
        (f"url,source_video_url\n{TALK},{TALK}\n", "one column source_video_url"),
        (f"url,limits\n{TALK},1\n", "Column 2 of the list"),
        (f"url,limit,limit\n{TALK},1,2\n", "column limit twice"),
        (f"url,limit\n{TALK},1\n{TALK},1,2\n", "Line 3 of the list has 3 cells"),
        (f"url,limit,,\n{TALK},1,,x\n", "Line 2 of the list has 4 cells, but the header names 2 columns"),
        (f"url,,limit\n{TALK},x,1\n", "Line 2 of the list has 3 cells"),
        (f"url,name\n{TALK},{'x' * 200_000}\n", "Line 2 of the list is not CSV"),
    ],
)
def test_an_invalid_table_is_refused_with_the_reason(text: str, expected: str) -> None:
    with pytest.raises(KlapInputError, match=re.escape(expected)):
        read_csv(text, FORM)


@given(st.text() | st.from_regex(r"[a-z =:;,/#\"]{,20}(,[a-z]*)*\n.*", fullmatch=True))
def test_no_error_repeats_the_content_of_a_list(text: str) -> None:
    marked = f"s3cr3t{text}s3cr3t,s3cr3t\n".replace("\n", "\ns3cr3t")
    with pytest.raises(KlapInputError) as wrong:  # no column of it is called source_video_url
        read_csv(marked, FORM)
    assert "s3cr3t" not in str(wrong.value)


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": ["integer", "null"], "minimum": 1, "maximum": 120}, "a whole number, at least 1, at most 120"),
        ({"type": ["null", "string"], "enum": [None, "en", "de"]}, "text, one of en, de"),
        ({"type": "string", "enum": [*map(str, range(30))]}, f"text, one of {', '.join(map(str, range(20)))}, …"),
        ({"type": ["string", "boolean"], "pattern": "^(yes|no)$"}, "text or true or false, matching ^(yes|no)$"),
    ],
)
def test_describe_schema_in_words(schema: dict[str, Any], expected: str) -> None:
    assert describe_schema(schema) == expected


@given(youtube_ids)
def test_all_links_to_a_youtube_video_are_one_video(video: str) -> None:
    assert {
        canonical(url)
        for url in (
            f"https://youtu.be/{video}",
            f"http://youtu.be/{video}?t=42",
            f"https://www.youtube.com/watch?v={video}",
            f"https://YouTube.com/watch?t=42s&v={video}&list=PL1#x",
            f"https://m.youtube.com/watch?v={video}&feature=share",
            f"https://music.youtube.com/watch?v={video}",
            f"https://www.youtube.com/shorts/{video}?si=1",
            f"https://www.youtube.com/live/{video}",
            f"https://www.youtube-nocookie.com/embed/{video}",
        )
    } == {f"https://www.youtube.com/watch?v={video}"}


@pytest.mark.parametrize(
    "url",
    [
        "https://www.youtube.com/watch?list=PL12345678901",
        "https://www.youtube.com/@somebody",
        "https://youtu.be/tooshort",
        "https://notyoutube.com/watch?v=aaaaaaaaaaa",
        "https://example.com/?u=https://youtu.be/aaaaaaaaaaa",
    ],
)
def test_an_address_that_resembles_youtube_is_not_changed(url: str) -> None:
    assert canonical(url) == url


def test_space_host_case_fragment_and_signature_do_not_matter() -> None:
    assert canonical(f"  {TALK}#t=30 ") == TALK
    assert canonical("https://EXAMPLE.com/A.mp4") == "https://example.com/A.mp4"
    signed = f"{TALK}?versionId=7&X-Amz-Date=20261122T000000Z&X-Amz-Signature=abc"
    assert canonical(signed) == f"{TALK}?versionId=7"
    assert canonical(f"{TALK}?X-Goog-Algorithm=G&X-Goog-Signature=abc") == TALK
    assert canonical("s3://conn@Bucket/Key.mp4") == "s3://conn@bucket/Key.mp4"


@given(urls, urls)
def test_other_addresses_are_other_videos(one: str, other: str) -> None:
    assert (canonical(one) == canonical(other)) is (one == other)


@given(st.one_of(urls, youtube_ids.map("https://youtu.be/{}".format)))
def test_a_canonical_address_is_not_changed(url: str) -> None:
    assert canonical(canonical(url)) == canonical(url)


def test_a_run_is_named_after_its_video() -> None:
    assert re.fullmatch(r"klap__why-we-sleep__[0-9a-f]{12}", run_id(TALK, {}, {}))
    assert run_id("https://youtu.be/dQw4w9WgXcQ", {}, {}).startswith("klap__dQw4w9WgXcQ__")
    assert run_id("https://example.com/%C3%9Cber%20uns.mp4", {}, {}).startswith("klap__Uber-uns__")
    assert run_id("https://example.com/東京.mp4", {}, {}).startswith("klap__video__")


@given(st.text())
def test_airflow_accepts_every_run_id(path: str) -> None:
    url = f"https://example.com/{path}"
    assert re.fullmatch(r"[A-Za-z0-9_.~:+-]{1,80}", run_id(url, {}, {}))


def test_run_ids_do_not_change_between_versions() -> None:
    assert run_id(TALK, {"limit": 5, "language": "en"}, DEFAULTS) == "klap__why-we-sleep__feae0834210e"


@pytest.mark.parametrize(
    "same",
    [
        {"limit": 3},
        {"min_virality_score": 0.0},
        {"language": ""},
        {"name": "Sleep"},
        {"destination": "/data"},
        {"reuse": True},
        {"source_video_url": TALK},
        {**DEFAULTS},
    ],
)
def test_equal_settings_of_a_video_have_the_same_run_id(same: dict[str, Any]) -> None:
    assert run_id(f"{TALK}#t=1", same, DEFAULTS) == run_id(TALK, {}, DEFAULTS)


@pytest.mark.parametrize(
    "other", [{"limit": 4}, {"limit": None}, {"min_virality_score": 0.5}, {"captions": False}, {"language": "en"}]
)
def test_other_settings_of_a_video_have_another_run_id(other: dict[str, Any]) -> None:
    assert run_id(TALK, other, DEFAULTS) != run_id(TALK, {}, DEFAULTS)


def test_a_whole_number_is_equal_however_it_is_written() -> None:
    assert run_id(TALK, {"limit": 4.0}, DEFAULTS) == run_id(TALK, {"limit": 4}, DEFAULTS)


def test_a_name_that_is_too_long_is_cut() -> None:
    assert run_id(f"https://example.com/{'x' * 99}.mp4", {}, {}).split("__")[1] == "x" * 40
    assert label(TALK, "x" * 999) == label(f"https://{'x' * 999}") == "x" * 100


def test_empty_fields_are_not_set_and_switches_are_yes_or_no() -> None:
    form = {"captions": {"type": "boolean"}, "reuse": {"type": "boolean"}, "name": {"type": "string"}, "limit": {}}
    given = {"captions": "yes", "reuse": "no", "name": "no", "limit": None}
    assert set_fields(given, form) == {"captions": True, "reuse": False, "name": "no"}
    assert set_fields({"captions": False, "reuse": "", "name": ""}, form) == {"captions": False}


def test_a_label_is_the_name_or_the_address_without_a_signature() -> None:
    assert label(TALK, "Sleep") == "Sleep"
    assert label(f"{TALK}?X-Amz-Signature=abc") == "example.com/talks/why-we-sleep.mp4"
    assert re.fullmatch(r"example\.com/talks/why-we-sleep\.mp4\?…\w{8}", label(f"{TALK}?part=2&sig=abc"))
    assert label("https://www.youtube.com/watch?v=dQw4w9WgXcQ") == "youtu.be/dQw4w9WgXcQ"
    assert len(label(f"{TALK}?token={'x' * 5000}")) <= 100


@pytest.mark.parametrize("given", [("https://a.example/%00%ff.mp4", None), ("https://a.example/a.mp4", "a\0b")])
def test_a_label_has_no_character_that_a_database_refuses(given: tuple[str, str | None]) -> None:
    assert "\0" not in label(*given)
    label(*given).encode()
