"""
What tasks leave for each other, for the UI and for other Dags: every key and its shape.

Values are plain JSON, small, and without secrets: ids, names, scores and paths. They have no bytes and no complete API
response. :data:`XCOMS` lists which operator leaves which XCom. At the end are the name of the ledger's asset, and the
keys of Airflow's task state store, where a task keeps what saves work and may be lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What a task returns. The tasks ``summary`` and ``video`` of a batch leave it also when they fail.
RETURN_KEY = "return_value"
#: Why a task failed: :class:`Failure`.
ERROR_KEY = "klap_error"
#: All generated shorts, best first, selected or not: a list of :class:`ListedShort`.
SHORTS_KEY = "klap_shorts"
#: Result of the review: :class:`Review`.
REVIEW_KEY = "klap_review"
#: What became of each selected short, best first: a list of :class:`Outcome`.
OUTCOME_KEY = "klap_outcome"
#: Klap's texts for the selected shorts, for the JSON files beside the videos: a list of :class:`ShortFacts`. Shorts for
#: which Klap's list lacks a text are left out. After a review the list is empty, as texts may have changed since.
FACTS_KEY = "klap_facts"
#: What exports of the listed shorts cost, and the deadline of the review: :class:`Offer`.
OFFER_KEY = "klap_offer"
#: What the run has cost, also if it failed: :class:`RunCost`, if the cost is calculated.
COST_KEY = "klap_cost"
#: Entries of a list of videos that get no run, and the Dag that makes the runs: :class:`ReadList`.
LIST_KEY = "klap_list"
#: The form parameters that are set for all videos of a list: a dict by name.
SETTINGS_KEY = "klap_settings"


class _FailureBase(TypedDict):
    error: str
    #: Name of the exception class.
    type: str
    #: The short that the task works on.
    project_id: str | None


class OpenDecision(TypedDict):
    """A decision about a paid request that the user has to make before the task can continue."""

    #: Key of the request in the ledger.
    entry: str
    #: When the request was sent, ISO 8601.
    sent_at: str
    #: Ids of the jobs at Klap that the request may have created, as far as they are known.
    jobs: list[str]
    #: Price of sending the request again, in US dollars.
    price: float
    #: Whether the price is estimated.
    estimated: bool


class Failure(_FailureBase, total=False):
    """Why a task failed. Left for later tasks and for the *Shorts* tab."""

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
    #: With ``wait_for_completion``: see :class:`TaskReady`.
    output_type: str | None
    #: With ``wait_for_completion``: see :class:`TaskReady`.
    output_id: str | None
    #: With ``wait_for_completion``: see :class:`TaskReady`.
    listed_ids: list[str]


class Submitted(_SentVideo):
    """A video was submitted. Earlier versions did not leave the optional fields."""

    klap_task_id: str
    #: When the request was sent, ISO 8601. Deadlines count from it.
    submitted_at: str
    #: Number of submissions of this task instance that Klap has accepted so far; 0 if an existing task was reused.
    paid: int
    #: Destination of the run; None if this task does not decide that.
    destination: str | None


class _TaskReady(TypedDict):
    klap_task_id: str
    #: ``folder`` (of shorts) or ``project`` (one whole video).
    output_type: str | None
    #: Id of that folder or project.
    output_id: str | None


class TaskReady(_TaskReady, total=False):
    """A task is ready."""

    #: Ids of the shorts in the folder when two polls of its list agreed. Absent if the list could not be read.
    listed_ids: list[str]


class Short(TypedDict):
    """A selected short. The tasks for one short are mapped over these."""

    project_id: str
    folder_id: str | None
    #: Klap's name of the short, or its id.
    short_name: str
    #: Virality score, 0 to 100; None if Klap gave none.
    virality_score: int | None
    explanation: str | None
    preview_url: str
    #: Length in seconds; None if Klap did not report it.
    duration: float | None


class ListedShort(Short):
    """A generated short, selected or not."""

    #: Why the short is not selected: a value of :class:`~klap_provider.rules.selection.Unselected`; None if it is.
    reason: str | None
    #: Address of Klap's player for embedding in a page.
    embed_url: str
    #: Whether an export of the short with this run's settings was paid for before. Looked up for a review and for
    #: ``project_ids``; otherwise False.
    exported: bool


class Facts(TypedDict):
    """What Klap's list has about a short, for the JSON file beside its video."""

    name: str
    #: Virality score, 0 to 100; None if Klap gave none.
    virality_score: int | None
    explanation: str | None
    #: Length in seconds; None if Klap did not report it.
    duration: float | None
    #: Texts to publish the short with, by platform.
    publication_captions: dict[str, Any] | None
    transcript: str | None


class ShortFacts(Facts):
    """What Klap's list has about a short, with the id of the short."""

    project_id: str


class Offer(TypedDict):
    """What exports of the listed shorts cost."""

    #: Price of one export in US dollars.
    price: float
    #: Whether the price is estimated.
    estimated: bool
    #: US dollars that the run has paid before the exports.
    spent: float
    #: How many exports the budget covers; None: any number.
    covered: int | None
    #: Deadline of the review, ISO 8601; None without a review.
    deadline: str | None


class Review(TypedDict):
    """The result of a review."""

    #: Ids of the selected shorts, best first.
    selected: list[str]
    #: Name or id of the reviewer; None if nobody answered in time.
    by: str | None
    #: When the reviewer answered, ISO 8601.
    answered_at: str
    #: Whether nobody answered in time.
    timed_out: bool


class Selected(TypedDict):
    """What a run selected, as the ledger stores it. It stays the same, whatever changes at Klap."""

    #: Ids of the shorts, in the order of the run's mapped tasks.
    selected: list[str]
    #: Ids of all shorts at that time.
    of: list[str]
    #: Klap's id of their folder or project. For another id the run selects again.
    target: str
    #: The result of the review; None without a review.
    review: Review | None


class _OrderedExport(TypedDict, total=False):
    #: Klap's name of the short, or its id.
    short_name: str
    #: Address of the watermark, without secrets; None without a watermark.
    watermark: str | None
    #: With ``wait_for_completion``: public address of the video at Klap; None if the address is signed.
    src_url: str | None


class Exported(_OrderedExport):
    """An export was requested. Earlier versions did not leave the optional fields."""

    export_id: str
    project_id: str
    folder_id: str | None
    #: When the request was sent, ISO 8601. Deadlines count from it.
    submitted_at: str
    #: Number of exports of this task instance that Klap has accepted so far.
    paid: int
    #: Key of the request in the ledger.
    entry: str


class ExportReady(TypedDict):
    """An export is ready."""

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
    """A short was delivered, with a JSON file beside it."""

    project_id: str
    export_id: str
    #: Path or URL of the JSON file.
    sidecar: str
    #: Texts to publish the short with, by platform.
    publication_captions: dict[str, Any] | None
    #: What is said in the short; None if this is longer than 10,000 characters. The JSON file always has it.
    transcript: str | None


class GeneratedShort(File):
    """A short that ``GenerateShortsOperator`` delivered."""

    project_id: str
    folder_id: str | None
    export_id: str
    #: Klap's name of the short, or its id.
    short_name: str
    #: Virality score, 0 to 100; None if Klap gave none.
    virality_score: int | None
    #: Length in seconds; None if Klap did not report it.
    duration: float | None
    preview_url: str
    #: Path or URL of the JSON file.
    sidecar: str


class DeliveredRow(File):
    """Where a run delivered a short, as the ledger stores it. It remains when the run is deleted."""

    export_id: str
    project_id: str
    name: str
    #: Virality score, 0 to 100; None if Klap gave none.
    score: int | None
    #: Address of the source video, without secrets; None if it is not known.
    video: str | None
    #: When the short was last delivered, ISO 8601.
    at: str


class Outcome(TypedDict):
    """What became of a selected short."""

    project_id: str
    #: Path or URL of the video; None if the short is missing.
    path: str | None
    size: int | None
    src_url: str | None
    #: The step that failed; None if the short was delivered.
    step: str | None
    error: str | None


class RunCost(TypedDict):
    """What a run has cost."""

    input_videos: int
    #: Number of generated shorts that were paid for; None if the shorts were never listed.
    generated_shorts: int | None
    exports: int
    #: Sum in US dollars, without what is not known.
    total: float
    currency: str
    #: Prices of an input video, a generated short and an export, in US dollars.
    prices: dict[str, float]
    #: Whether one of the prices is estimated.
    estimated: bool


class Published(TypedDict):
    """A run is complete."""

    #: Path or URL of the run's own manifest, in ``runs/`` beside ``manifest.json``.
    manifest: str
    delivered: int
    paths: list[str]
    #: Cost of the run; None if it is not calculated.
    cost: RunCost | None


class TaggedShort(ShortFacts, Stored):
    """A delivered short in the asset event of a run. The transcript is None if it is longer than 10,000 characters."""

    #: Path or URL of the JSON file beside the video.
    sidecar: str


class ShortsEvent(TypedDict):
    """``extra`` of the asset event of a run, for Dags that start when shorts are delivered."""

    source_video_url: str
    klap_task_id: str
    manifest: str
    shorts: list[TaggedShort]


class ListedVideo(TypedDict):
    """A video of a batch that gets a run. The task ``video`` is mapped over these."""

    source_video_url: str
    #: Id of the run.
    trigger_run_id: str
    #: Form parameters of this video alone.
    settings: dict[str, Any]
    #: Line in the list, from 1.
    line: int


class LeftOutVideo(TypedDict):
    """A video of a batch that is left out because its address leads to no video."""

    source_video_url: str
    #: Line in the list, from 1.
    line: int
    reason: str


class Unlisted(TypedDict):
    """Entries of a list that get no run."""

    left_out: list[LeftOutVideo]
    #: Number of entries that repeat another entry's video and settings.
    duplicates: int


class ReadList(Unlisted):
    """What was read from a list, besides the videos."""

    #: The Dag that makes the runs of the videos.
    trigger_dag_id: str


class IncompleteVideo(TypedDict):
    """A video of a batch whose run did not succeed."""

    source_video_url: str
    run_id: str
    state: str
    error: str | None


class VideoOutcome(IncompleteVideo):
    """What became of a video of a batch, whether its run succeeded or not."""

    #: Number of delivered shorts.
    shorts: int


class Summary(Unlisted):
    """What became of a batch."""

    videos: int
    runs: int
    complete: int
    #: Number of delivered shorts.
    shorts: int
    incomplete: list[IncompleteVideo]


_LISTED = {RETURN_KEY: Short, SHORTS_KEY: ListedShort, OFFER_KEY: Offer, FACTS_KEY: ShortFacts}

#: By operator: which shape it leaves under which key. For a list, the shape of its items.
XCOMS: Mapping[str, Mapping[str, type]] = {
    "GenerateShortsOperator": {**_LISTED, RETURN_KEY: GeneratedShort},
    "SubmitShortsOperator": {RETURN_KEY: Submitted},
    "SubmitVideoOperator": {RETURN_KEY: Submitted},
    "TaskStatusSensor": {RETURN_KEY: TaskReady},
    "ListShortsOperator": _LISTED,
    "ReviewShortsOperator": {**_LISTED, REVIEW_KEY: Review},
    "ExportShortOperator": {RETURN_KEY: Exported},
    "ExportStatusSensor": {RETURN_KEY: ExportReady},
    "DeliverShortOperator": {RETURN_KEY: Delivered},
    "PublishShortsOperator": {RETURN_KEY: Published, OUTCOME_KEY: Outcome, COST_KEY: RunCost},
    "ReadVideoListOperator": {RETURN_KEY: ListedVideo, LIST_KEY: ReadList, SETTINGS_KEY: dict},
    "VideoRunOperator": {RETURN_KEY: VideoOutcome},
    "SummarizeVideosOperator": {RETURN_KEY: Summary},
}

#: The asset whose state store is the ledger, see :mod:`klap_provider.rules.ledger`.
LEDGER = "klap_ledger"

#: Key of the task state store for the state of a wait, which may be lost: ``{"target": str, "started_at": float,
#: "unknown_since": float | None}``. Once the task is ready, also ``ready_at``, ``seen`` and ``seen_since`` of its
#: :class:`~klap_provider.rules.polling.PollState`.
WAIT_STATE_KEY = "klap_wait"
