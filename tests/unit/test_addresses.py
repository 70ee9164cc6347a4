"""Which addresses are valid, by their text."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from klap_provider.api.addresses import (
    DEFAULT_API_URL,
    api_url,
    host_of,
    is_local,
    is_loopback,
    is_public,
    require_reachable,
)
from klap_provider.errors import KlapConfigError, KlapInputError

PUBLIC = "https://api.klap.app/v2"
SANDBOX = "http://127.0.0.1:8765/v2"


@pytest.mark.parametrize(
    ("host", "schema", "port", "url"),
    [
        (None, None, None, "https://api.klap.app/v2"),
        ("", None, None, "https://api.klap.app/v2"),
        ("  ", "http", 80, "https://api.klap.app/v2"),
        ("api.klap.video", None, None, "https://api.klap.video/v2"),
        (" api.klap.video ", None, None, "https://api.klap.video/v2"),
        ("api.klap.video", "", None, "https://api.klap.video/v2"),
        ("api.klap.video", "https", None, "https://api.klap.video/v2"),
        ("api.klap.video", "http", None, "http://api.klap.video/v2"),
        ("api.klap.video", "v2", None, "https://api.klap.video/v2"),
        ("api.klap.video/", None, None, "https://api.klap.video/v2"),
        ("api.klap.video/v3", None, None, "https://api.klap.video/v3"),
        ("api.klap.video/v3/", "v2", None, "https://api.klap.video/v3"),
        ("https://api.klap.video", None, None, "https://api.klap.video/v2"),
        ("https://api.klap.video/", None, None, "https://api.klap.video/v2"),
        ("https://api.klap.video/v2/", None, None, "https://api.klap.video/v2"),
        ("https://example.com/klap/v2", "http", None, "https://example.com/klap/v2"),
        ("http://127.0.0.1:8765/v2", None, None, "http://127.0.0.1:8765/v2"),
        ("127.0.0.1", "http", 8765, "http://127.0.0.1:8765/v2"),
        ("127.0.0.1:8765", "http", None, "http://127.0.0.1:8765/v2"),
        ("http://127.0.0.1", None, 8765, "http://127.0.0.1:8765/v2"),
        ("http://127.0.0.1:8765", None, 9, "http://127.0.0.1:8765/v2"),
        ("http://127.0.0.1/v2", None, 8765, "http://127.0.0.1:8765/v2"),
        ("[::1]", "http", 8765, "http://[::1]:8765/v2"),
        ("https://api.klap.video:1", None, None, "https://api.klap.video:1/v2"),
        ("https://example.com/X/", None, None, "https://example.com/X"),
        ("HTTPS://API.KLAP.APP", None, None, "https://API.KLAP.APP/v2"),
    ],
)
def test_a_base_url_is_built_from_the_connection(
    host: str | None, schema: str | None, port: int | None, url: str
) -> None:
    assert api_url(host, schema=schema, port=port) == url


@pytest.mark.parametrize(
    "host",
    [
        "ftp://api.klap.app",
        "file:///etc/passwd",
        "https://",
        "https:///v2",
        "https://kak_secret@api.klap.app",
        "user:kak_secret@api.klap.app",
        "https://api.klap.app/v2?key=kak_secret",
        "[::1",
        "https://[::1/v2",
        "https://api klap app",
        "api.klap.app or api.klap.video",
        "https://api.klap.app:port/v2",
        "https://api.klap.app:99999/v2",
        "https://api.klap.app:0/v2",
    ],
)
def test_an_invalid_base_url_is_refused_without_repeating_it(host: str) -> None:
    with pytest.raises(KlapConfigError, match="Host") as refused:
        api_url(host)
    assert "kak_secret" not in str(refused.value)
    assert DEFAULT_API_URL in str(refused.value)


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST",
        "localhost.",
        "app.localhost",
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.0.7",
        "169.254.169.254",
        "100.64.0.1",
        "[::1]",
        "[fd00::1]",
        "[fe80::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:10.0.0.1]",
        "2130706433",
        "0x7f000001",
        "foo.local",
        "foo.LOCAL",
        "foo.lan",
        "foo.internal",
        "foo.\U0001d40bocal",  # a capital letter after normalization as in DNS
        "db.localdomain",
        "wiki.intranet",
        "nas.home.arpa",
        "db.corp",
        "minio",
        "127.1",
        "0177.0.0.1",
        "0x7f.1",
        "010.0.0.1",  # 8.0.0.1 or 10.0.0.1, depending on the program
        "192.168.010.1",
        "0127.0.0.08",
        "\uff11\uff12\uff17.0.0.1",
        "127.0\u30020\u30021",
        "224.0.0.1",
        "[ff02::1]",
        "[fec0::1]",
        "[::127.0.0.1]",
        "[::ffff:7f00:1]",
        "[2002:7f00:1::]",
        "[2002:a00:1::1]",
        "[2001:0:7f00:1::]",
        "[64:ff9b::127.0.0.1]",
        "[64:ff9b::10.0.0.1]",
        "[64:ff9b:1::8.8.8.8]",
        "[64:ff9b::192.168.0.1]",
        "[::ffff:224.0.0.1]",
        "[fd00::808:808]",
        "[::]",
        "[0:0:0:0:0:0:0:1]",
        "[fe80::1%25eth0]",
    ],
)
def test_an_address_of_this_machine_or_network_is_local(host: str) -> None:
    assert is_local(f"http://{host}:9000/talk.mp4")
    assert is_local(f"https://{host}")


@pytest.mark.parametrize(
    "host",
    [
        "www.youtube.com",
        "youtu.be",
        "api.klap.app.",
        "local.example.com",
        "localhost.example.com",
        "8.8.8.8",
        "172.32.0.1",
        "193.168.0.1",
        "[2606:4700::6810:84e5]",
        "[2606:4700::a00:1]",
        "[::8.8.8.8]",
        "[::ffff:8.8.8.8]",
        "[64:ff9b::8.8.8.8]",
        "[0:0:0:0:0:ffff:808:808]",
        "[2002:808:808::1]",
        "008.8.8.8",
        "1.2.3.4.example.com",
        "10.example.com",
        "mylocal.com",
        "bücher.example",
    ],
)
def test_a_public_address_is_not_local(host: str) -> None:
    assert not is_local(f"https://{host}/talk.mp4")


def test_a_host_is_normalized_as_in_dns() -> None:
    assert host_of("https://Talks.\uff45xample.\U0001d417\u3002:8080/a") == "talks.example.x"


@pytest.mark.parametrize("url", ["https://[::1/a", "https://", "file:///a", "talk"])
def test_an_address_without_a_readable_host_is_local(url: str) -> None:
    assert host_of(url) == ""
    assert is_local(url)


def test_ip_addresses_are_classified_as_public_or_not() -> None:
    assert is_public(ip_address("8.8.8.8")) is True
    assert is_public(ip_address("fec0::1")) is False


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("http://localhost/a", True),
        ("http://app.localhost:80/a", True),
        ("http://127.0.0.1/a", True),
        ("http://127.1.2.3/a", True),
        ("http://127.1/a", True),
        ("http://0177.0.0.1/a", False),  # not to every program
        ("http://010.0.0.1/a", False),
        ("http://[::1]:9/a", True),
        ("http://10.0.0.1/a", False),
        ("http://minio/a", False),
        ("http://localhost.example.com/a", False),
        ("http://8.8.8.8/a", False),
    ],
)
def test_only_this_machine_is_loopback(url: str, loopback: bool) -> None:
    assert is_loopback(url) is loopback


def test_an_address_on_a_private_network_is_not_sent_to_klap() -> None:
    with pytest.raises(KlapInputError, match=r"source_video_url: nas\.local .*Klap cannot reach it"):
        require_reachable("source_video_url", "http://nas.local/talk.mp4", api_url=PUBLIC)


@pytest.mark.parametrize(
    ("url", "api"),
    [
        ("https://example.com/talk.mp4", PUBLIC),
        ("https://example.com/talk.mp4", SANDBOX),
        ("http://127.0.0.1:8765/sample.mp4", SANDBOX),
        ("http://nas.local/talk.mp4", SANDBOX),
    ],
)
def test_a_public_video_is_fine_anywhere_and_a_local_one_with_a_local_api(url: str, api: str) -> None:
    require_reachable("source_video_url", url, api_url=api)
