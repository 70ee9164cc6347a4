"""Which lists, videos, destinations and connections a run may name, in any spelling."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from klap_provider.errors import KlapConfigError, KlapInputError
from klap_provider.files.allowlist import configured, require_allowed_address, require_allowed_connection
from klap_provider.rules.allowlist import require_allowed

if TYPE_CHECKING:
    from pathlib import Path


def allows(permission: str, address: str) -> bool:
    try:
        require_allowed("destination", address, [permission])
    except KlapInputError:
        return False
    return True


@pytest.mark.parametrize(
    ("permission", "address"),
    [
        ("s3://media", "s3://media"),
        ("s3://media", "s3://media/in/talk.mp4"),
        ("s3://media/", "s3://media/in/talk.mp4"),
        ("s3://media/in", "S3://media/in/talk.mp4"),
        ("s3://media/in", "s3://media//in/./talk.mp4"),
        ("s3://conn@media/in", "s3://conn@media/in/a b/日本.mp4"),
        ("s3://conn@", "s3://conn@any/key"),
        ("s3://", "s3://bucket/key"),
        ("/data", "/data/shorts"),
        ("/data", "file:///data/shorts"),
        ("file:///data/", "local:///data/shorts"),
        ("/data", "FILE:///data"),
        ("/", "/anything"),
        ("https://", "https://example.com/a"),
        ("http://media.example.com", "http://media.example.com:80/a"),
        ("https://media.example.com", "https://MEDIA.example.com.:443/a?b=c#d"),
        ("https://media.example.com/in/", "https://ada:pw@media.example.com/in/a"),
        ("https://media.example.com:8443", "https://media.example.com:8443/in/a"),
    ],
)
def test_an_entry_allows_what_is_below_it(permission: str, address: str) -> None:
    assert allows(permission, address)


@pytest.mark.parametrize(
    ("permission", "address"),
    [
        ("s3://media", "s3://media-private/a"),
        ("s3://media", "s3://mediaprivate"),
        ("s3://media", "s3://MEDIA/a"),
        ("s3://media", "s3://other_conn@media/a"),
        ("s3://media", "s3://media@private/a"),
        ("s3://conn@media", "s3://media/a"),
        ("s3://conn@media", "s3://conn@conn@media/a"),
        ("s3://conn@media", "s3://conn2@media/a"),
        ("s3://conn@", "s3://conn2@media/a"),
        ("s3://conn@", "s3://media/a"),
        ("s3:///in", "s3://media/a"),
        ("s3://media/in", "s3://media/in-private/a"),
        ("s3://media/in", "s3://media/in/../private/a"),
        ("s3://media/in", "s3://media/private/../in/a"),  # a plain name in an object store
        ("s3://media/in", "s3://media/in/..\\private/a"),
        ("s3://media/in", "s3://media"),
        ("s3://media", "s3://media/a::file:///etc/passwd"),
        ("s3://media", "gs://media/a"),
        ("s3://", "file:///etc/passwd"),
        ("s3://", "s3://any@bucket/key"),
        ("s3://", "s3://any@"),
        ("/data/lists", "/data/lists-private/a"),
        ("/data/lists", "/data/lists/../a"),
        ("/data/lists", "/data"),
        ("/data/lists", "//data/lists/a"),
        ("/data/lists", "file://data/lists/a"),
        ("/data/lists", "file:////data/lists/a"),
        ("/data/lists", "file://localhost/data/lists/a"),
        ("/data/lists", "file://conn@/data/lists/a"),
        ("/data/lists", "~/a"),
        ("/data/lists", "data/lists/a"),
        ("/data/lists", "/data/lists/a\x00"),
        ("/data/lists", "/data/lists/a\n"),
        ("/", "s3://media/a"),
        ("https://media.example.com", "http://media.example.com/a"),
        ("https://media.example.com", "https://media.example.com.evil.com/a"),
        ("https://media.example.com", "https://media.example.com@evil.com/a"),
        ("https://media.example.com", "https://evil.com\\@media.example.com/a"),
        ("https://media.example.com", "https://media.example.com:8443/a"),
        ("https://media.example.com/in", "https://media.example.com/in/../private"),
        ("https://media.example.com/in", "https://media.example.com/in/%2e%2e/private"),
        ("https://media.example.com/in", "https://media.example.com/in%2f%252e%252e%2fprivate"),
        ("https://media.example.com/in", "https://media.example.com/in%5c..%5cprivate"),
        ("https://media.example.com", "https://media.example.com:port/a"),
        ("https://media.example.com", "https://[::1/a"),
        ("https://media.example.com", "://media.example.com"),
        ("https://media.example.com", ""),
    ],
)
def test_no_spelling_bypasses_the_allowlist(permission: str, address: str) -> None:
    assert not allows(permission, address)


def test_a_refusal_names_the_setting_of_the_allowlist_without_secrets() -> None:
    with pytest.raises(KlapInputError, match=r"source_video_url .*allowed_sources.*\[klap\]") as refused:
        require_allowed_address(
            "source_video_url", "https://ada:s3cr3t@evil.com/a?sig=s3cr3t", ["https://media.example.com"]
        )
    assert "s3cr3t" not in str(refused.value)


def test_an_invalid_allowlist_is_an_error_of_the_administrator() -> None:
    with pytest.raises(KlapConfigError, match="allowed_destinations contains 'media'"):
        require_allowed_address("destination", "s3://media", ["media"])


def test_a_symbolic_link_counts_as_its_target(tmp_path: Path) -> None:
    lists, private = tmp_path / "lists", tmp_path / "private"
    lists.mkdir()
    private.mkdir()
    (lists / "out").symlink_to(private)
    (tmp_path / "in").symlink_to(lists)
    require_allowed_address("list_path", f"{tmp_path}/in/a.txt", [str(lists)])
    require_allowed_address("list_path", f"{lists}/a.txt", [f"{tmp_path}/in"])
    for address in (f"{lists}/out/a.txt", f"file://{lists}/out"):
        with pytest.raises(KlapInputError, match="not on the allowlist"):
            require_allowed_address("list_path", address, [str(lists)])


def test_safe_addresses_are_allowed_by_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for setting in ("LISTS", "SOURCES", "DESTINATIONS"):
        monkeypatch.delenv(f"AIRFLOW__KLAP__ALLOWED_{setting}", raising=False)
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    monkeypatch.setenv("AIRFLOW__CORE__DAGS_FOLDER", f"{tmp_path}/dags")
    for field, address in (
        ("list_path", f"{tmp_path}/dags/videos.csv"),
        ("list_path", "gs://lists/videos.csv"),
        ("destination", f"{tmp_path}/klap_shorts/monday"),
        ("destination", "abfs://shorts/monday"),
        ("source_video_url", "https://example.com/talk.mp4"),
        ("source_video_url", "http://example.com/talk.mp4"),
        *(
            ("source_video_url", f"{scheme}://media/talk.mp4")
            for scheme in ("s3", "s3a", "s3n", "gs", "gcs", "abfs", "abfss", "adl")
        ),
    ):
        require_allowed_address(field, address, None)
    for field, address in (
        ("list_path", f"{tmp_path}/airflow.cfg"),
        ("list_path", "/etc/passwd"),
        ("list_path", "https://example.com/videos.csv"),
        ("list_path", "gs://conn@lists/videos.csv"),
        ("destination", "abfs://conn@shorts/monday"),
        ("source_video_url", "s3://conn@media/talk.mp4"),
        ("destination", f"{tmp_path}/dags"),
        ("destination", "/tmp"),
        ("source_video_url", f"{tmp_path}/dags/talk.mp4"),
        ("source_video_url", "file:///etc/passwd"),
    ):
        with pytest.raises(KlapInputError):
            require_allowed_address(field, address, None)


def test_a_run_may_only_use_klap_connections_on_the_allowlist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRFLOW__KLAP__ALLOWED_CONNECTIONS", raising=False)
    for allowed in (None, [], ["klap"], ["klap_studio_2"], ["KLAP_STUDIO"]):
        with pytest.raises(KlapInputError, match="klap_conn_id is 'klap_studio', which is not on the allowlist") as no:
            require_allowed_connection("klap_studio", allowed)
    assert "allowed_connections=['klap_studio']" in str(no.value)
    assert "allowed_connections = klap_studio" in str(no.value)
    require_allowed_connection("klap_studio", ["klap_default", "klap_studio"])
    monkeypatch.setenv("AIRFLOW__KLAP__ALLOWED_CONNECTIONS", "klap_default, klap_studio")
    require_allowed_connection("klap_studio", None)
    with pytest.raises(KlapInputError):
        require_allowed_connection("klap_studio", [])


def test_an_allowlist_in_the_configuration_applies_to_all_dags(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__KLAP__ALLOWED_SOURCES", " https://media.example.com , s3://conn@media/in\n/data, ")
    assert configured("source_video_url") == ["https://media.example.com", "s3://conn@media/in", "/data"]
    monkeypatch.setenv("AIRFLOW__KLAP__ALLOWED_LISTS", "/lists")
    assert configured("list_path") == ["/lists"]
    monkeypatch.setenv("AIRFLOW__KLAP__ALLOWED_DESTINATIONS", "")
    assert configured("destination") == []
    with pytest.raises(KlapInputError):
        require_allowed_address("destination", "s3://media", None)
    require_allowed_address("destination", "s3://media", ["s3://media"])
