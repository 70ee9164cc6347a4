"""What an Airflow connection of type ``klap`` says. Nothing here loads an HTTP library."""

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

#: Of all waits in one triggerer. Klap documents a poll of each export every 15 s: this serves 750 of them.
REQUESTS_PER_SECOND = 50.0


class AirflowConnection(Protocol):
    """The fields that are read of ``airflow.sdk.Connection``."""

    conn_type: str | None
    host: str | None
    schema: str | None
    port: int | None
    password: str | None
    extra: str | None


@dataclass(frozen=True)
class KlapConnection:
    """
    A connection, checked.

    :param conn_id: its Airflow id, for messages.
    :param api_url: base URL, without a slash at the end.
    :param api_key: secret; not part of the representation.
    :param connect_timeout: seconds to wait for a connection.
    :param read_timeout: seconds to wait for an answer, or between two pieces of one.
    :param player_url: address to which a project id is appended for a preview.
    :param app_url: address to which a folder id is appended to open it in Klap's own app.
    :param embed_url: address to which a project id is appended for a player to embed.
    :param on_behalf_of: managed user to act for, sent as ``X-On-Behalf-Of``.
    :param external_access_token: secret that opens embedded players; not part of the representation.
    :param destination: where the shorts of a run go that names no destination: an absolute path, or a URL of Airflow's
        object storage.
    :param price_input_video: US dollars that Klap bills for it, as the following. None: see
        :class:`~klap_provider.rules.cost.Prices`.
    :param poke_interval: seconds between two polls of a job; None: the default of the kind of job.
    :param first_poll: seconds from the submission of a job to the first poll; None: twice the interval.
    :param requests_per_second: maximum of all waits in one triggerer.
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
        Check a connection as Airflow stores it.

        Of its Extra only the fields of the connection form are read; no other becomes anything, in particular no HTTP
        header.

        :raises KlapConfigError: names the setting that is missing or wrong.
        """
        if conn.conn_type != CONN_TYPE:
            raise KlapConfigError(
                f"The connection {conn_id!r} is of type {conn.conn_type!r}. Its password is not sent to Klap: name one "
                f"of type {CONN_TYPE!r}."
            )
        extra = _decoded(conn_id, conn.extra)
        key = (conn.password or "").strip()
        if not key:
            raise KlapConfigError(
                f"The connection {conn_id!r} has no API key. Put the key from Klap into its Password field."
            )
        if len(key) < SHORTEST_SECRET:
            raise KlapConfigError(
                f"The API key of the connection {conn_id!r} (its Password) has less than {SHORTEST_SECRET} characters, "
                "too few for one: part of it is missing."
            )
        if not key.isascii() or not key.isprintable() or " " in key:
            raise KlapConfigError(
                f"The API key of the connection {conn_id!r} (its Password) has characters that no key has."
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
            destination=_place(conn_id, extra.get("destination")),
            price_input_video=_price(conn_id, extra, "price_input_video"),
            price_generated_short=_price(conn_id, extra, "price_generated_short"),
            price_export=_price(conn_id, extra, "price_export"),
            poke_interval=_seconds(conn_id, extra, "poke_interval", None),
            first_poll=_seconds(conn_id, extra, "first_poll", None),
            requests_per_second=_rate(conn_id, extra, "requests_per_second", REQUESTS_PER_SECOND),
        )

    def acting_for(self, user: str | None) -> KlapConnection:
        """
        Return the connection with another managed user to act for; None or empty: its own.

        :raises KlapInputError: this is no id of a user.
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
        """What Klap bills this account, as far as somebody has said."""
        told = {
            "input_video": self.price_input_video,
            "generated_short": self.price_generated_short,
            "export": self.price_export,
        }
        known = {name: price for name, price in told.items() if price is not None}
        return Prices(**known, estimated=len(known) < len(told))

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no answer's words may have in them."""
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
    """Return a number, or one that is in no range."""
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
    except ArithmeticError:  # no number, or one that compares with none
        fits = False
    if not fits:
        raise KlapConfigError(f"{name} of the connection {conn_id!r} is {value!r}; it takes US dollars, 0 to 1000.")
    return price


def _token(conn_id: str, value: Any) -> str | None:
    token = str(value or "").strip()
    if 0 < len(token) < SHORTEST_SECRET:
        raise KlapConfigError(
            f"external_access_token of the connection {conn_id!r} has less than {SHORTEST_SECRET} characters, too few "
            "for one."
        )
    return token or None


def _user(conn_id: str, value: Any) -> str | None:
    user = str(value or "").strip()
    if not _fits_header(user):
        raise KlapConfigError(
            f"on_behalf_of of the connection {conn_id!r} is {value!r}; it takes the id of a managed user."
        )
    return user or None


def _place(conn_id: str, value: Any) -> str | None:
    place = str(value or "").strip()
    if place and not place.startswith("/") and not place.partition("://")[2]:
        raise KlapConfigError(
            f"destination of the connection {conn_id!r} is {value!r}; it takes an absolute path or a URL such as "
            "s3://conn_id@bucket/path."
        )
    return place or None


def _fits_header(text: str) -> bool:
    return text.isascii() and text.isprintable()


def _decoded(conn_id: str, extra: Any) -> Mapping[str, Any]:
    # Not conn.extra_dejson: it tells the supervisor what to mask, for which an event loop must not wait, and its
    # async form is new in Airflow 3.3.2. The whole Extra was masked when Airflow brought the connection.
    found = extra  # decoded, from some secrets backends
    if isinstance(extra, str):
        try:
            found = json.loads(extra.strip() or "null")
        except ValueError:
            found = extra
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise KlapConfigError(
            f"The Extra of the connection {conn_id!r} is not a JSON object. Write it as an object, such as "
            '{"destination": "s3://conn_id@bucket/path"}, or leave it empty.'
        )
    return found
