"""Fields of the DAGs' trigger forms. Those of Klap's requests are made from the models: each is declared once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import Param

from klap_provider.api import addresses
from klap_provider.api.aspect_ratio import ASPECT_RATIOS
from klap_provider.dag_parts.fields import properties_of
from klap_provider.files.allowlist import configured
from klap_provider.rules import video_list
from klap_provider.rules.allowlist import Location
from klap_provider.rules.conf_validation import unknown
from klap_provider.rules.cost import DEFAULT_CLIPS, Cost, Prices, dollars, estimate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: What a path or a URL in a form begins with (a JSON Schema pattern).
PLACE = "^(/|[a-zA-Z0-9]+://).+"


def form_fields(
    model: str,
    names: Sequence[str] | None = None,
    *,
    section: str | None = None,
    prefix: str = "",
    **defaults: Any,
) -> dict[str, Param]:
    """
    Return Airflow ``Param`` objects for fields of a model: title, help, type, bounds and default.

    :param model: its name, one of those of :mod:`klap_provider.dag_parts.fields`.
    :param names: which fields, in the order of the form; default: all but those that are objects of their own.
    :param section: heading to show them under. None: Airflow's own, which alone is open from the start.
    :param prefix: put before each name.
    :param defaults: other defaults than the model's, by field name. A required field without one stays required.
    """
    properties = properties_of(model)
    return {
        f"{prefix}{name}": _param(properties[name], section, defaults.get(name, properties[name].get("default", ...)))
        for name in names or [name for name, schema in properties.items() if _is_plain(schema)]
    }


def _is_plain(schema: dict[str, Any]) -> bool:
    return all("type" in variant for variant in schema.get("anyOf", [schema]))


def _param(schema: dict[str, Any], section: str | None, default: Any) -> Param:
    variants = schema.get("anyOf", [schema])
    types = [variant["type"] for variant in variants]
    if default is None and "null" not in types:
        types.append("null")
    rules: dict[str, Any] = {
        key: value
        for part in (*variants, schema)
        for key, value in part.items()
        if key not in ("type", "anyOf", "title", "description", "default")
    }
    if section:
        rules["section"] = section
    if default is not ...:
        rules["default"] = default
    return Param(
        type=types[0] if len(types) == 1 else types,
        title=schema["title"],
        description=schema.get("description"),
        **rules,
    )


def appearance_fields() -> dict[str, Param]:
    """Return the fields for the shape, the captions and the watermark of what Klap makes."""
    return {
        "aspect_ratio": Param(
            "9:16",
            type="string",
            enum=[*ASPECT_RATIOS],
            values_display={
                "9:16": "9:16 vertical: TikTok, Reels, Shorts",
                "4:5": "4:5 portrait: feeds",
                "1:1": "1:1 square",
                "16:9": "16:9 landscape",
            },
            title="Shape",
            description="Width to height, in full HD.",
            section="Look",
        ),
        **form_fields("Dimensions", section="Look", width=None, height=None),
        **form_fields("EditingOptions", section="Look"),
        **form_fields("VideoRequest", ["style_preset_id"], section="Look"),
        **form_fields("Watermark", section="Watermark", prefix="watermark_", src_url=None),
    }


def delivery_fields() -> dict[str, Param]:
    """Return the fields for where the videos go."""
    return {
        "destination": Param(
            None,
            type=["string", "null"],
            pattern=PLACE,
            title="Destination",
            description="Folder for the videos: a path, or a URL such as s3://aws_default@bucket/shorts. "
            "Empty: that of the Klap connection. If it has none: klap_shorts in Airflow's home, where tasks run on one "
            "machine; elsewhere the run is refused.",
            section="Delivery",
        ),
    }


def cost_fields() -> dict[str, Param]:
    """Return the fields for what may be paid, and for what was paid already."""
    return {
        **form_fields("Spending", ["budget"], section="Cost"),
        "reuse": Param(
            False,
            type="boolean",
            title="Reuse",
            description="If any run has sent this video with these settings before, go on with that: nothing is paid "
            "for it again.",
            section="Cost",
        ),
        "klap_task_id": Param(
            None,
            type=["string", "null"],
            title="Existing Klap task",
            description="Go on with this task of Klap instead of submitting, and paying for, the video.",
            section="Cost",
        ),
    }


def account_fields() -> dict[str, Param]:
    """Return the fields for who pays."""
    return {
        "klap_conn_id": Param(
            "klap_default",
            type="string",
            minLength=1,
            title="Klap connection",
            description="Id of the Airflow connection that holds the API key.",
            section="Account",
        ),
        "on_behalf_of": Param(
            None,
            type=["string", "null"],
            pattern="^[!-~]+$",
            title="On behalf of",
            description="Id of the managed Klap user to act for. Empty: that of the connection, if it has one.",
            section="Account",
        ),
    }


def add_cost_estimate(fields: dict[str, Param]) -> None:
    """Have the help of the field ``budget`` say what a video costs at most, at list prices and the form's defaults."""
    if {"max_clip_count", "limit"} <= fields.keys():
        most = estimate(
            Prices(), clips=fields["max_clip_count"].value or DEFAULT_CLIPS, max_exports=fields["limit"].value
        )
        what = f"{most.generated_shorts} clips, of which {most.exports} exported"
    else:
        most, what = Cost(Prices(), input_videos=1, exports=1), "the video and its export"
    fields["budget"].description = (
        f"{properties_of('Spending')['budget']['description']} At estimated prices that is at most "
        f"{dollars(most.total)} for {what}."
    )


#: A dialect of JSON Schema. What these fields say means the same in the latest one.
DIALECT = "http://json-schema.org/draft-07/schema#"


def set_schema_dialect(fields: Mapping[str, Param]) -> None:
    """
    Say of what dialect the fields' rules are.

    Each start of a task validates the run's form, and with each field that its rules are rules. Those of this dialect
    are one document, and not eight: a third of the time.
    """
    for param in fields.values():
        param.schema = {**param.schema, "$schema": DIALECT}


def for_batch(param: Param) -> Param:
    """
    Return the same field for a DAG that starts runs of another one: empty, so that the other one's default holds.

    A yes-or-no field is a text with both as proposals, because a switch has no third place; it takes a boolean, too.
    """
    schema = {name: rule for name, rule in param.schema.items() if name not in ("default", "const")}
    types = [schema["type"]] if isinstance(schema["type"], str) else list(schema["type"])
    if types == ["boolean"]:
        schema |= {"type": ["string", "boolean", "null"], "pattern": "^(yes|no)$", "examples": [*video_list.YES_OR_NO]}
    else:
        schema["type"] = [*types, *(["null"] if "null" not in types else [])]
    if "enum" in schema:
        schema["enum"] = [None, *(value for value in schema["enum"] if value is not None)]
        schema["values_display"] = {**schema.get("values_display", {}), "None": "As that DAG says"}
    return Param(None, description=param.description, **schema)


def allowed_prefixes(fields: Mapping[str, Param], name: str, allowed: Sequence[str] | None) -> list[str]:
    """
    Return the allowlist of a field: the allowed prefixes, and the field's own default.

    :param allowed: prefixes from the Dag file. None: those of Airflow's configuration
        (:mod:`klap_provider.files.allowlist`).
    :raises ValueError: the Dag file has a prefix that is not an address.
    """
    if isinstance(allowed, str):
        raise ValueError(f"what is allowed for {name} is a list, not a text: [{allowed!r}]")
    for prefix in allowed or ():
        Location.parse(prefix)
    default = fields[name].value
    own = [default] if isinstance(default, str) and default else []
    return [*(configured(name) if allowed is None else allowed), *own]


def set_defaults(fields: dict[str, Param], defaults: dict[str, Any]) -> None:
    """
    Give fields other defaults.

    :raises ValueError: names those that are no fields, or the default of ``source_video_url`` is no address.
    """
    if wrong := unknown(sorted(defaults), fields):
        raise ValueError(f"no such field of the trigger form: {', '.join(wrong)}")
    url = defaults.get("source_video_url")
    if isinstance(url, str) and "://" not in addresses.repaired(url):
        raise ValueError(f"source_video_url must be a complete address, such as https://example.com/a.mp4, not {url!r}")
    for name, value in defaults.items():
        fields[name].value = value
