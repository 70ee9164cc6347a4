"""What the Shorts tab shows of a run."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klap_provider.airflow_internals.runs import Instance, Question, Run
from klap_provider.rules.selection import Unselected
from klap_provider.rules.video_list import URL
from klap_provider.ui.batch import batch_of
from klap_provider.ui.facts import OF_A_BATCH, OF_A_RUN, UNREADABLE, Facts
from klap_provider.ui.run_details import details_of
from klap_provider.ui.shorts_tab import as_json
from klap_provider.ui.texts import LEFT_OUT, file_of, file_size, last_parts, source_of, web_address
from tests.support.response_types import assert_is

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

STEPS = {"export": "ExportShortOperator", "wait": "ExportStatusSensor", "deliver": "DeliverShortOperator"}
TASKS = {
    "submit": "SubmitShortsOperator",
    "wait_for_shorts": "TaskStatusSensor",
    "select": "ReviewShortsOperator",
    "publish": "PublishShortsOperator",
}
VIDEO = "https://example.com/a.mp4"
AT = "2026-01-01T11:58:00+00:00"

XComs = dict[tuple[str, int, str], Any]


def instance(task_id: str, operator: str, state: str | None, map_index: int = -1, **more: Any) -> Instance:
    return Instance(
        id=f"{task_id}.{map_index}",
        dag_id="d",
        run_id="r",
        task_id=task_id,
        map_index=map_index,
        operator=operator,
        state=state,
        **more,
    )


def step(name: str, map_index: int, state: str | None) -> Instance:
    return instance(f"short.{name}", STEPS[name], state, map_index)


def steps(map_index: int, *states: str | None) -> list[Instance]:
    """Return the steps of a short. Steps without a state have not begun."""
    return [
        step(name, map_index, state) for name, state in zip(STEPS, [*states, *[None] * (3 - len(states))], strict=True)
    ]


def short(project_id: str, **more: Any) -> dict[str, Any]:
    known = {"project_id": project_id, "short_name": f"Short {project_id}", "virality_score": 50, "reason": None}
    return {**known, **more}


def facts(
    *,
    state: str = "running",
    conf: dict[str, Any] | None = None,
    tasks: dict[str, str | None] | None = None,
    mapped: Iterable[Instance] = (),
    xcoms: XComs | None = None,
    shorts: Sequence[Any] | None = None,
    operators: dict[str, str] | None = None,
    **more: Any,
) -> Facts:
    """Return the facts of a run whose tasks have these states."""
    run = Run(1, "d", "r", state, AT, None, None, None, {URL: VIDEO} if conf is None else conf)
    there = {**dict.fromkeys(TASKS), **(tasks or {})}
    plain = [instance(name, {**TASKS, **(operators or {})}[name], state) for name, state in there.items()]
    left: XComs = {**({("select", -1, "klap_shorts"): list(shorts)} if shorts is not None else {}), **(xcoms or {})}
    return Facts(run, [*plain, *mapped], left, **more)


LISTED = {"submit": "success", "wait_for_shorts": "success", "select": "success"}


def exporting(shorts: Sequence[Any], *mapped: Instance, published: str | None = None, **more: Any) -> Facts:
    """Return a run that exports its shorts."""
    return facts(shorts=shorts, mapped=mapped, tasks={**LISTED, "publish": published}, **more)


def view(known: Facts) -> dict[str, Any]:
    details = details_of(known)
    assert details is not None
    return details


def cards(known: Facts, *names: str) -> list[Any]:
    """Return these fields, or this field, of each short."""
    return [[card[name] for name in names] if len(names) > 1 else card[names[0]] for card in view(known)["shorts"]]


# The run


def test_a_run_without_a_task_that_works_with_klap_has_no_details() -> None:
    run = Run(1, "d", "r", "success", AT, None, None, None, {})
    assert details_of(Facts(run, [])) is None
    assert batch_of(Facts(run, []), {}) is None


@pytest.mark.parametrize(
    ("address", "text", "href"),
    [
        (VIDEO, VIDEO, VIDEO),
        ("https://youtu.be/M7lc1UVf-VE?si=x", *["https://www.youtube.com/watch?v=M7lc1UVf-VE"] * 2),
        (f"{VIDEO}?X-Amz-Signature=s3cr3t", VIDEO, VIDEO),
        (f"{VIDEO}?token=s3cr3t", f"{VIDEO}?…a7937b64", None),
        ("https://ada:s3cr3t@example.com/a.mp4", VIDEO, None),
        ("s3://media@bucket/a.mp4", "s3://bucket/a.mp4", None),
        (f"{VIDEO}?…a7937b64", f"{VIDEO}?…a7937b64", None),
        ("javascript:alert(1)", "javascript:alert(1)", None),
    ],
)
def test_a_video_is_linked_only_if_its_address_has_no_secret(address: str, text: str, href: str | None) -> None:
    found = source_of(address)
    assert "s3cr3t" not in str(found)
    assert found["href"] == href
    if "token" not in address:
        assert found["text"] == text
    else:
        assert str(found["text"]).startswith(f"{VIDEO}?…")


@pytest.mark.parametrize(
    ("address", "is_embedded"),
    [
        ("https://klap.app/embed/a", True),
        ("https://app.klap.app/embed/a?x=1", True),
        ("https://api.klap.video/v2/embed/a", True),
        ("http://127.0.0.1:8000/player/a", True),
        ("http://localhost/player/a", True),
        ("http://klap.app/embed/a", False),
        ("https://klap.app.evil.example/a", False),
        ("https://notklap.app/a", False),
        ("https://klap.app@evil.example/a", False),
        ("https://evil.example\\@klap.app/a", False),
        ("https://klap.app\\@evil.example/a", False),
        ("https://klap.app/a\n", False),
        ("http://10.0.0.1/admin", False),
        ("javascript:alert(1)", False),
        (["https://klap.app/embed/a"], False),
    ],
)
def test_only_klaps_player_is_embedded(address: Any, is_embedded: bool) -> None:
    known = exporting([short("a", embed_url=address)], *steps(0, "success"))
    assert cards(known, "embed") == [address if is_embedded else None]


def test_the_video_is_taken_from_the_submission_or_else_from_the_conf() -> None:
    assert view(facts())["source"]["href"] == VIDEO
    recorded: XComs = {
        ("submit", -1, "return_value"): {"klap_task_id": "t", "video": "https://b.example/v.mp4?…12345678"}
    }
    for conf in ({}, {URL: VIDEO}):
        found = view(facts(conf=conf, tasks={"submit": "success"}, xcoms=recorded))
        assert found["source"] == {"text": "https://b.example/v.mp4?…12345678", "href": None}
        assert (found["name"], found["is_named"]) == ("b.example/v.mp4?…12345678", False)
    assert view(facts(conf={}))["source"] is None


def test_a_run_is_named_after_its_video_name_or_else_its_address() -> None:
    named = view(facts(conf={URL: VIDEO, "name": "Town hall"}))
    assert (named["name"], named["is_named"]) == ("Town hall", True)
    unnamed = view(facts())
    assert (unnamed["name"], unnamed["is_named"]) == ("example.com/a.mp4", False)


def test_the_wait_for_klap_is_shown_with_its_start_without_a_percentage() -> None:
    since = "2026-01-01T10:45:00+00:00"
    xcoms: XComs = {("submit", -1, "return_value"): {"submitted_at": since}}
    details = view(facts(tasks={"submit": "success", "wait_for_shorts": "deferred"}, xcoms=xcoms))
    stage = details["stage"]
    assert (stage["state"], stage["text"], stage["since"], details["percent"]) == (
        "deferred",
        "Waiting for Klap",
        since,
        None,
    )


def test_the_wait_for_an_existing_task_is_shown_since_the_run_waits() -> None:
    xcoms: XComs = {("submit", -1, "return_value"): {"submitted_at": "2026-01-01T10:45:00+00:00"}}
    tasks = {"submit": "success", "wait_for_shorts": "deferred"}
    stage = view(facts(tasks=tasks, xcoms=xcoms, conf={"klap_task_id": "task01"}))["stage"]
    assert (stage["text"], stage["since"]) == ("Waiting for Klap", None)


def test_a_step_that_is_not_scheduled_yet_has_the_state_of_the_run() -> None:
    tasks = {"submit": "success", "wait_for_shorts": "success", "select": None}
    stage = view(facts(tasks=tasks))["stage"]
    assert (stage["state"], stage["text"]) == ("running", "Selecting the shorts")


def test_no_export_is_announced_after_a_selection_of_none() -> None:
    known = exporting([short("a", reason="below_minimum")], published="running")
    assert view(known)["stage"]["text"] == "No short was selected"


def test_a_failed_step_of_a_run_is_shown_with_its_error_and_its_log() -> None:
    tasks = {"submit": "failed", "wait_for_shorts": "upstream_failed"}
    xcoms: XComs = {("submit", -1, "klap_error"): {"error": "402: out of credits"}}
    details = view(facts(state="failed", tasks=tasks, xcoms=xcoms))
    assert (details["stage"]["text"], details["stage"]["error"]) == (
        "The video could not be submitted",
        "402: out of credits",
    )
    assert (details["stage"]["log"]["task_id"], details["ended"]) == ("submit", True)


def test_no_selected_shorts_and_no_shorts_have_different_texts() -> None:
    ended = {"state": "success", "published": "success"}
    assert view(exporting([short("a", reason="below_minimum")], **ended))["stage"]["text"] == "No short was selected"
    unscored = view(exporting([short("a", reason="no_score")], **ended))["stage"]["text"]
    assert unscored == "No short was selected: Klap gave none of them a score"
    assert view(exporting([], **ended))["stage"]["text"] == "The run ended without shorts"


def test_a_user_who_may_not_read_xcoms_sees_the_stage_without_shorts() -> None:
    details = view(exporting([short("a")], *steps(0, "success"), state="success", reads_xcoms=False))
    assert (details["shorts"], details["stage"]["text"]) == ([], "The run ended")


def test_progress_counts_the_finished_steps() -> None:
    mapped = [*steps(0, "success", "success", "success"), *steps(1, "success", "deferred")]
    details = view(exporting([short("a"), short("b")], *mapped))
    assert (details["percent"], details["stage"]["text"]) == (67, "Exporting: 1 of 2 shorts delivered")


# The shorts


def test_selected_shorts_have_consecutive_map_indexes() -> None:
    shorts = [short("a"), short("x", reason="not_selected"), short("b")]
    known = exporting(shorts, *steps(0, "success", "success", "running"), *steps(1, "success", "deferred"))
    assert cards(known, "state", "text", "left_out") == [
        ["running", "Delivering", None],
        [None, "", "Not selected"],
        ["deferred", "Exporting", None],
    ]
    logs = cards(known, "log")
    assert [log and (log["task_id"], log["map_index"]) for log in logs] == [
        ("short.deliver", 0),
        None,
        ("short.wait", 1),
    ]


def test_each_reason_for_not_selecting_a_short_has_a_text() -> None:
    assert LEFT_OUT.keys() == {reason.value for reason in Unselected}


def test_a_short_is_delivered_when_its_last_step_has_succeeded() -> None:
    mapped = [step("export", 0, "success"), step("wait", 0, "success"), step("deliver", -1, None)]
    assert cards(exporting([short("a")], *mapped), "text") == ["Waiting to start"]
    assert cards(exporting([short("a")], *steps(0, "success", "success", "success")), "text") == ["Delivered"]


def test_a_failed_step_is_shown_for_its_short_with_its_error_and_log() -> None:
    mapped = steps(0, "success", "failed", "upstream_failed")
    xcoms: XComs = {("short.wait", 0, "klap_error"): {"error": "out of memory"}}
    [[state, words, error, log]] = cards(exporting([short("a")], *mapped, xcoms=xcoms), "state", "text", "error", "log")
    assert (state, words, error, log["task_id"]) == ("failed", "The export failed", "out of memory", "short.wait")


def test_xcoms_of_a_cleared_task_are_not_shown() -> None:
    xcoms: XComs = {
        ("short.wait", 0, "klap_error"): {"error": "old"},
        ("short.deliver", 0, "return_value"): {"path": "/old.mp4"},
        ("publish", -1, "klap_outcome"): [{"project_id": "a", "path": "/old.mp4", "error": None}],
    }
    [[error, path]] = cards(exporting([short("a")], *steps(0, "success", "scheduled"), xcoms=xcoms), "error", "path")
    assert (error, path) == (None, None)


OUTCOME: list[dict[str, Any]] = [
    {"project_id": "a", "path": "file:///a.mp4", "size": 2_000_000, "src_url": VIDEO, "step": None, "error": None},
    {"project_id": "b", "path": None, "size": None, "src_url": None, "step": "wait", "error": "out of memory"},
]


def test_the_outcome_of_publish_is_shown_for_a_finished_run() -> None:
    mapped = [*steps(0, "success", "success", "success"), *steps(1, "success", "failed", "upstream_failed")]
    ended = {"state": "failed", "published": "failed", "xcoms": {("publish", -1, "klap_outcome"): OUTCOME}}
    known = exporting([short("a"), short("b")], *mapped, **ended)
    assert cards(known, "path", "bytes", "video", "error") == [
        ["file:///a.mp4", 2_000_000, VIDEO, None],
        [None, None, None, "out of memory"],
    ]
    details = view(known)
    assert (details["stage"]["state"], details["stage"]["text"], details["percent"], details["delivered"]) == (
        "failed",
        "1 of 2 shorts delivered, 1 failed",
        100,
        1,
    )
    totals = [f"{total['label']} {total['value']}" for total in details["totals"]]
    assert totals == ["Generated 2", "Selected 2", "Delivered 1", "Failed 1", "Size 2.0 MB"]
    # Also if Airflow has no task instances of the steps.
    assert cards(exporting([short("a"), short("b")], **ended), "state") == ["success", "failed"]


def test_a_short_is_played_from_storage_only_if_the_server_may_send_it() -> None:
    ended = {"state": "success", "published": "success", "xcoms": {("publish", -1, "klap_outcome"): OUTCOME}}
    served = exporting([short("a")], *steps(0, "success", "success", "success"), **ended, is_served=lambda path: True)
    assert cards(served, "stored", "video") == [[True, VIDEO]]
    assert cards(replace(served, is_served=lambda path: False), "stored", "video") == [[False, VIDEO]]


@pytest.mark.parametrize(
    ("order", "conf", "watermark"),
    [
        ({"watermark": "https://example.com/brand/logo.png?…12345678"}, {}, "logo.png"),
        ({"watermark": "https://example.com"}, {}, "a watermark"),
        ({"watermark": None}, {"watermark_src_url": "https://example.com/other.png"}, None),
        ({"export_id": "e"}, {"watermark_src_url": "https://u:p@example.com/brand/logo.png?sig=1"}, "logo.png"),
        ({"export_id": "e"}, {"watermark_src_url": None}, None),
        (None, {"watermark_src_url": "https://example.com/other.png"}, None),
    ],
)
def test_a_watermark_is_shown_by_its_file_name_only(order: Any, conf: dict[str, Any], watermark: str | None) -> None:
    xcoms: XComs = {("short.export", 0, "return_value"): order}
    known = exporting([short("a")], *steps(0, "success"), xcoms=xcoms, conf={URL: VIDEO, **conf})
    assert cards(known, "watermark") == [watermark]


def test_a_dag_that_lists_no_shorts_has_a_card_for_each_export() -> None:
    mapped = [step("export", -1, "success"), step("wait", -1, "success")]
    xcoms: XComs = {
        ("short.export", -1, "return_value"): {"project_id": "p", "short_name": "Whole"},
        ("short.wait", -1, "return_value"): {"project_id": "p", "src_url": VIDEO},
    }
    known = facts(state="success", tasks={"submit": "success"}, mapped=mapped, xcoms=xcoms)
    assert cards(known, "name", "text", "video") == [["Whole", "Exported", VIDEO]]
    assert view(known)["stage"]["text"] == "1 of 1 short exported"


def test_only_http_addresses_are_linked() -> None:
    shorts = [short("a", preview_url="javascript:alert(1)"), short("b", preview_url="https://klap.app/player/b")]
    assert cards(exporting(shorts), "preview") == [None, "https://klap.app/player/b"]
    for odd in ("data:text/html,x", "//klap.app", "https:///x", "http://[", 7, None, ["https://a"]):
        assert web_address(odd) is None


# The review


OPTIONS = ["1. A", "2. B", "3. C", "None of them"]
ASKED = [short("a"), short("b", reason="beyond_limit"), short("c")]


def asking(state: str | None = "awaiting_input", **question: Any) -> Facts:
    """Return a run that waits for the review of three shorts, or resumes after it."""
    known = facts(shorts=ASKED, tasks={"submit": "success", "wait_for_shorts": "success", "select": None})
    select = instance("select", TASKS["select"], state, resumes=state != "awaiting_input")
    instances = [select if each.task_id == "select" else each for each in known.instances]
    asked: dict[str, Any] = {"answered_at": None, "chosen": [], "by": None, **question}
    return replace(
        known, instances=instances, questions={select.id: Question(select.id, "Which?", OPTIONS, AT, **asked)}
    )


def test_a_review_names_the_option_of_each_short_and_its_state() -> None:
    details = view(asking())
    assert details["stage"]["text"] == "Which shorts should be exported?"
    assert details["question"] == {
        "task": {"task_id": "select", "map_index": -1, "id": "select.-1", "state": "awaiting_input", "try_number": 1},
        "options": {"a": "1. A", "b": "2. B", "c": "3. C"},
        "none": "None of them",
        "asked_at": AT,
    }
    assert cards(asking(), "state", "left_out") == [
        ["awaiting_input", None],
        [None, 'Over the limit in "Shorts to export"'],
        ["awaiting_input", None],
    ]
    assert details["totals"] == [{"label": "Generated", "value": "3"}]


@pytest.mark.parametrize("state", ["awaiting_input", "scheduled", "queued", "running"])
def test_an_answered_review_shows_who_selected_what_and_when(state: str) -> None:
    answered = asking(state, answered_at=AT, chosen=["2. B"], by="Ada")
    assert cards(answered, "left_out", "text") == [
        ["Not selected", ""],
        [None, "Selected"],
        ["Not selected", ""],
    ]
    details = view(answered)
    assert details["review"] == {"by": "Ada", "text": "selected 1 of 3 shorts", "at": AT}
    assert (details["stage"]["text"], details["question"]) == ("Continuing with the selected shorts", None)
    none = view(asking(state, answered_at=AT, chosen=["None of them", "2. B"]))
    assert (none["review"]["by"], [card["left_out"] for card in none["shorts"]]) == (
        "Somebody",
        ["Not selected"] * 3,
    )


@pytest.mark.parametrize("state", [None, "scheduled", "queued", "running"])
def test_no_short_is_shown_as_not_selected_before_the_task_has_ended(state: str | None) -> None:
    assert cards(asking(state), "left_out", "text") == [[None, "Waiting for the selection"]] * 3
    assert view(asking(state))["question"] is None


def test_a_short_selected_by_default_waits_for_the_review() -> None:
    assert cards(asking(), "left_out", "text")[0] == [None, "Waiting for the review"]


def test_a_cleared_select_task_shows_no_review_until_it_opens_one() -> None:
    known = asking("scheduled", answered_at=AT, chosen=["2. B"])
    cleared = replace(known.first(("ReviewShortsOperator",)), resumes=False)  # type: ignore[type-var]  # first() may return None
    details = view(
        replace(known, instances=[cleared if each.task_id == "select" else each for each in known.instances])
    )
    assert (details["shorts"], details["review"], details["stage"]["text"]) == ([], None, "Selecting the shorts")


def test_a_review_shows_who_selected_or_that_nobody_answered() -> None:
    def review(value: dict[str, Any]) -> Any:
        return view(exporting([short("a"), short("b")], xcoms={("select", -1, "klap_review"): value}))["review"]

    ada = {"by": "Ada", "timed_out": False, "selected": ["a"], "answered_at": AT}
    assert review(ada) == {"by": "Ada", "text": "selected 1 of 2 shorts", "at": AT}
    assert review({"by": None, "timed_out": True, "selected": ["a"]}) == {
        "by": "Nobody",
        "text": "answered in time: the shorts selected by default were exported",
        "at": None,
    }


# Cost


def test_the_price_of_an_export_is_known_after_the_list() -> None:
    offer = {"price": 0.48, "estimated": True, "covered": 2, "deadline": AT, "spent": 2.04}
    details = view(replace(asking(), xcoms={**asking().xcoms, ("select", -1, "klap_offer"): offer}))
    assert details["offer"] == {"price": 0.48, "estimated": True, "covered": 2, "deadline": AT}
    assert details["cost"] == {"total": 2.04, "estimated": True, "is_sum": False}
    assert view(facts())["offer"] is None


def test_the_cost_of_publish_replaces_the_cost_of_the_list() -> None:
    xcoms: XComs = {
        ("select", -1, "klap_offer"): {"price": 0.48, "estimated": True, "spent": 2.04},
        ("publish", -1, "klap_cost"): {"total": 3.48, "estimated": False},
    }
    cost = view(exporting([short("a")], state="failed", published="failed", xcoms=xcoms))["cost"]
    assert cost == {"total": 3.48, "estimated": False, "is_sum": True}
    assert view(exporting([short("a")], published="success"))["cost"] is None


def test_a_request_in_doubt_counts_in_the_highest_possible_cost() -> None:
    doubt = {"entry": "x", "price": 0.44}
    xcoms: XComs = {
        ("submit", -1, "klap_error"): {"open_decision": doubt},
        ("publish", -1, "klap_cost"): {"total": 0, "estimated": True},
    }
    known = facts(state="failed", tasks={"submit": "failed", "publish": "failed"}, xcoms=xcoms)
    assert (view(known)["cost"]["total"], view(known)["cost_at_most"]) == (0, 0.44)
    unknown = {**xcoms, ("submit", -1, "klap_error"): {"open_decision": {"entry": "x"}}}
    assert view(replace(known, xcoms=unknown))["cost_at_most"] is None
    assert view(facts())["cost_at_most"] is None


FAILED_JOB = {"error": "no speech", "type": "KlapJobFailedError"}


@pytest.mark.parametrize(
    ("task", "failure", "conf", "step"),
    [
        ("wait_for_shorts", FAILED_JOB, {}, ("submit", True, True)),
        ("wait_for_shorts", FAILED_JOB, {"klap_task_id": "task01"}, None),  # the given task has failed
        ("wait_for_shorts", {"type": "KlapTimeoutError"}, {}, ("wait_for_shorts", False, False)),
        ("submit", {"error": "401"}, {}, ("submit", True, False)),
        ("submit", {"error": "404", "type": "KlapInputError"}, {}, ("submit", True, False)),
        ("submit", {"error": "401"}, {"klap_task_id": "task01"}, ("submit", False, False)),
        ("submit", {"open_decision": {"entry": "x"}}, {}, None),  # must be resolved first
        ("select", {"error": "HTTP 500"}, {}, ("select", False, False)),
    ],
)
def test_a_failed_run_offers_the_next_step_with_its_price(
    task: str, failure: dict[str, Any], conf: dict[str, Any], step: tuple[str, bool, bool] | None
) -> None:
    cost = {"total": 0.44, "estimated": True, "prices": {"input_video": 0.44}}
    xcoms: XComs = {(task, -1, "klap_error"): failure, ("publish", -1, "klap_cost"): cost}
    tasks = {"submit": "success", "wait_for_shorts": "success", task: "failed", "publish": "failed"}
    known = facts(state="failed", tasks=tasks, xcoms=xcoms, conf={URL: VIDEO, **conf})
    found = view(known)["next_step"]
    if step is None:
        assert found is None
        return
    assert ([each["task_id"] for each in found["tasks"]], found["is_paid"], found["is_again"]) == (
        [step[0]],
        *step[1:],
    )
    assert (found["price"], found["estimated"]) == (0.44, True)
    assert found["needs_change"] is (failure.get("type") == "KlapInputError")
    assert view(replace(known, run=replace(known.run, state="running")))["next_step"] is None


def failed(failure: dict[str, Any], *states: str | None) -> dict[str, Any]:
    """Return the card of a short with a failed step."""
    mapped = steps(0, *states)
    [name] = [each.task_id for each in mapped if each.state == "failed"]
    [card] = view(exporting([short("a")], *mapped, xcoms={(name, 0, "klap_error"): failure}))["shorts"]
    return dict(card)


UNSENT = ("failed", "upstream_failed", "upstream_failed")
UNFINISHED = ("success", "failed", "upstream_failed")


@pytest.mark.parametrize(
    ("states", "failure", "is_paid", "cleared"),
    [
        (UNFINISHED, FAILED_JOB, True, ["short.export", "short.wait", "short.deliver"]),
        (UNFINISHED, {"type": "AirflowSensorTimeout"}, False, ["short.wait", "short.deliver"]),
        (("success", "success", "failed"), {"error": "disk"}, False, ["short.deliver"]),
        (UNSENT, {"error": "402"}, True, ["short.export", "short.wait", "short.deliver"]),
    ],
)
def test_a_retry_of_a_short_names_its_tasks_and_whether_it_may_cost(
    states: tuple[str, ...], failure: dict[str, Any], *, is_paid: bool, cleared: list[str]
) -> None:
    retry = failed(failure, *states)["retry"]
    assert (retry["is_paid"], [each["task_id"] for each in retry["tasks"]]) == (is_paid, cleared)
    assert {(each["id"][:5], each["try_number"]) for each in retry["tasks"]} == {("short", 1)}
    assert retry["is_again"] == (failure is FAILED_JOB), "only an export that Klap accepted was paid before"


IN_DOUBT = {"entry": "export a plain", "sent_at": AT, "jobs": ["x", 7, "y"], "price": 0.48, "estimated": False}


def test_a_request_in_doubt_is_shown_with_the_facts_of_its_error() -> None:
    found = failed({"error": "…", "type": "KlapSubmitUncertainError", "open_decision": IN_DOUBT}, *UNSENT)["in_doubt"]
    assert found.pop("task")["task_id"] == "short.export"
    assert found == {
        "is_changed": False,
        "entry": "export a plain",
        "sent_at": AT,
        "jobs": ["x", "y"],
        "price": 0.48,
        "estimated": False,
    }
    xcoms: XComs = {
        ("submit", -1, "klap_error"): {"type": "KlapChangedError", "open_decision": {"entry": "submission d r submit"}}
    }
    stage = view(facts(state="failed", tasks={"submit": "failed"}, xcoms=xcoms))["stage"]["in_doubt"]
    assert (stage["is_changed"], stage["jobs"], stage["price"]) == (True, [], None), "an unknown price is not free"


@pytest.mark.parametrize(
    ("error", "video", "export"),
    [
        (
            "KlapSubmitUncertainError",
            "It is not known whether Klap received this video",
            "It is not known whether Klap received this export request",
        ),
        (
            "KlapChangedError",
            "The settings have changed since this video was paid for",
            "The settings have changed since this export was paid for",
        ),
        ("KlapAccountError", "The video could not be submitted", "The export could not be requested"),
    ],
)
@pytest.mark.parametrize("state", ["running", "failed"])
def test_a_failed_request_has_one_cause(state: str, error: str, video: str, export: str) -> None:
    failure = {"error": "…", "type": error}
    if error != "KlapAccountError":
        failure |= {"open_decision": IN_DOUBT}  # type: ignore[dict-item]  # nested JSON
    xcoms: XComs = {("submit", -1, "klap_error"): failure}
    assert view(facts(state=state, tasks={"submit": "failed"}, xcoms=xcoms))["stage"]["text"] == video
    assert failed(failure, *UNSENT)["text"] == export


def test_no_action_is_offered_before_downstream_tasks_are_upstream_failed() -> None:
    card = failed({"error": "…", "open_decision": IN_DOUBT}, "failed", "upstream_failed", None)
    assert (card["in_doubt"], card["retry"]) == (None, None)
    xcoms: XComs = {("submit", -1, "klap_error"): {"error": "…", "open_decision": IN_DOUBT}}
    stage = view(facts(state="running", tasks={"submit": "failed"}, xcoms=xcoms))["stage"]
    assert (stage["state"], stage["in_doubt"]) == ("failed", None)


# One whole video


def whole(shorts: Sequence[Any], *mapped: Instance, select: str = "success", conf: Any = None, **more: Any) -> Facts:
    operators = {"submit": "SubmitVideoOperator", "select": "ListShortsOperator"}
    tasks = {**LISTED, "select": select, "publish": more.pop("published", None)}
    return facts(
        shorts=shorts, mapped=mapped, operators=operators, tasks=tasks, conf={URL: VIDEO, **(conf or {})}, **more
    )


ONE = [short("a", virality_score=None)]


def test_a_whole_video_shows_its_stage_without_counts() -> None:
    for states, words in (
        (("success", "deferred"), "Exporting"),
        (("success", "success", "running"), "Delivering"),
        (("success", "success", "success"), "Writing the manifest"),
    ):
        assert view(whole(ONE, *steps(0, *states)))["stage"]["text"] == words
    details = view(whole(ONE, *steps(0, "success", "success", "success"), state="success", published="success"))
    assert (details["is_whole"], details["stage"]["text"], details["percent"], details["totals"]) == (
        True,
        "Delivered",
        100,
        [],
    )
    assert [(card["is_whole"], card["score"]) for card in details["shorts"]] == [(True, None)]


def test_a_failed_whole_video_is_shown_before_and_after_it_is_listed() -> None:
    mapped = steps(0, "success", "failed", "upstream_failed")
    xcoms: XComs = {("short.wait", 0, "klap_error"): {"error": "out of memory"}}
    details = view(whole(ONE, *mapped, state="failed", published="failed", xcoms=xcoms))
    assert (details["stage"]["text"], details["shorts"][0]["error"]) == ("The export failed", "out of memory")
    assert view(whole([], state="failed"))["stage"]["text"] == "The run ended without a video"
    assert view(whole([], state="failed", select="failed"))["stage"]["text"] == "The video could not be found at Klap"
    assert view(whole([], select="deferred"))["stage"]["text"] == "Finding the video at Klap"


@pytest.mark.parametrize(
    ("conf", "submitted", "shape"),
    [
        ({"aspect_ratio": "16:9", "width": None, "height": None}, {}, 16 / 9),
        ({"aspect_ratio": "9:16", "width": 480, "height": 270}, {}, 16 / 9),
        ({"aspect_ratio": "1:1", "width": 720, "height": None}, {}, 1),
        ({}, {"dimensions": {"width": 1920, "height": 1080}}, 16 / 9),
        *(({"aspect_ratio": odd}, {"dimensions": odd}, 9 / 16) for odd in (None, "wide", "1:0", ":", 7, [])),
    ],
)
def test_the_shape_is_the_requested_one_or_klaps_default(
    conf: dict[str, Any], submitted: dict[str, Any], shape: float
) -> None:
    xcoms: XComs = {("submit", -1, "return_value"): submitted}
    assert cards(whole(ONE, *steps(0, "running"), conf=conf, xcoms=xcoms), "shape") == [shape]


# What cannot be read


def test_an_unreadable_xcom_is_reported_once() -> None:
    mapped = steps(0, "success", "success", "success")
    xcoms: XComs = {("short.deliver", 0, "return_value"): UNREADABLE}
    known = exporting([short("a")], *mapped, xcoms=xcoms)
    assert cards(known, "text", "path") == [["Delivered", None]]
    assert known.problems == [
        "The XCom return_value of the task short.deliver (map index 0) cannot be read. See the log of the API server."
    ]


def test_an_unreadable_list_is_not_shown_as_an_empty_one() -> None:
    known = facts(
        state="success", tasks={**LISTED, "publish": "success"}, xcoms={("select", -1, "klap_shorts"): UNREADABLE}
    )
    assert view(known)["stage"]["text"] == "The run ended"
    assert len(known.problems) == 1


def test_a_notice_that_was_not_sent_is_shown_with_its_error() -> None:
    sent, lost = {"event": "review_waiting", "errors": []}, {"event": "run_failed", "errors": ["SmtpNotifier: refused"]}
    xcoms: XComs = {("select", -1, "klap_notice"): sent, ("publish", -1, "klap_notice"): lost}
    known = facts(state="failed", tasks={**LISTED, "publish": "failed"}, xcoms=xcoms)
    assert known.unsent_notices() == ["The notice run_failed was not sent. SmtpNotifier: refused"]
    odd: XComs = {("select", -1, "klap_notice"): 7, ("publish", -1, "klap_notice"): {"errors": None}}
    assert facts(tasks={**LISTED, "publish": "failed"}, xcoms=odd).unsent_notices() == []


# fmt: off
FIELDS = [
    "project_id", "reason", "path", "error", "open_decision", "entry", "jobs", "selected", "total", "price", "prices",
    "by",
    "klap_task_id", "video", "name", "dimensions", "width", "height", "submitted_at", "trigger_run_id", "line",
    "source_video_url", "settings", "left_out", "incomplete", "run_id", "watermark", "size", "src_url",
]
# fmt: on
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(UNREADABLE),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(FIELDS),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)
KEYS = (
    "return_value",
    "klap_error",
    "klap_shorts",
    "klap_offer",
    "klap_review",
    "klap_outcome",
    "klap_cost",
    "klap_list",
)
STATES = st.sampled_from(
    [None, "success", "failed", "running", "awaiting_input", "deferred", "upstream_failed", "removed"]
)


@given(st.data())
def test_the_tab_renders_whatever_xcoms_there_are(data: st.DataObject) -> None:
    operators = (*OF_A_RUN, *OF_A_BATCH)
    there = [
        instance(
            operator, operator, data.draw(STATES), data.draw(st.sampled_from([-1, 0])), resumes=data.draw(st.booleans())
        )
        for operator in data.draw(st.lists(st.sampled_from(operators), max_size=6))
    ]
    xcoms: XComs = {
        (each.task_id, each.map_index, key): data.draw(ANYTHING)
        for each in there
        for key in data.draw(st.lists(st.sampled_from(KEYS), max_size=4))
    }
    conf = data.draw(st.dictionaries(st.sampled_from([URL, "name", "aspect_ratio", "width"]), ANYTHING, max_size=3))
    questions = {each.id: Question(each.id, "Which?", OPTIONS, AT, AT, OPTIONS[:1], None) for each in there}
    run = Run(1, "d", "r", data.draw(st.sampled_from(["running", "failed"])), AT, None, None, None, conf)
    known = Facts(run, there, xcoms, questions)
    sent = json.loads(as_json({"details": details_of(known), "batch": batch_of(known, {})}))
    details, batch = sent["details"], sent["batch"]
    assert_is("Details | null", details and bound(details))
    assert_is("Batch | null", batch)


def bound(details: dict[str, Any]) -> dict[str, Any]:
    """The details with the versions of the ledger entries, which :func:`shorts_tab.bind_entries` reads."""
    for part in (details["stage"], *details["shorts"]):
        for name in ("in_doubt", "export"):
            if request := part.get(name):
                part[name] = {**request, "version": AT} if request["entry"] else None
    return details


def test_sizes_and_file_names_are_readable() -> None:
    assert [file_size(size) for size in (15_001, 1_840_000, 2.5e9)] == ["16 kB", "1.8 MB", "2.50 GB"]
    assert [file_of(address) for address in ("https://a/b/c%20d.png?x", "no address", "http://[")] == [
        "c d.png",
        "no address",
        "",
    ]


def test_videos_of_a_list_are_named_by_the_differing_part_of_the_address() -> None:
    assert last_parts(["a.com/x/talk.mp4", "a.com/y/talk.mp4", "a.com/z.mp4?…1", "youtu.be/id", "talk.mp4"]) == [
        "x/talk.mp4",
        "y/talk.mp4",
        "z.mp4?…1",
        "id",
        "talk.mp4",
    ]
    assert last_parts(["a.com/x.mp4", "a.com/x.mp4"]) == ["x.mp4", "x.mp4"], "a list may repeat a video"
    assert last_parts([]) == []
