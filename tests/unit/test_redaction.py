"""How an address is shown without its secrets."""

from __future__ import annotations

import re

import pytest

from klap_provider.api.addresses import canonical
from klap_provider.api.redaction import secrets_in, shown, without_secrets

TALK = "https://example.com/talk.mp4"
YOUTUBE = "https://www.youtube.com/watch?v=dQw4w9WgXcQ"


@pytest.mark.parametrize(
    "url",
    [
        f"{TALK}?X-Amz-Signature=s3cr3t",
        f"{TALK}?sv=2024&sig=s3cr3t",
        f"{TALK}?X-Goog-Signature=s3cr3t&x=1#s3cr3t",
        f"{TALK}#s3cr3t",
        "https://ada:s3cr3t@example.com/talk.mp4",
        "https://s3cr3t@example.com/talk.mp4",
        "https://ada@x:s3cr3t@example.com/talk.mp4",
        "HTTPS://ada:s3cr3t@EXAMPLE.com/talk.mp4",
        "s3://AKIA:s3cr3t@bucket/talk.mp4",
        "https://notyoutube.com/watch?v=s3cr3t",
        "https://[s3cr3t/talk.mp4",
    ],
)
def test_no_secret_of_an_address_is_shown(url: str) -> None:
    assert "s3cr3t" not in shown(url)


def test_an_unreadable_address_is_replaced_by_a_note() -> None:
    assert shown("https://[s3cr3t/talk.mp4") == "an invalid address"


@pytest.mark.parametrize(
    "text",
    [
        f"(got '{TALK}?X-Amz-Signature=s3cr3t') and so on",
        f"see {TALK}?token=s3cr3t&x=1#s3cr3t, it is gone",
        f"see {TALK}#s3cr3t",
        r'{"url": "https:\/\/example.com\/talk.mp4?odd=s3cr3t"}',
        "https://ada:s3cr3t@example.com/a/b@c",
        "s3://AKIA:s3cr3t@bucket/talk.mp4 is not there",
        "bucket.s3.amazonaws.com/talk.mp4?X-Amz-Credential=s3cr3t&X-Amz-Signature=s3cr3t",
        "GET /talk.mp4?SIG=s3cr3t HTTP/1.1",
    ],
)
def test_secrets_of_addresses_are_removed_from_texts(text: str) -> None:
    cleared = without_secrets(text)
    assert "s3cr3t" not in cleared
    assert without_secrets(cleared) == cleared


def test_parts_that_identify_a_video_stay_readable() -> None:
    assert shown(f"{YOUTUBE}&t=9") == shown("https://youtu.be/dQw4w9WgXcQ?si=x") == YOUTUBE
    assert shown(" https://youtu.be/dQw4w9WgXcQ") == YOUTUBE
    assert canonical(f" {TALK} ") == TALK
    assert canonical("https://Ada@EXAMPLE.com/A") == "https://Ada@example.com/A"
    assert canonical(f"{TALK}?a=1&X-Amz-Signature=s&b=2") == f"{TALK}?a=1&b=2"
    assert without_secrets(f"no such video: {YOUTUBE}") == f"no such video: {YOUTUBE}"
    assert without_secrets("no such video: https://youtu.be/dQw4w9WgXcQ?si=x") == f"no such video: {YOUTUBE}"
    assert without_secrets(f"{TALK}#t=1") == f"{TALK}?…"
    for scheme in ("https", "HTTPS", "http"):
        assert without_secrets(f"{scheme}://ghp_word@example.com/a") == f"{scheme}://example.com/a"
    assert shown(f"{TALK}?\ud800=1").startswith(f"{TALK}?…")
    assert without_secrets("https://example.com/@ada/talk.mp4") == "https://example.com/@ada/talk.mp4"
    assert shown(f"{TALK}?id=1") != shown(f"{TALK}?id=2")
    assert re.fullmatch(rf"{TALK}\?…[0-9a-f]{{8}}", shown(f"{TALK}?id=1"))
    assert shown(f"{TALK}?X-Amz-Signature=a") == TALK
    assert without_secrets("s3://aws_default@media/talk.mp4: 403") == "s3://aws_default@media/talk.mp4: 403"
    archived = f"https://ada:pw@archive.example/{TALK}"
    assert without_secrets(f"see {archived}?a=1") == f"see https://archive.example/{TALK}?…"
    assert without_secrets(f"{TALK}?a=1 and {TALK}.") == f"{TALK}?… and {TALK}."
    assert without_secrets("3 < 4 ? yes : no") == "3 < 4 ? yes : no"


def test_the_masked_parts_are_those_that_are_not_shown() -> None:
    assert secrets_in("https://ada:password@example.com/a?sig=x&b=y") == ["sig=x&b=y", "password"]
    assert secrets_in("https://ghp_token@example.com/a") == ["ghp_token"]
    assert secrets_in("s3://AKIA:password@bucket/a") == ["password"]
    assert secrets_in("s3://aws_default@bucket/a") == secrets_in(TALK) == secrets_in(YOUTUBE) == secrets_in("[") == []
    assert secrets_in("https://[x/") == secrets_in(f"{TALK}?id=1234") == []
