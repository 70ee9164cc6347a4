"""Addresses of videos: which are valid, which are the same video, and what errors show of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klap_provider.api.addresses import canonical, is_other_youtube_page, repaired, youtube_id
from klap_provider.api.redaction import shown
from klap_provider.api.requests import ShortsRequest, Watermark, build_request
from klap_provider.errors import KlapInputError
from klap_provider.rules.video_list import run_id

ID = "dQw4w9WgXcQ"
WATCH = f"https://www.youtube.com/watch?v={ID}"
TALK = "https://example.com/talk.mp4"


def sent(url: str) -> str:
    """The address in the request to Klap."""
    return str(build_request(ShortsRequest, {"source_video_url": url}).body()["source_video_url"])


YOUTUBE_VIDEOS = [
    WATCH,
    f"http://youtube.com/watch?v={ID}",
    f"https://www.youtube.com/watch?app=desktop&v={ID}&list=PLx&index=2&t=30s&si=a&feature=shared&utm_source=x",
    f"https://www.youtube.com/watch?list=PLx&amp;v={ID}",
    f"https://www.youtube.com/watch?list=PLx&#038;v={ID}&amp;amp;t=3",
    f"https://www.youtube.com/watch/{ID}",
    f"https://www.youtube.com/watch/?v={ID}",
    f"https://www.youtube.com/watch?v={ID}&v={ID}",
    f"https://www.youtube.com/watch?v=%64{ID[1:]}",
    f"https://www.youtube.com/watch?v={ID}?t=30",
    f"https://WWW.YouTube.com:443/watch?v={ID}#t=30",
    f"https://www.youtube.com./watch?v={ID}",
    f"https://m.youtube.com/watch?v={ID}",
    f"https://music.youtube.com/watch?v={ID}&si=x",
    f"https://youtu.be/{ID}",
    f"https://youtu.be/{ID}/",
    f"https://youtu.be/{ID}?si=x&t=4",
    f"https://www.youtu.be/{ID}",
    f"https://www.youtube.com/shorts/{ID}?feature=share",
    f"https://www.youtube.com/live/{ID}?si=x",
    f"https://www.youtube.com/embed/{ID}?start=3",
    f"https://www.youtube-nocookie.com/embed/{ID}",
    f"https://youtube-nocookie.com/embed/{ID}",
    f"https://www.youtube.com/v/{ID}?version=3",
    f"Https://www.youtube.com/watch?v={ID}",
    f" {WATCH}",
    f"{WATCH}\u200b",
    f"\ufeff{WATCH}\u00a0\r\n",
    f"youtube.com/watch?v={ID}",
    f"www.youtube.com/watch?t=1&amp;v={ID}",
    f"youtu.be/{ID}",
    f"//www.youtube.com/embed/{ID}",
]


@pytest.mark.parametrize("url", YOUTUBE_VIDEOS)
def test_every_address_of_a_youtube_video_has_its_id(url: str) -> None:
    assert canonical(url) == shown(url) == WATCH
    assert run_id(url, {}, {}) == run_id(WATCH, {}, {})
    assert youtube_id(sent(url)) == ID
    assert sent(url).isprintable()
    assert "&amp;" not in sent(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://www.youtube.com/playlist?list=PLrAXtmErZgOeiKm4sgNOknGvNjby9efdf",
        "https://www.youtube.com/watch?list=PL12345678901",
        "https://www.youtube.com/watch?v=tooshort",
        "https://www.youtube.com/watch?v=far-too-long-an-id",
        "https://www.youtube.com/watch?v=aaaaaaaaaaa&v=bbbbbbbbbbb",
        "https://www.youtube.com/watch",
        "https://www.youtube.com/shorts/",
        "https://www.youtube.com/embed/videoseries?list=PLx",
        "https://www.youtube.com/embed/live_stream?channel=UCx",
        "https://youtu.be/",
        "https://youtu.be/short",
        "https://www.youtube.com/@somebody",
        "https://www.youtube.com/@somebody/live",
        "https://www.youtube.com/channel/UCuAXFkgsw1L7xaCfnd5JJOw",
        "https://www.youtube.com/c/Somebody",
        "https://www.youtube.com/user/somebody/videos",
        "https://www.youtube.com/clip/UgkxABCDEFGHIJKLMNOP",
        "https://www.youtube.com/post/UgkxABCDEFGHIJKLMNOP",
        "https://www.youtube.com/feed/subscriptions",
        "https://www.youtube.com/results?search_query=talk",
        "https://www.youtube.com/hashtag/talk",
        "https://www.youtube.com/redirect?q=https%3A%2F%2Fexample.com%2Ftalk.mp4",
        f"https://www.youtube.com/redirect?q=https%3A%2F%2Fyoutu.be%2F{ID}",
        "https://www.youtube.com/attribution_link?u=%2Fplaylist%3Flist%3DPLx",
        f"https://www.youtube.com/attribution_link?u=https%3A%2F%2Fexample.com%2Fwatch%3Fv%3D{ID}",
        "https://www.youtube.com/attribution_link?u=%2F%2F%5B",
        "https://www.youtube.com/",
        "https://www.youtube.com",
        f"https://studio.youtube.com/video/{ID}/edit",
        "https://tv.youtube.com/live",
        "Https://M.YouTube.com/playlist?list=PLx",
    ],
)
def test_a_youtube_address_that_is_no_video_is_refused(url: str) -> None:
    with pytest.raises(KlapInputError, match="Give the address of one video"):
        sent(url)
    assert canonical(url) != WATCH


@pytest.mark.parametrize(
    "url",
    [
        f"https://notyoutube.com/watch?v={ID}",
        f"https://youtube.com.example.com/watch?v={ID}",
        f"https://youtu.be.example.com/{ID}",
        f"https://example.com/?u=https://youtu.be/{ID}",
        f"https://www.youtube.com@example.com/watch?v={ID}",
        f"https://y\u043eutube.com/watch?v={ID}",
        f"s3://youtube.com/watch?v={ID}",
    ],
)
def test_a_host_that_resembles_youtube_is_another_host(url: str) -> None:
    assert youtube_id(url) is None
    assert not is_other_youtube_page(url)
    assert sent(url) == url


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (TALK, "HTTPS://EXAMPLE.com/talk.mp4"),
        (TALK, f"\u2060 {TALK}\u200b"),
        (TALK, "https://example.com:443/talk.mp4"),
        (TALK, "https://example.com:/talk.mp4"),
        (TALK, "https://example.com./talk.mp4"),
        (TALK, f"{TALK}?utm_source=mail&utm_campaign=x"),
        (TALK, f"{TALK}?fbclid=x"),
        (TALK, f"{TALK}?"),
        (f"{TALK}?a=1&b=2", f"{TALK}?a=1&amp;b=2"),
        (f"{TALK}?a=1&b=2", f"{TALK}?a=1&#38;b=2#t=3"),
        ("http://example.com/a", "http://example.com:80/a"),
        ("https://example.com", "https://example.com/"),
        ("https://example.com/vidéo.mp4", "https://example.com/vid%C3%A9o.mp4"),
        ("https://example.com/~a.mp4", "https://example.com/%7ea.mp4"),
        ("https://example.com/a%2fb.mp4", "https://example.com/a%2Fb.mp4"),
        ("https://[::1]:443/a", "https://[::1]/a"),
        ("s3://conn@Bucket/a.mp4", "S3://conn@bucket/a.mp4"),
    ],
)
def test_two_addresses_of_one_video_are_equal(one: str, other: str) -> None:
    assert canonical(one) == canonical(other)
    assert run_id(one, {}, {}) == run_id(other, {}, {})
    assert canonical(canonical(other)) == canonical(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (TALK, "http://example.com/talk.mp4"),
        (TALK, "https://example.com/Talk.mp4"),
        (TALK, "https://example.com:8443/talk.mp4"),
        ("https://example.com/a%2Fb.mp4", "https://example.com/a/b.mp4"),
        ("https://example.com/a%20b.mp4", "https://example.com/ab.mp4"),
        ("https://example.com/%FF.mp4", "https://example.com/%FE.mp4"),
        (f"{TALK}?id=1", f"{TALK}?id=2"),
        (f"{TALK}?t=1", f"{TALK}?t=2"),
        ("s3://conn@bucket/talk#1.mp4", "s3://conn@bucket/talk#2.mp4"),
        ("s3://conn@bucket/talk?1.mp4", "s3://conn@bucket/talk?2.mp4"),
        ("s3://conn@bucket/A.mp4", "s3://conn@bucket/a.mp4"),
        (f"https://youtu.be/{ID}", f"https://youtu.be/{ID.lower()}"),
    ],
)
def test_addresses_of_different_videos_differ(one: str, other: str) -> None:
    assert canonical(one) != canonical(other)
    assert shown(one) != shown(other)


@given(st.text())
def test_a_repaired_address_needs_no_second_repair(typed: str) -> None:
    assert repaired(repaired(typed)) == repaired(typed)
    assert canonical(canonical(typed)) == canonical(typed)


@pytest.mark.parametrize(
    ("typed", "sent_as"),
    [
        ("Https://Example.com/Talk.mp4", "https://Example.com/Talk.mp4"),
        (f"{TALK}?a=1&amp;b=2", f"{TALK}?a=1&b=2"),
        (f" {TALK}?t=3&utm_source=x#t=3\u200b", f"{TALK}?t=3&utm_source=x#t=3"),
        (f"https://m.youtube.com/watch?v={ID}&t=3", f"https://m.youtube.com/watch?v={ID}&t=3"),
        (f"youtu.be/{ID}?si=x", f"https://youtu.be/{ID}?si=x"),
        ("S3://conn@Bucket/a&amp;b.mp4 ", "s3://conn@Bucket/a&amp;b.mp4"),
    ],
)
def test_a_copied_address_is_repaired_before_it_is_sent(typed: str, sent_as: str) -> None:
    assert sent(typed) == sent_as


@pytest.mark.parametrize(
    "typed",
    [
        " example.com/talk.mp4\u200b",
        "talk.mp4",
        "  ",
        "https://exam\u200bple.com/talk.mp4",
        "https://example.com/my talk.mp4",
        "https:/example.com/talk.mp4",
        "<https://example.com/talk.mp4>",
        "https://example.com\\talk.mp4",
        f" youtu.be/{ID} and more\u200b",
    ],
)
@pytest.mark.parametrize(("model", "field"), [(ShortsRequest, "source_video_url"), (Watermark, "src_url")])
def test_a_refusal_quotes_the_address(model: type[ShortsRequest | Watermark], field: str, typed: str) -> None:
    with pytest.raises(KlapInputError) as refused:
        build_request(model, {field: typed})
    assert f"(got {typed!r})" in str(refused.value)
    assert "pattern" not in str(refused.value)


def test_the_address_of_a_picture_is_repaired() -> None:
    picture = build_request(Watermark, {"src_url": " Https://example.com/logo.png?a=1&amp;b=2\u200b"})
    assert picture.src_url == "https://example.com/logo.png?a=1&b=2"
