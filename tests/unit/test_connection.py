"""The fields of a connection of type klap, and that secrets are not shown."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from klap_provider.errors import KlapConfigError, KlapInputError
from klap_provider.hooks.connection import KlapConnection

KEY = "kak_no-real-key"


@dataclass
class Stored:
    conn_type: str | None = "klap"
    host: str | None = None
    schema: str | None = None
    port: int | None = None
    password: str | None = KEY
    extra: str | None = None


def read(*, extra: dict[str, Any] | None = None, **stored: Any) -> KlapConnection:
    return KlapConnection.read("klap_default", Stored(**stored, extra=json.dumps(extra) if extra else None))


def test_a_key_alone_is_enough() -> None:
    connection = read()
    assert connection.api_url == "https://api.klap.app/v2"
    assert connection.api_key == KEY
    assert (connection.connect_timeout, connection.read_timeout) == (10, 60)
    assert connection.player_url == "https://klap.app/player"
    assert connection.embed_url == "https://klap.app/embed"
    assert connection.app_url == "https://klap.app/spaces"
    assert connection.on_behalf_of is None
    assert (connection.poke_interval, connection.first_poll, connection.requests_per_second) == (None, None, 50)


def test_bounds_and_requests_per_second_come_from_the_connection() -> None:
    connection = read(extra={"poke_interval": "10", "first_poll": 300, "requests_per_second": 0.5})
    assert (connection.poke_interval, connection.first_poll, connection.requests_per_second) == (10, 300, 0.5)


@pytest.mark.parametrize("field", ["poke_interval", "first_poll", "requests_per_second"])
@pytest.mark.parametrize("value", ["often", 0, -1, 1e9, "nan", True])
def test_an_invalid_bound_is_named(field: str, value: Any) -> None:
    with pytest.raises(KlapConfigError, match=f"{field} of the connection 'klap_default' is {value!r}"):
        read(extra={field: value})


def test_host_schema_and_port_make_the_base_url() -> None:
    assert read(host="127.0.0.1", schema="http", port=8765).api_url == "http://127.0.0.1:8765/v2"


@pytest.mark.parametrize("password", [None, "", "   ", "\n"])
def test_a_missing_key_is_named_with_connection_and_field(password: str | None) -> None:
    with pytest.raises(KlapConfigError, match=r"'klap_default' has no API key.*Password"):
        read(password=password)


def test_blanks_around_a_pasted_key_are_dropped() -> None:
    assert read(password=f" {KEY}\n").headers["Authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    "password", ["kak_ secret", "kak_\tsecret", "kak_\r\nX-Evil: secret", "kak_sécret", "kak_\x00"]
)
def test_a_key_with_impossible_characters_is_refused_and_not_repeated(password: str) -> None:
    with pytest.raises(KlapConfigError, match="Password") as refused:
        read(password=password)
    assert "kak_" not in str(refused.value)


@pytest.mark.parametrize("name", ["connect_timeout", "read_timeout"])
@pytest.mark.parametrize(("value", "seconds"), [(5, 5.0), (0.5, 0.5), ("7", 7.0), (" 7.5 ", 7.5), (3600, 3600.0)])
def test_timeouts_are_seconds_as_number_or_text(name: str, value: Any, seconds: float) -> None:
    assert getattr(read(extra={name: value}), name) == seconds


@pytest.mark.parametrize(("name", "default"), [("connect_timeout", 10), ("read_timeout", 60)])
@pytest.mark.parametrize("empty", [None, ""])
def test_an_empty_timeout_of_the_form_is_the_default(name: str, default: float, empty: Any) -> None:
    assert getattr(read(extra={name: empty}), name) == default


@pytest.mark.parametrize("name", ["connect_timeout", "read_timeout"])
@pytest.mark.parametrize("value", [0, -1, 3601, "soon", "nan", "inf", True, False, [10], {}, "10s"])
def test_a_wrong_timeout_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(KlapConfigError, match=rf"{name} of the connection 'klap_default' is "):
        read(extra={name: value})


def test_the_player_address_loses_its_slash() -> None:
    assert read(extra={"player_url": "https://klap.app/spaces/"}).player_url == "https://klap.app/spaces"
    assert read(extra={"player_url": ""}).player_url == "https://klap.app/player"


@pytest.mark.parametrize("destination", ["/data/shorts", "file:///data/shorts", "s3://aws_default@bucket/shorts"])
def test_the_destination_is_a_path_or_a_url(destination: str) -> None:
    assert read(extra={"destination": f" {destination} "}).destination == destination
    assert read(extra={"destination": ""}).destination is None


@pytest.mark.parametrize("destination", ["shorts", "./shorts", "~/shorts", "s3:/bucket", "s3://", "://", 1])
def test_an_invalid_destination_is_refused_by_name(destination: Any) -> None:
    with pytest.raises(KlapConfigError, match=r"^destination of the connection 'klap_default' is .*absolute path"):
        read(extra={"destination": destination})


def test_the_headers_have_the_key_and_nothing_of_the_extra() -> None:
    extra = {"X-Evil": "1", "headers": {"X-Evil": "1"}, "Authorization": "Bearer other", "verify": False}
    assert read(extra=extra).headers == {"Authorization": f"Bearer {KEY}", "Accept": "application/json"}


def test_a_managed_user_is_named_in_a_header() -> None:
    assert read(extra={"on_behalf_of": "user-1"}).headers["X-On-Behalf-Of"] == "user-1"
    assert "X-On-Behalf-Of" not in read(extra={"on_behalf_of": ""}).headers


@pytest.mark.parametrize("user", ["user\r\nX-Evil: 1", "user\n", " user", "日本"])
def test_a_managed_user_is_trimmed_or_refused_by_name(user: str) -> None:
    try:
        outcome = read(extra={"on_behalf_of": user}).headers["X-On-Behalf-Of"]
    except KlapConfigError as refused:
        outcome = str(refused)
    assert outcome == "user" or "on_behalf_of" in outcome


def test_a_connection_acts_for_its_own_user_unless_another_is_named() -> None:
    connection = read(extra={"on_behalf_of": "user-1"})
    assert [connection.acting_for(user).on_behalf_of for user in (None, "", " user-2 ")] == [
        "user-1",
        "user-1",
        "user-2",
    ]
    assert connection.acting_for("user-2").headers["X-On-Behalf-Of"] == "user-2"


@pytest.mark.parametrize("user", ["user\r\nX-Evil: 1", "日本", "a\tb"])
def test_another_user_that_is_no_valid_header_is_refused_by_name(user: str) -> None:
    with pytest.raises(KlapInputError, match=r"on_behalf_of is .*Nothing was sent"):
        read().acting_for(user)


def test_the_key_is_not_in_the_representation() -> None:
    assert KEY not in repr(read())
    assert KEY not in str(read())


@pytest.mark.parametrize("password", ["x", "1234567", " 1234567 "])
def test_a_key_that_is_too_short_is_refused_and_not_shown(password: str) -> None:
    with pytest.raises(
        KlapConfigError, match=r"'klap_default' \(its Password\) is incomplete: it has fewer than 8"
    ) as refused:
        read(password=password)
    assert password not in str(refused.value).replace("less than 8", "")


def test_a_token_that_is_too_short_is_refused() -> None:
    with pytest.raises(
        KlapConfigError,
        match="external_access_token of the connection 'klap_default' is incomplete: it has fewer than 8",
    ):
        read(extra={"external_access_token": "x"})
    assert read(extra={"external_access_token": " 12345678 "}).secrets == (KEY, "12345678")
    assert read(password="12345678").secrets == ("12345678",)


@pytest.mark.parametrize("conn_type", ["aws", "http", None, "Klap"])
def test_the_password_of_another_connection_type_is_not_sent_to_klap(conn_type: str | None) -> None:
    with pytest.raises(KlapConfigError, match="'klap_default' is of type") as refused:
        read(conn_type=conn_type)
    assert KEY not in str(refused.value)


@pytest.mark.parametrize("extra", ["{", "[]", '"x"', '"{}"', "0", ["x"], 5])
def test_an_extra_that_is_not_an_object_is_refused(extra: Any) -> None:
    with pytest.raises(KlapConfigError, match="Extra of the connection 'klap_default' is not a JSON object"):
        KlapConnection.read("klap_default", Stored(extra=extra))


@pytest.mark.parametrize("extra", [None, "", " \n", "null", "{}", {}])
def test_an_empty_extra_is_no_extra(extra: Any) -> None:
    assert KlapConnection.read("klap_default", Stored(extra=extra)) == read(extra={})


def test_an_extra_that_is_already_decoded_is_read() -> None:
    decoded: Any = {"destination": "/shorts", "poke_interval": "2", "owner": None, "tags": ["media"]}
    assert KlapConnection.read("klap_default", Stored(extra=decoded)) == read(extra=decoded)
