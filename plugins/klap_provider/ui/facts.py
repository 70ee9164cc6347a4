"""The facts of one run: its task instances, XComs and questions. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from klap_provider.ui.texts import STEPS
from klap_provider.xcoms import COST_KEY, ERROR_KEY, NOTICE_KEY, OUTCOME_KEY, RETURN_KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from klap_provider.airflow_internals.runs import Instance, Question, Run

#: Operators by role. Tasks are recognised by their operator, so that any Dag built of these operators has a tab.
WHOLE = "SubmitVideoOperator"
SUBMIT = ("SubmitShortsOperator", WHOLE)
WAIT = ("TaskStatusSensor",)
REVIEW = "ReviewShortsOperator"
SELECT = (REVIEW, "ListShortsOperator")
PUBLISH = ("PublishShortsOperator",)
LIST = ("ReadVideoListOperator",)
VIDEO_RUN = ("VideoRunOperator",)
SUMMARY = ("SummarizeVideosOperator",)
#: The operators of a run, and those of a batch.
OF_A_RUN = (*SUBMIT, *WAIT, *SELECT, *STEPS, *PUBLISH)
OF_A_BATCH = (*LIST, *VIDEO_RUN, *SUMMARY)

OVER = ("success", "failed", "upstream_failed", "skipped")
ENDED = ("success", "failed")

#: Larger numbers are invalid: no task of this package returns one, and JSON cannot represent some.
LARGEST_NUMBER = 1e15

#: Stands for the value of an XCom that cannot be read.
UNREADABLE = object()


@dataclass(frozen=True)
class Facts:
    """
    The facts of a run.

    :param instances: the task instances of :data:`OF_A_RUN` and :data:`OF_A_BATCH`.
    :param xcoms: by task id, map index and key; :data:`UNREADABLE` for one that cannot be read.
    :param questions: by the id of the task instance.
    :param reads_xcoms: whether the user may read the XComs of the Dag.
    :param is_served: whether the API server may send a delivered file.
    :param problems: messages about values that could not be read. Building the view adds more.
    """

    run: Run
    instances: Sequence[Instance]
    xcoms: Mapping[tuple[str, int, str], Any] = field(default_factory=dict)
    questions: Mapping[str, Question] = field(default_factory=dict)
    reads_xcoms: bool = True
    is_served: Callable[[str], bool] = lambda _path: False
    problems: list[str] = field(default_factory=list)

    @property
    def has_ended(self) -> bool:
        """Whether the run has ended."""
        return self.run.state in ENDED

    def first(self, operators: Sequence[str]) -> Instance | None:
        """Return the first task instance of these operators, in their order."""
        return next((each for operator in operators for each in self.instances if each.operator == operator), None)

    def all(self, operators: Sequence[str]) -> list[Instance]:
        """Return the task instances of these operators that were not removed."""
        return [each for each in self.instances if each.operator in operators and each.state != "removed"]

    def question(self, instance: Instance | None) -> Question | None:
        """Return the question of a task that waits for an answer, or has not yet continued after it."""
        if instance is None or not _is_asking(instance):
            return None
        return self.questions.get(instance.id)

    def xcom(self, instance: Instance | None, key: str) -> Any:
        """
        Return the value of an XCom of a task; None if it does not exist or is not of the task's current state.

        A cleared task keeps the XComs of its last try until it starts again.
        """
        if instance is None or not _is_current(instance, key):
            return None
        value = self.xcoms.get((instance.task_id, instance.map_index, key))
        if value is not UNREADABLE:
            return value
        at = f" (map index {instance.map_index})" if instance.map_index >= 0 else ""
        problem = f"The XCom {key} of the task {instance.task_id}{at} cannot be read. See the log of the API server."
        if problem not in self.problems:
            self.problems.append(problem)
        return None

    def unsent_notices(self) -> list[str]:
        """Return a message for each notifier that did not send a notice."""
        messages = []
        for each in self.all((*SELECT, *PUBLISH, *SUMMARY)):
            notice = mapping(self.xcom(each, NOTICE_KEY))
            errors = notice.get("errors")
            if isinstance(errors, list):
                messages += [f"The notice {notice.get('event')} was not sent. {error}" for error in errors]
        return messages

    def is_hidden(self, instance: Instance | None, key: str) -> bool:
        """Return whether an XCom exists and cannot be read."""
        return instance is not None and self.xcoms.get((instance.task_id, instance.map_index, key)) is UNREADABLE


def _is_asking(instance: Instance) -> bool:
    return instance.state == "awaiting_input" or (instance.resumes and instance.state not in OVER)


def _is_current(instance: Instance, key: str) -> bool:
    operator, state = instance.operator, instance.state
    if key == ERROR_KEY:
        return state == "failed"
    if operator in PUBLISH and key in (OUTCOME_KEY, COST_KEY, NOTICE_KEY):
        return state in OVER
    if operator in (*VIDEO_RUN, *SUMMARY) and key in (RETURN_KEY, NOTICE_KEY):
        return state in OVER
    return state == "success" or (operator in SELECT and _is_asking(instance))


def is_over(instance: Instance | None) -> bool:
    """Return whether a task instance has ended."""
    return instance is not None and instance.state in OVER


def task_ref(instance: Instance) -> dict[str, Any]:
    """Return the identity of a task instance, with the state and try that an action is based on."""
    return {
        "task_id": instance.task_id,
        "map_index": instance.map_index,
        "id": instance.id,
        "state": instance.state,
        "try_number": instance.try_number,
    }


# XComs and rows may contain anything.


def text(value: Any) -> str | None:
    """Return a text that is not empty, or None."""
    return value if isinstance(value, str) and value else None


def number(value: Any) -> float | None:
    """Return a finite number, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if abs(value) < LARGEST_NUMBER else None  # false for NaN


def items(value: Any) -> list[dict[str, Any]]:
    """Return the dicts of a list."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def mapping(value: Any) -> Mapping[str, Any]:
    """Return a dict; an empty one for any other value."""
    return value if isinstance(value, dict) else {}
