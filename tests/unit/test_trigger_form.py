"""Fields of the trigger form come from the request models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk.exceptions import ParamValidationError

from klap_caption_video import dag as video_dag
from klap_generate_shorts import dag, klap_generate_shorts
from klap_generate_shorts_batch import dag as batch_dag
from klap_provider.api.aspect_ratio import ASPECT_RATIOS
from klap_provider.api.languages import LANGUAGES
from klap_provider.api.requests import Dimensions, EditingOptions, ShortsRequest, VideoRequest, Watermark
from klap_provider.dag_parts import fields
from klap_provider.dag_parts.trigger_form import form_fields
from klap_provider.rules.limits import Selection

if TYPE_CHECKING:
    from airflow.sdk import DAG, Param
    from pydantic import BaseModel

NESTED = {"dimensions", "editing_options"}
MODELS = [ShortsRequest, VideoRequest, Dimensions, EditingOptions, Watermark, Selection]
FIELDS = [(model, name) for model in MODELS for name in model.model_fields if name not in NESTED]
each_field = pytest.mark.parametrize(
    ("model", "name"), FIELDS, ids=lambda value: value if isinstance(value, str) else value.__name__
)


def param(model: type[BaseModel], name: str, **defaults: Any) -> Param:
    return form_fields(model.__name__, [name], section="Here", **defaults)[name]


@each_field
def test_title_help_and_section_arrive_in_the_form(model: type[BaseModel], name: str) -> None:
    field = model.model_fields[name]
    shown = param(model, name)
    assert shown.schema["title"] == field.title
    assert field.title
    assert shown.description == field.description
    assert field.description
    assert shown.schema["section"] == "Here"


@each_field
def test_a_required_field_stays_required_and_the_others_keep_their_default(model: type[BaseModel], name: str) -> None:
    field = model.model_fields[name]
    shown = param(model, name)
    if field.is_required():
        with pytest.raises(ParamValidationError, match="no default value"):
            shown.resolve()
    else:
        assert shown.resolve() == field.default


@pytest.mark.parametrize(
    ("model", "name", "bounds"),
    [
        (ShortsRequest, "source_video_url", {"minLength": 1}),
        (ShortsRequest, "transcription_context", {"maxLength": 1000}),
        (ShortsRequest, "target_clip_count", {"minimum": 1}),
        (ShortsRequest, "max_clip_count", {"minimum": 1}),
        (ShortsRequest, "min_duration", {"minimum": 1, "maximum": 120}),
        (ShortsRequest, "max_duration", {"minimum": 1, "maximum": 180}),
        (ShortsRequest, "target_duration", {"minimum": 1, "maximum": 120}),
        (Dimensions, "width", {"minimum": 16, "maximum": 3840, "multipleOf": 2}),
        (Watermark, "pos_x", {"minimum": 0, "maximum": 1}),
        (Watermark, "pos_y", {"minimum": 0, "maximum": 1}),
        (Watermark, "scale", {"exclusiveMinimum": 0, "maximum": 100}),
        (Selection, "limit", {"minimum": 1}),
        (Selection, "min_virality_score", {"minimum": 0, "maximum": 100}),
    ],
)
def test_bounds_arrive_in_the_form(model: type[BaseModel], name: str, bounds: dict[str, Any]) -> None:
    assert bounds.items() <= param(model, name).schema.items()


@pytest.mark.parametrize(
    ("model", "name", "good", "bad"),
    [
        (ShortsRequest, "source_video_url", "https://example.com/a.mp4", ["", None, 7]),
        # The task "submit" refuses invalid addresses with a reason. Airflow's form would show a regular expression.
        (ShortsRequest, "source_video_url", " Youtu.be/dQw4w9WgXcQ\u200b", [""]),
        (ShortsRequest, "max_clip_count", 3, [0, "3", 2.5, True]),
        (ShortsRequest, "max_duration", 180, [181, 0]),
        (ShortsRequest, "language", None, [7]),
        (ShortsRequest, "transcription_context", "x" * 1000, ["x" * 1001]),
        (EditingOptions, "captions", False, ["yes", None]),
        (Watermark, "pos_x", 0.25, [1.5, -0.1, None]),
        (Watermark, "scale", 0.5, [0]),
        (Selection, "min_virality_score", 100, [101, "high"]),
    ],
)
def test_airflow_accepts_what_the_model_accepts(model: type[BaseModel], name: str, good: Any, bad: list[Any]) -> None:
    assert param(model, name).resolve(good) == good
    for value in bad:
        with pytest.raises(ParamValidationError):
            param(model, name).resolve(value)


def test_an_optional_field_may_be_left_empty() -> None:
    assert param(ShortsRequest, "max_clip_count").schema["type"] == ["integer", "null"]
    assert param(ShortsRequest, "max_clip_count").resolve(None) is None


def test_another_default_has_the_same_bounds() -> None:
    assert param(Selection, "limit", limit=3).resolve() == 3
    with pytest.raises(ParamValidationError):
        param(Selection, "limit", limit=0).resolve()


def test_a_required_field_with_the_default_none_keeps_its_bounds() -> None:
    shown = param(Watermark, "src_url", src_url=None)
    assert shown.schema["type"] == ["string", "null"]
    assert shown.resolve() is None
    assert shown.resolve("https://example.com/logo.png") == "https://example.com/logo.png"
    with pytest.raises(ParamValidationError):
        shown.resolve("")


def test_fields_come_in_the_order_asked_for_and_with_the_prefix() -> None:
    names = ["max_duration", "min_duration"]
    assert list(form_fields("ShortsRequest", names, section="x", prefix="clip_")) == [
        "clip_max_duration",
        "clip_min_duration",
    ]


@pytest.mark.parametrize("model", [Dimensions, EditingOptions, Watermark, Selection])
def test_all_fields_are_shown_in_the_models_order_by_default(model: type[BaseModel]) -> None:
    assert list(form_fields(model.__name__, section="x")) == list(model.model_fields)


def test_a_field_that_the_model_does_not_have_is_an_error() -> None:
    with pytest.raises(KeyError, match="dimension"):
        form_fields("ShortsRequest", ["dimension"], section="x")


def test_a_field_without_a_section_is_in_airflows_default_section() -> None:
    assert "section" not in form_fields("Selection")["limit"].schema


def test_languages_are_chosen_by_name_and_sent_as_codes() -> None:
    for name in ("language", "translate_to"):
        shown = param(ShortsRequest, name)
        assert shown.schema["enum"] == [None, *LANGUAGES]
        assert shown.schema["values_display"].items() >= LANGUAGES.items()
        assert shown.resolve("ja") == "ja"
        with pytest.raises(ParamValidationError):
            shown.resolve("Klingon")


def test_the_option_of_none_has_a_text() -> None:
    assert param(ShortsRequest, "language").schema["values_display"]["None"] == "Klap detects it"
    assert param(ShortsRequest, "translate_to").schema["values_display"]["None"] == "No translation"


def test_the_form_has_the_url_first_and_then_its_sections() -> None:
    fields = dag.params.dump()
    schemas = {name: dag.params.get_param(name).schema for name in fields}
    sections = list(dict.fromkeys(schema.get("section") for schema in schemas.values()))
    assert sections == [None, *SECTIONS]
    assert [name for name, schema in schemas.items() if "section" not in schema] == ["source_video_url"]


def test_every_field_has_texts_and_all_but_the_url_a_default() -> None:
    for name in dag.params:
        shown = dag.params.get_param(name)
        assert shown.schema["title"], name
        assert shown.description, name
        if name != "source_video_url":
            assert shown.resolve() == shown.value


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("aspect_ratio", ["9:16", "4:5", "1:1", "16:9"], ["3:2", None, ""]),
        ("review_hours", [0.5, 24, 720], [0, -1, 721, "soon"]),
        ("destination", [None, "/data", "s3://aws@bucket/shorts"], ["data", "C:", "s3:/bucket", ""]),
        ("klap_conn_id", ["klap_default"], ["", None]),
        ("width", [None, 720], [721, 0, "wide"]),
    ],
)
def test_the_form_refuses_what_the_tasks_refuse(name: str, good: list[Any], bad: list[Any]) -> None:
    field = dag.params.get_param(name)
    for value in good:
        assert field.resolve(value) == value
    for value in bad:
        with pytest.raises(ParamValidationError):
            field.resolve(value)


@pytest.mark.parametrize(
    ("defaults", "words"),
    [
        ({}, "at most $5.08: 10 shorts and 3 exports."),
        ({"max_clip_count": 4, "limit": None}, "at most $3.64: 4 shorts and 4 exports."),
        ({"max_clip_count": None, "limit": 1}, "at most $4.12: 10 shorts and 1 export."),
    ],
)
def test_the_help_of_the_budget_names_the_cost_of_the_defaults(defaults: dict[str, Any], words: str) -> None:
    assert klap_generate_shorts("klap_dear", form=defaults).params.get_param("budget").description.endswith(words)


def test_the_help_of_the_budget_names_the_cost_of_a_whole_video() -> None:
    assert video_dag.params.get_param("budget").description.endswith("at most $0.92: the video and its export.")


def test_each_aspect_ratio_has_a_text() -> None:
    schema = dag.params.get_param("aspect_ratio").schema
    assert schema["enum"] == [*schema["values_display"]] == [*ASPECT_RATIOS]
    assert all(words.startswith(f"{shape} ") for shape, words in schema["values_display"].items())


def test_the_generated_fields_are_up_to_date() -> None:
    assert fields.FILE.read_text(encoding="utf-8") == fields.generate(), "after a change to a model: make fields"


#: The sections, in the order in which somebody fills the form.
SECTIONS = ["Video", "Shorts", "Appearance", "Watermark", "Export", "Delivery", "Review", "Cost", "Account"]


@pytest.mark.parametrize("of", [dag, video_dag, batch_dag], ids=lambda each: each.dag_id)
def test_each_optional_field_says_what_empty_means(of: DAG) -> None:
    fields = {name: of.params.get_param(name) for name in of.params}
    sections = list(dict.fromkeys(field.schema["section"] for field in fields.values() if "section" in field.schema))
    assert sections == [each for each in SECTIONS if each in sections]
    silent = [
        name
        for name, field in fields.items()
        if "null" in field.schema["type"] and "Empty:" not in (field.description or "")
    ]
    assert set(silent) <= {"list_path", "source_video_urls"}  # one of the two is required


def test_just_these_shorts_is_beside_the_existing_task() -> None:
    names = list(dag.params)
    assert names.index("project_ids") == names.index("klap_task_id") + 1


def test_the_help_of_the_batch_names_the_defaults_of_the_main_dag() -> None:
    def text(name: str) -> str:
        return str(batch_dag.params.get_param(name).description)

    assert text("limit").startswith("Maximum number of shorts to export, best first.")
    assert text("limit").endswith(" in any case. Empty: the default of that Dag, 3.")
    assert text("review").endswith(" Empty: the default of that Dag, no.")
    assert text("budget") == dag.params.get_param("budget").description
    assert "10 shorts and 3 exports" in text("budget")
