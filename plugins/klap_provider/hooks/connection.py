"""The settings of an Airflow connection of type ``klap``. Loads no HTTP library."""

from __future__ import annotations

import json
from decimal import Decimal  # pydantic resolves the annotation
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from klap_provider.api.addresses import DEFAULT_APP_URL, DEFAULT_EMBED_URL, DEFAULT_PLAYER_URL, api_url
from klap_provider.api.redaction import SHORTEST_SECRET
from klap_provider.errors import KlapConfigError, KlapInputError
from klap_provider.rules.cost import Prices

if TYPE_CHECKING:
    from collections.abc import Mapping

CONN_TYPE = "klap"


def _number(value: Any) -> Any:
    if isinstance(value, bool):  # pydantic would take it as 0 or 1
        raise ValueError("It takes a number")
    return value


def _header(text: str) -> str:
    if not text.isascii() or not text.isprintable():
        raise ValueError("It takes the id of a managed user")
    return text


def _place(text: str) -> str:
    if not text.startswith("/") and not text.partition("://")[2]:
        raise ValueError("It takes an absolute path or a URL such as s3://conn_id@bucket/path")
    return text


def _notifiers(value: Any) -> Any:
    try:
        notifiers = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        notifiers = None
    if not isinstance(notifiers, list) or not all(isinstance(each, dict) and "notifier" in each for each in notifiers):
        raise ValueError(
            'It takes a JSON list such as [{"notifier": "airflow.providers.smtp.notifications.smtp.SmtpNotifier", '
            '"to": "team@example.com", "subject": "{{ klap.title }}", "html_content": "{{ klap.text }}"}]'
        )
    return notifiers


Seconds = Annotated[float, BeforeValidator(_number), Field(gt=0, le=3600)]
Price = Annotated[Decimal, BeforeValidator(_number), Field(ge=0, le=1000)]
BaseUrl = Annotated[str, AfterValidator(lambda url: url.rstrip("/"))]


class KlapConnection(BaseModel):
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
    :param requests_per_second: maximum for all waits in one triggerer. The default is enough for 750 exports, each
        polled every 15 s, as Klap documents.
    :param notifiers: whom to tell about runs: ``{"notifier": class path, …arguments}`` for each. Default: nobody.
    :param monthly_limit: maximum cost per calendar month (UTC) in US dollars. Default: no limit.
    :param monthly_limit_action: ``stop`` or ``warn``: what happens when the limit is reached. Default ``stop``.
    """

    model_config = ConfigDict(
        frozen=True, str_strip_whitespace=True, coerce_numbers_to_str=True, allow_inf_nan=False, defer_build=True
    )

    conn_id: str
    api_url: str
    api_key: str = Field(repr=False)
    connect_timeout: Seconds = 10.0
    read_timeout: Seconds = 60.0
    player_url: BaseUrl = DEFAULT_PLAYER_URL
    app_url: BaseUrl = DEFAULT_APP_URL
    embed_url: BaseUrl = DEFAULT_EMBED_URL
    on_behalf_of: Annotated[str, AfterValidator(_header)] | None = None
    external_access_token: str | None = Field(None, repr=False)
    destination: Annotated[str, AfterValidator(_place)] | None = None
    price_input_video: Price | None = None
    price_generated_short: Price | None = None
    price_export: Price | None = None
    poke_interval: Seconds | None = None
    first_poll: Seconds | None = None
    requests_per_second: Annotated[float, BeforeValidator(_number), Field(ge=0.01, le=10_000)] = 50.0
    notifiers: Annotated[list[dict[str, Any]], BeforeValidator(_notifiers)] | None = Field(None, repr=False)
    monthly_limit: Annotated[Decimal, BeforeValidator(_number), Field(ge=0, le=1_000_000)] | None = None
    monthly_limit_action: Literal["stop", "warn"] = "stop"

    @classmethod
    def read(cls, conn_id: str, conn: Any) -> KlapConnection:
        """
        Check an Airflow connection, and return its settings.

        Only the fields of the connection form are read from its Extra. In particular, no field becomes an HTTP header.

        :param conn: the ``airflow.sdk.Connection``.
        :raises KlapConfigError: a setting is missing or wrong. The message names it.
        """
        if conn.conn_type != CONN_TYPE:
            raise KlapConfigError(
                f"The connection {conn_id!r} is of type {conn.conn_type!r}, so its password is not sent to Klap. Set "
                f"klap_conn_id to a connection of type {CONN_TYPE!r}."
            )
        extra = {name: value for name, value in _parse_extra(conn_id, conn.extra).items() if value not in (None, "")}
        _require_token(conn_id, extra.get("external_access_token"))
        own = {
            "conn_id": conn_id,
            "api_url": api_url(conn.host, schema=conn.schema, port=conn.port),
            "api_key": _require_key(conn_id, conn.password),
        }
        try:
            return cls.model_validate({**extra, **own})
        except ValidationError as invalid:
            problem = invalid.errors(include_url=False)[0]
            name, reason = str(problem["loc"][0]), problem["msg"].removeprefix("Value error, ")
            value = "not valid" if name == "notifiers" else repr(extra[name])  # it may have secrets
            raise KlapConfigError(f"{name} of the connection {conn_id!r} is {value}. {reason}.") from None

    def acting_for(self, user: str | None) -> KlapConnection:
        """
        Return the connection for another managed user.

        :param user: id of the user. None or empty: that of the connection.
        :raises KlapInputError: ``user`` is not an id.
        """
        user = str(user or "").strip()
        try:
            return self.model_copy(update={"on_behalf_of": _header(user)}) if user else self
        except ValueError:
            raise KlapInputError(
                f"on_behalf_of is {user!r}; it takes the id of a managed user. Nothing was sent to Klap."
            ) from None

    @property
    def headers(self) -> dict[str, str]:
        """Headers of every API call."""
        headers = {"Authorization": f"Bearer {self.api_key}", "Accept": "application/json"}
        return headers | ({"X-On-Behalf-Of": self.on_behalf_of} if self.on_behalf_of else {})

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


def _require_key(conn_id: str, password: str | None) -> str:
    """Return the API key. No error repeats it."""
    key = (password or "").strip()
    if not key:
        raise KlapConfigError(
            f"The connection {conn_id!r} has no API key. Put the key from Klap into its Password field."
        )
    if len(key) < SHORTEST_SECRET:
        raise KlapConfigError(
            f"The API key of the connection {conn_id!r} (its Password) is incomplete: it has fewer than "
            f"{SHORTEST_SECRET} characters. Copy the whole key from Klap."
        )
    if not key.isascii() or not key.isprintable() or " " in key:
        raise KlapConfigError(
            f"The API key of the connection {conn_id!r} (its Password) has characters that no key has. Copy the "
            "key from Klap again."
        )
    return key


def _require_token(conn_id: str, token: Any) -> None:
    """Check the token. No error repeats it."""
    if token is not None and (not isinstance(token, str) or len(token.strip()) < SHORTEST_SECRET):
        raise KlapConfigError(
            f"external_access_token of the connection {conn_id!r} is incomplete: it has fewer than {SHORTEST_SECRET} "
            "characters. Copy the whole token from Klap."
        )


def _parse_extra(conn_id: str, extra: Any) -> Mapping[str, Any]:
    # Not conn.extra_dejson: it sends secrets to the supervisor, which blocks an event loop, and its async form is new
    # in Airflow 3.3.2. Airflow has masked the whole Extra already.
    try:
        fields = json.loads(extra.strip() or "null") if isinstance(extra, str) else extra  # some backends return a dict
    except ValueError:
        fields = extra
    if fields is None or isinstance(fields, dict):
        return fields or {}
    raise KlapConfigError(
        f"The Extra of the connection {conn_id!r} is not a JSON object. Write it as an object, such as "
        '{"destination": "s3://conn_id@bucket/path"}, or leave it empty.'
    )
