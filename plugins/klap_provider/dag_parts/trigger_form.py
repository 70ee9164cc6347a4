"""
The parts of the trigger forms: groups of fields, with help, bounds and defaults.

Each Dag factory puts its form together, for example
:func:`~klap_provider.dag_parts.generate_shorts.shorts_form`. The fields of Klap's requests come from the models in
:mod:`klap_provider.api.requests`, through ``fields.json``. ``docs/reference/form.md`` lists all fields.
"""

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
from klap_provider.rules.cost import DEFAULT_SHORTS, Cost, Prices, dollars, estimate

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

#: JSON Schema pattern of a path or a URL.
PATH_OR_URL = "^(/|[a-zA-Z0-9]+://).+"


def form_fields(
    model: str,
    names: Sequence[str] | None = None,
    *,
    section: str | None = None,
    prefix: str = "",
    **defaults: Any,
) -> dict[str, Param]:
    """
    Return an Airflow ``Param`` with title, help, type, bounds and default for each field of a model.

    :param model: name of a model, see :mod:`klap_provider.dag_parts.fields`.
    :param names: names of the fields, in the order of the form. Default: all fields, without nested objects.
    :param section: section of the form. None: Airflow's default section, the only one that is open at first.
    :param prefix: prefix of each name in the form.
    :param defaults: defaults that replace the model's, by field name. A required field without a default stays
        required.
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
    """Return the fields for the aspect ratio, the captions and the watermark."""
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
            title="Aspect ratio",
            description="Width to height. The size is full HD, unless Width or Height is set.",
            section="Appearance",
        ),
        **form_fields("Dimensions", section="Appearance", width=None, height=None),
        **form_fields("EditingOptions", section="Appearance"),
        **form_fields("VideoRequest", ["style_preset_id"], section="Appearance"),
        **form_fields("Watermark", section="Watermark", prefix="watermark_", src_url=None),
    }


def delivery_fields() -> dict[str, Param]:
    """Return the field for the destination."""
    return {
        "destination": Param(
            None,
            type=["string", "null"],
            pattern=PATH_OR_URL,
            title="Destination",
            description="Folder for the videos: a path, or a URL such as s3://aws_default@bucket/shorts. "
            "Empty: the Destination of the Klap connection. If that is empty, too, LocalExecutor uses klap_shorts in "
            "Airflow's home. With other executors, the run fails before anything is sent.",
            section="Delivery",
        ),
    }


def cost_fields() -> dict[str, Param]:
    """Return the fields for the budget, and for continuing with the Klap task of another run."""
    return {
        **form_fields("Spending", ["budget"], section="Cost"),
        "reuse": Param(
            False,
            type="boolean",
            title="Reuse",
            description="If another run has submitted this video with the same settings, continue with its Klap task "
            "instead of paying again.",
            section="Cost",
        ),
    }


def existing_task_field() -> dict[str, Param]:
    """Return the field for a Klap task that exists already."""
    return {
        "klap_task_id": Param(
            None,
            type=["string", "null"],
            title="Existing Klap task",
            description="Id of a Klap task. Continue with this task instead of submitting and paying for the video. "
            "Empty: the video is submitted.",
            section="Video",
        ),
    }


def account_fields() -> dict[str, Param]:
    """Return the fields for the Klap account."""
    return {
        "klap_conn_id": Param(
            "klap_default",
            type="string",
            minLength=1,
            title="Klap connection",
            description="Id of the Airflow connection that has the API key. A run can use the default of this field, "
            "and connections on the allowlist.",
            section="Account",
        ),
        "on_behalf_of": Param(
            None,
            type=["string", "null"],
            pattern="^[!-~]+$",
            title="On behalf of",
            description="Id of the managed Klap user to act for. Empty: the user of the connection, if it has one.",
            section="Account",
        ),
    }


def add_cost_estimate(fields: dict[str, Param]) -> None:
    """Add the maximum cost of a run, at estimated prices and the form's defaults, to the help of ``budget``."""
    if {"max_clip_count", "limit"} <= fields.keys():
        most = estimate(
            Prices(), shorts=fields["max_clip_count"].value or DEFAULT_SHORTS, max_exports=fields["limit"].value
        )
        what = f"{most.generated_shorts} shorts and {most.exports} export{'s' * (most.exports != 1)}"
    else:
        most, what = Cost(Prices(), input_videos=1, exports=1), "the video and its export"
    fields["budget"].description = (
        f"{properties_of('Spending')['budget']['description']} At estimated prices, a run "
        f"with the default settings costs at most {dollars(most.total)}: {what}."
    )


#: A dialect of JSON Schema that validates these fields like the latest one does.
DIALECT = "http://json-schema.org/draft-07/schema#"


def set_schema_dialect(fields: Mapping[str, Param]) -> None:
    """
    Set the JSON Schema dialect of all fields.

    Each start of a task validates the form, and also each field's schema. This dialect's metaschema is one document
    rather than eight, which takes a third of the time.
    """
    for param in fields.values():
        param.schema = {**param.schema, "$schema": DIALECT}


def for_batch(param: Param) -> Param:
    """
    Return a field for the batch Dag. It is empty by default, so that the default of the Dag that it starts applies.

    A boolean field becomes a text field with yes and no as examples, because a switch cannot be empty. It also accepts
    a boolean.
    """
    description, default = param.description or "", param.value
    if default is not None:  # empty means this default, whatever it means in the form of that Dag
        text = ("yes" if default else "no") if isinstance(default, bool) else default
        description = f"{description.partition(' Empty:')[0]} Empty: the default of that Dag, {text}."
    schema = {name: rule for name, rule in param.schema.items() if name not in ("default", "const")}
    types = [schema["type"]] if isinstance(schema["type"], str) else list(schema["type"])
    if types == ["boolean"]:
        schema |= {"type": ["string", "boolean", "null"], "pattern": "^(yes|no)$", "examples": [*video_list.YES_OR_NO]}
    else:
        schema["type"] = [*types, *(["null"] if "null" not in types else [])]
    if "enum" in schema:
        schema["enum"] = [None, *(value for value in schema["enum"] if value is not None)]
        schema["values_display"] = {**schema.get("values_display", {}), "None": "Default of that Dag"}
    return Param(None, description=description, **schema)


def allowlist(fields: Mapping[str, Param], name: str, allowed: Sequence[str] | None) -> list[str]:
    """
    Return the allowlist of a field: what the Dag file or the configuration allows, and the field's default.

    :param allowed: prefixes or ids of connections from the Dag file. None: those of Airflow's configuration
        (:mod:`klap_provider.files.allowlist`).
    :raises ValueError: a prefix in the Dag file is not an address.
    """
    if isinstance(allowed, str):
        raise ValueError(f"The allowlist of {name} must be a list: write [{allowed!r}].")
    if name != "klap_conn_id":
        for prefix in allowed or ():
            Location.parse(prefix)
    default = fields[name].value
    own = [default] if isinstance(default, str) and default else []
    return [*(configured(name) if allowed is None else allowed), *own]


def set_defaults(fields: dict[str, Param], defaults: Mapping[str, Any], arguments: Collection[str]) -> None:
    """
    Set the defaults of fields.

    :param arguments: names of the arguments of the function that makes the Dag.
    :raises ValueError: a name is not a field (the message names it), or the default of ``source_video_url`` is not an
        address.
    """
    if misplaced := sorted(defaults.keys() & arguments):
        raise ValueError(
            f"The trigger form has no such field: {', '.join(misplaced)}. Pass {misplaced[0]}=… as an argument of its "
            "own, not in form=…."
        )
    if wrong := unknown(sorted(defaults), fields):
        raise ValueError(f"The trigger form has no such field: {', '.join(wrong)}.")
    url = defaults.get("source_video_url")
    if isinstance(url, str) and "://" not in addresses.repaired(url):
        raise ValueError(
            f"source_video_url is {url!r}; it must be a complete address such as https://example.com/a.mp4."
        )
    for name, value in defaults.items():
        fields[name].value = value
