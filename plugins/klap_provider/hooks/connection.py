"""The settings of an Airflow connection of type ``klap``. Loads no HTTP library."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from klap_provider.api.addresses import DEFAULT_APP_URL, DEFAULT_EMBED_URL, DEFAULT_PLAYER_URL, api_url
from klap_provider.api.redaction import SHORTEST_SECRET
from klap_provider.errors import KlapConfigError, KlapInputError
from klap_provider.rules.cost import Prices

if TYPE_CHECKING:
    from collections.abc import Mapping

CONN_TYPE = "klap"

CONNECT_TIMEOUT = 10.0
READ_TIMEOUT = 60.0

#: For all waits in one triggerer. Enough for 750 exports, each polled every 15 s, as Klap documents.
REQUESTS_PER_SECOND = 50.0


class AirflowConnection(Protocol):
    """The fields of ``airflow.sdk.Connection`` that are read."""

    conn_type: str | None
    host: str | None
    schema: str | None
    port: int | None
    password: str | None
    extra: str | None


@dataclass(frozen=True)
class KlapConnection:
    """
    A checked connection.

    :param conn_id: id of the Airflow connection.
    :param api_url: base URL of Klap's API, without a slash at the end.
    :param api_key: the API key, which ``repr`` does not show.
    :param connect_timeout: seconds to wait for a connection. Default 10.
    :param read_timeout: seconds to wait for a response, or for the next part of one. Default 60.
    :param player_url: address of the player for previews, without the project id.
    :param app_url: address of a folder in Klap's own app, without the folder id.
    :param embed_url: address of the player for embedding, without the project id.
    :param on_behalf_of: id of the managed user to act for, sent as ``X-On-Behalf-Of``. Default: none.
    :param external_access_token: token that opens embedded players, which ``repr`` does not show. Default: none.
    :param destination: default destination of runs: an absolute path, or a URL of Airflow's object storage.
    :param price_input_video: price of an input video in US dollars. Default: an estimated price, see
        :class:`~klap_provider.rules.cost.Prices`. The same applies to the following two.
    :param price_generated_short: price of a generated short.
    :param price_export: price of an export.
    :param poke_interval: poll interval of jobs in seconds. Default: that of the kind of job.
    :param first_poll: seconds from the submission of a job to the first poll. Default: twice the interval.
    :param requests_per_second: maximum for all waits in one triggerer. Default 50.
    """

    conn_id: str
    api_url: str
    api_key: str = field(repr=False)
    connect_timeout: float = CONNECT_TIMEOUT
    read_timeout: float = READ_TIMEOUT
    player_url: str = DEFAULT_PLAYER_URL
    app_url: str = DEFAULT_APP_URL
    embed_url: str = DEFAULT_EMBED_URL
    on_behalf_of: str | None = None
    external_access_token: str | None = field(default=None, repr=False)
    destination: str | None = None
    price_input_video: Decimal | None = None
    price_generated_short: Decimal | None = None
    price_export: Decimal | None = None
    poke_interval: float | None = None
    first_poll: float | None = None
    requests_per_second: float = REQUESTS_PER_SECOND

    @classmethod
    def read(cls, conn_id: str, conn: AirflowConnection) -> KlapConnection:
        """
        Check an Airflow connection, and return its settings.

        Only the fields of the connection form are read from its Extra. In particular, no field becomes an HTTP header.

        :raises KlapConfigError: a setting is missing or wrong. The message names it.
        """
        if conn.conn_type != CONN_TYPE:
            raise KlapConfigError(
                f"The connection {conn_id!r} is of type {conn.conn_type!r}, so its password is not sent to Klap. Set "
                f"klap_conn_id to a connection of type {CONN_TYPE!r}."
            )
        extra = _parse_extra(conn_id, conn.extra)
        key = (conn.password or "").strip()
        if not key:
            raise KlapConfigError(
                f"The connection {conn_id!r} has no API key. Put the key from Klap into its Password field."
            )
        if len(key) < SHORTEST_SECRET:
            raise KlapConfigError(
                f"The API key of the connection {conn_id!r} (its Password) is incomplete: it has less than "
                f"{SHORTEST_SECRET} characters. Copy the whole key from Klap."
            )
        if not key.isascii() or not key.isprintable() or " " in key:
            raise KlapConfigError(
                f"The API key of the connection {conn_id!r} (its Password) has characters that no key has. Copy the "
                "key from Klap again."
            )
        return cls(
            conn_id=conn_id,
            api_url=api_url(conn.host, schema=conn.schema, port=conn.port),
            api_key=key,
            connect_timeout=_seconds(conn_id, extra, "connect_timeout", CONNECT_TIMEOUT),
            read_timeout=_seconds(conn_id, extra, "read_timeout", READ_TIMEOUT),
            player_url=str(extra.get("player_url") or DEFAULT_PLAYER_URL).rstrip("/"),
            app_url=str(extra.get("app_url") or DEFAULT_APP_URL).rstrip("/"),
            embed_url=str(extra.get("embed_url") or DEFAULT_EMBED_URL).rstrip("/"),
            on_behalf_of=_user(conn_id, extra.get("on_behalf_of")),
            external_access_token=_token(conn_id, extra.get("external_access_token")),
            destination=_destination(conn_id, extra.get("destination")),
            price_input_video=_price(conn_id, extra, "price_input_video"),
            price_generated_short=_price(conn_id, extra, "price_generated_short"),
            price_export=_price(conn_id, extra, "price_export"),
            poke_interval=_seconds(conn_id, extra, "poke_interval", None),
            first_poll=_seconds(conn_id, extra, "first_poll", None),
            requests_per_second=_rate(conn_id, extra, "requests_per_second", REQUESTS_PER_SECOND),
        )

    def acting_for(self, user: str | None) -> KlapConnection:
        """
        Return the connection for another managed user.

        :param user: id of the user. None or empty: that of the connection.
        :raises KlapInputError: ``user`` is not an id.
        """
        user = str(user or "").strip()
        if not _fits_header(user):
            raise KlapInputError(
                f"on_behalf_of is {user!r}; it takes the id of a managed user. Nothing was sent to Klap."
            )
        return replace(self, on_behalf_of=user) if user else self

    @property
    def headers(self) -> dict[str, str]:
        """Headers of every API call."""
        headers = {"Authorization": f"Bearer {self.api_key}", "Accept": "application/json"}
        if self.on_behalf_of:
            headers["X-On-Behalf-Of"] = self.on_behalf_of
        return headers

    @property
    def prices(self) -> Prices:
        """The prices of this account, estimated where the connection has none."""
        given = {
            "input_video": self.price_input_video,
            "generated_short": self.price_generated_short,
            "export": self.price_export,
        }
        known = {name: price for name, price in given.items() if price is not None}
        return Prices(**known, estimated=len(known) < len(given))

    @property
    def secrets(self) -> tuple[str, ...]:
        """Secrets to remove from the text of responses."""
        return (self.api_key, self.external_access_token) if self.external_access_token else (self.api_key,)


DefaultT = TypeVar("DefaultT", float, None)


def _seconds(conn_id: str, extra: Mapping[str, Any], name: str, default: DefaultT) -> float | DefaultT:
    value = extra.get(name)
    if value in (None, ""):
        return default
    seconds = _number(value)
    if not 0 < seconds <= 3600:
        raise KlapConfigError(f"{name} of the connection {conn_id!r} is {value!r}; it takes seconds, up to 3600.")
    return seconds


def _rate(conn_id: str, extra: Mapping[str, Any], name: str, default: float) -> float:
    value = extra.get(name)
    if value in (None, ""):
        return default
    rate = _number(value)
    if not 0.01 <= rate <= 10_000:
        raise KlapConfigError(f"{name} of the connection {conn_id!r} is {value!r}; it takes 0.01 to 10000 per second.")
    return rate


def _number(value: Any) -> float:
    """Return the number, or -1 for other values, because no range includes -1."""
    try:
        return float(str(value))
    except ValueError:
        return -1.0


def _price(conn_id: str, extra: Mapping[str, Any], name: str) -> Decimal | None:
    value = extra.get(name)
    if value in (None, ""):
        return None
    try:
        price = Decimal(str(value))
        fits = 0 <= price <= 1000
    except ArithmeticError:  # not a number, or NaN
        fits = False
    if not fits:
        raise KlapConfigError(f"{name} of the connection {conn_id!r} is {value!r}; it takes US dollars, 0 to 1000.")
    return price


def _token(conn_id: str, value: Any) -> str | None:
    token = str(value or "").strip()
    if 0 < len(token) < SHORTEST_SECRET:
        raise KlapConfigError(
            f"external_access_token of the connection {conn_id!r} is incomplete: it has less than {SHORTEST_SECRET} "
            "characters. Copy the whole token from Klap."
        )
    return token or None


def _user(conn_id: str, value: Any) -> str | None:
    user = str(value or "").strip()
    if not _fits_header(user):
        raise KlapConfigError(
            f"on_behalf_of of the connection {conn_id!r} is {value!r}; it takes the id of a managed user."
        )
    return user or None


def _destination(conn_id: str, value: Any) -> str | None:
    destination = str(value or "").strip()
    if destination and not destination.startswith("/") and not destination.partition("://")[2]:
        raise KlapConfigError(
            f"destination of the connection {conn_id!r} is {value!r}; it takes an absolute path or a URL such as "
            "s3://conn_id@bucket/path."
        )
    return destination or None


def _fits_header(text: str) -> bool:
    return text.isascii() and text.isprintable()


def _parse_extra(conn_id: str, extra: Any) -> Mapping[str, Any]:
    # Not conn.extra_dejson: it sends secrets to the supervisor, which blocks an event loop, and its async form is new
    # in Airflow 3.3.2. Airflow has masked the whole Extra already.
    fields = extra  # some secrets backends return it parsed
    if isinstance(extra, str):
        try:
            fields = json.loads(extra.strip() or "null")
        except ValueError:
            fields = extra
    if fields is None:
        return {}
    if not isinstance(fields, dict):
        raise KlapConfigError(
            f"The Extra of the connection {conn_id!r} is not a JSON object. Write it as an object, such as "
            '{"destination": "s3://conn_id@bucket/path"}, or leave it empty.'
        )
    return fields
