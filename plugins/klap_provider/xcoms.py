"""
What tasks leave for each other, for the UI and for other Dags: the keys and their shapes.

Values are plain JSON, small, and without secrets: ids, names, scores and paths. They have no bytes and no complete API
response. :data:`XCOMS` lists which operator leaves which XCom. The shapes of a selection and of a batch are in
:mod:`klap_provider.selection_xcoms` and :mod:`klap_provider.batch_xcoms`. The keys of Airflow's state stores are at the
end.
"""

from __future__ import annotations

from typing import Any, TypedDict

from klap_provider.batch_xcoms import ListedVideo, ReadList, Summary, VideoOutcome
from klap_provider.errors import OpenDecision  # noqa: TC001  # for get_type_hints
from klap_provider.selection_xcoms import ListedShort, Offer, Review, Short, ShortFacts

#: What a task returns. The tasks ``summary`` and ``video`` of a batch leave it also when they fail.
RETURN_KEY = "return_value"
#: Why a task failed: :class:`Failure`.
ERROR_KEY = "klap_error"
#: All generated shorts, best first, selected or not: a list of :class:`ListedShort`.
SHORTS_KEY = "klap_shorts"
#: Result of the review: :class:`Review`.
REVIEW_KEY = "klap_review"
#: The result of each selected short, best first: a list of :class:`Outcome`.
OUTCOME_KEY = "klap_outcome"
#: Klap's texts for the selected shorts, for the JSON files beside the videos: a list of :class:`ShortFacts`. It lacks
#: shorts for which Klap's list has no texts yet. After a review it is empty, because texts may have changed since.
FACTS_KEY = "klap_facts"
#: The price of an export, what the budget covers, and the deadline of the review: :class:`Offer`.
OFFER_KEY = "klap_offer"
#: Cost of the run, also if it failed: :class:`RunCost`. Absent if the cost is not calculated.
COST_KEY = "klap_cost"
#: Entries of the list that get no run, and the Dag of the runs: :class:`ReadList`.
LIST_KEY = "klap_list"
#: The form parameters that apply to all videos of the list: a dict by name.
SETTINGS_KEY = "klap_settings"
#: The last notice that the task has sent, or could not send: :class:`NoticeRow`.
NOTICE_KEY = "klap_notice"


class _FailureBase(TypedDict):
    error: str
    #: Name of the exception class.
    type: str
    #: The short that the task works on.
    project_id: str | None


class Failure(_FailureBase, total=False):
    """Why a task failed, for later tasks and for the *Shorts* tab."""

    #: Set if the user has to decide how the task continues.
    open_decision: OpenDecision
    #: Number of paid POSTs of the task that Klap accepted before the error.
    paid: int


class _SentVideo(TypedDict, total=False):
    #: Address of the video, without secrets.
    video: str
    #: Name of the video from the form; None if it has none.
    name: str | None
    #: Requested size in pixels, ``{"width": int, "height": int}``; None: Klap's default.
    dimensions: dict[str, Any] | None
    # With wait_for_completion, the fields of TaskReady.
    output_type: str | None
    output_id: str | None
    listed_ids: list[str]
    #: What the submission has reserved of the monthly limits: the argument ``reservation`` of the operators that select
    #: shorts. None if it paid nothing.
    reservation: str | None


class Submitted(_SentVideo):
    """A submitted video."""

    klap_task_id: str
    submitted_at: str
    #: Number of submissions of this task instance that Klap has accepted so far; 0 if an existing task was reused.
    paid: int
    #: Destination of the run; None if another task sets it.
    destination: str | None


class _TaskReady(TypedDict):
    klap_task_id: str
    #: ``folder`` (of shorts) or ``project`` (one whole video).
    output_type: str | None
    #: Id of that folder or project.
    output_id: str | None


class TaskReady(_TaskReady, total=False):
    """A task that is ready at Klap."""

    #: Ids of the shorts in the folder, when its list was complete. Absent if the list could not be read.
    listed_ids: list[str]


class _OrderedExport(TypedDict, total=False):
    short_name: str
    #: Address of the watermark, without secrets; None without a watermark.
    watermark: str | None
    #: With ``wait_for_completion``: public address of the video at Klap; None if the address is signed.
    src_url: str | None


class Exported(_OrderedExport):
    """A requested export."""

    export_id: str
    project_id: str
    folder_id: str | None
    submitted_at: str
    #: Number of exports of this task instance that Klap has accepted so far.
    paid: int
    #: Key of the request in the ledger.
    entry: str


class ExportReady(TypedDict):
    """An export that is ready at Klap."""

    export_id: str
    project_id: str
    folder_id: str | None
    #: Public address of the video at Klap; None if the address is signed, because a signature is a secret.
    src_url: str | None


class Stored(TypedDict):
    """A video in storage."""

    #: Path, or object storage URL with the id of its connection.
    path: str
    #: Size in bytes.
    size: int
    sha256: str


class File(Stored):
    """A delivered video."""

    #: Klap's public address of the video; None if the file existed already, or if the address is signed.
    src_url: str | None


class Delivered(File):
    """A delivered short."""

    project_id: str
    export_id: str
    sidecar: str
    publication_captions: dict[str, Any] | None
    #: Spoken text of the short; None if this is longer than 10,000 characters. The JSON file always has it.
    transcript: str | None


class GeneratedShort(File):
    """A short that ``GenerateShortsOperator`` delivered."""

    project_id: str
    folder_id: str | None
    export_id: str
    short_name: str
    virality_score: int | None
    duration: float | None
    preview_url: str
    sidecar: str


class NoticeRow(TypedDict):
    """A notice, as the ledger stores it."""

    #: Format of the row, 1.
    version: int
    #: The event, such as ``run_finished``: see :class:`~klap_provider.operators.notices.Event`.
    event: str
    #: Dag id and run id, separated by a space.
    run: str
    #: When it was sent, ISO 8601.
    at: str
    #: The notice in one line.
    title: str
    #: The error of each notifier that failed.
    errors: list[str]


class Outcome(TypedDict):
    """The result of a selected short."""

    project_id: str
    #: Path or URL of the video; None if the short is missing.
    path: str | None
    size: int | None
    src_url: str | None
    #: The step that failed; None if the short was delivered.
    step: str | None
    error: str | None


class RunCost(TypedDict):
    """The cost of a run."""

    input_videos: int
    #: Number of generated shorts that were paid for; None if the shorts were never listed.
    generated_shorts: int | None
    exports: int
    #: Sum in US dollars, without generated shorts of an unknown number.
    total: float
    currency: str
    #: Prices of an input video, a generated short and an export, in US dollars.
    prices: dict[str, float]
    estimated: bool


class Published(TypedDict):
    """The result of a run that delivered all of its shorts."""

    #: Path or URL of the run's own manifest, in ``runs/`` beside ``manifest.json``.
    manifest: str
    delivered: int
    paths: list[str]
    #: Cost of the run; None if it is not calculated.
    cost: RunCost | None


_LISTED: dict[str, type] = {RETURN_KEY: Short, SHORTS_KEY: ListedShort, OFFER_KEY: Offer, FACTS_KEY: ShortFacts}

#: By operator: which shape it leaves under which key. For a list, the shape of its items.
XCOMS: dict[str, dict[str, type]] = {
    "GenerateShortsOperator": {**_LISTED, RETURN_KEY: GeneratedShort, NOTICE_KEY: NoticeRow},
    "SubmitShortsOperator": {RETURN_KEY: Submitted},
    "SubmitVideoOperator": {RETURN_KEY: Submitted},
    "TaskStatusSensor": {RETURN_KEY: TaskReady},
    "ListShortsOperator": _LISTED,
    "ReviewShortsOperator": {**_LISTED, REVIEW_KEY: Review, NOTICE_KEY: NoticeRow},
    "ExportShortOperator": {RETURN_KEY: Exported},
    "ExportStatusSensor": {RETURN_KEY: ExportReady},
    "DeliverShortOperator": {RETURN_KEY: Delivered},
    "PublishShortsOperator": {
        RETURN_KEY: Published,
        OUTCOME_KEY: Outcome,
        COST_KEY: RunCost,
        NOTICE_KEY: NoticeRow,
    },
    "ReadVideoListOperator": {RETURN_KEY: ListedVideo, LIST_KEY: ReadList, SETTINGS_KEY: dict},
    "VideoRunOperator": {RETURN_KEY: VideoOutcome},
    "StartSourceRunsOperator": {NOTICE_KEY: NoticeRow},
    "SummarizeVideosOperator": {RETURN_KEY: Summary, NOTICE_KEY: NoticeRow},
}

#: The asset whose state store is the ledger, see :mod:`klap_provider.rules.ledger`.
LEDGER = "klap_ledger"

#: Key of the task state store for the state of a wait, which may be lost: ``target``, and fields of its
#: :class:`~klap_provider.rules.polling.PollState`.
WAIT_STATE_KEY = "klap_wait"
