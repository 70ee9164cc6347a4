"""
What tasks leave for each other, for the UI and for other DAGs: every key and every shape of it, in one place.

Values are plain JSON, small, and without secrets: ids, names, scores, paths; never bytes, and never a whole answer of
Klap's. :data:`LEFT_BY` says which operator leaves what. At the end are the ledger, where all that was paid stands, and
the keys of Airflow's task state store, where a task keeps for itself what spares work and may be lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What a task returns. ``summary`` and ``video`` of a batch leave it where they fail, too.
RETURN_KEY = "return_value"
#: Why a task failed: :class:`Failure`.
ERROR_KEY = "klap_error"
#: Every short that was generated, best first, selected or not: a list of :class:`ListedShort`.
SHORTS_KEY = "klap_shorts"
#: A person's choice among them: :class:`Review`.
REVIEW_KEY = "klap_review"
#: What became of each selected short, best first: a list of :class:`Outcome`.
OUTCOME_KEY = "klap_outcome"
#: What Klap says of the selected shorts, for the files beside their videos: a list of :class:`Described`. Only those
#: of which its list has told all; none where a person was asked, who may have changed their texts meanwhile.
DESCRIBED_KEY = "klap_described"
#: What exports of the listed shorts cost, and by when a person is asked to pick: :class:`Offer`.
OFFER_KEY = "klap_offer"
#: What the run has cost, also where it failed: :class:`RunCost`, if it is reckoned.
COST_KEY = "klap_cost"
#: What of a list of videos was not made a run of, and which Dag makes the other runs: :class:`ReadList`.
LIST_KEY = "klap_list"
#: The fields of the trigger form that are set for all videos of a list: a dict by name.
SETTINGS_KEY = "klap_settings"


class _Said(TypedDict):
    error: str
    #: Name of the exception's class.
    type: str
    #: The short that the task was about.
    project_id: str | None


class Fate(TypedDict):
    """What a person has to decide about a paid request before its task can go on."""

    #: Its name in the ledger.
    entry: str
    #: ISO 8601.
    sent_at: str
    #: Ids of Klap's jobs that may be what it has made, as far as any are known.
    jobs: list[str]
    #: US dollars for sending it once more.
    price: float
    #: Whether nobody at Klap has confirmed that price.
    second_hand: bool


class Failure(_Said, total=False):
    """Why a task failed, for whoever joins behind it, and for the tab."""

    #: Of a task that stopped because only a person can say how to go on.
    fate: Fate

    #: Of a task that costs money: how many POSTs Klap has accepted of it all the same.
    paid: int


class _SentVideo(TypedDict, total=False):
    #: The video's address as it may be shown.
    video: str
    #: What people call it; None if nobody has named it.
    name: str | None
    #: ``{"width": int, "height": int}``, in pixels, as it was asked for; None: as Klap likes.
    dimensions: dict[str, Any] | None


class Submitted(_SentVideo):
    """A video is with Klap. What is not required, earlier versions have not left."""

    klap_task_id: str
    #: ISO 8601; deadlines count from it.
    submitted_at: str
    #: How many submissions of this task instance Klap has accepted so far; 0 where an existing task was given.
    paid: int
    #: Where the run delivers to; None if that is not for this task to say.
    destination: str | None


class _TaskReady(TypedDict):
    klap_task_id: str
    #: ``folder`` (of shorts) or ``project`` (one whole video).
    output_type: str | None
    #: Id of that folder or project.
    output_id: str | None


class TaskReady(_TaskReady, total=False):
    """Klap has finished a task."""

    #: Ids of the shorts that the folder had when its list counted. Absent if the wait could not tell.
    listed_ids: list[str]


class Short(TypedDict):
    """A selected short: what the tasks for one short are mapped over."""

    project_id: str
    folder_id: str | None
    #: Klap's name of it, or its id.
    short_name: str
    #: 0 to 100; None where Klap gave none.
    virality_score: int | None
    explanation: str | None
    preview_url: str
    #: Seconds.
    duration: float | None


class ListedShort(Short):
    """A generated short, selected or not."""

    #: Why it is not gone on with: a word of :class:`~klap_provider.rules.selection.Unselected`; None if it is.
    reason: str | None
    #: Address of Klap's player to put into a page.
    embed_url: str
    #: Whether an export of it that looks as this run's do was paid for already: looked up where a person is asked,
    #: and for ``project_ids``; elsewhere it is False.
    exported: bool


class Facts(TypedDict):
    """What Klap says of a short, for the file beside its video."""

    name: str
    #: 0 to 100.
    virality_score: int | None
    explanation: str | None
    #: Seconds.
    duration: float | None
    #: By platform.
    publication_captions: dict[str, Any] | None
    transcript: str | None


class Described(Facts):
    """What Klap's list of shorts says of one of them."""

    project_id: str


class Offer(TypedDict):
    """What exports of the listed shorts cost."""

    #: US dollars for one.
    price: float
    #: Whether nobody at Klap has confirmed that price.
    second_hand: bool
    #: US dollars that the run has paid before any export.
    spent: float
    #: For how many exports the budget does; None: for any number.
    room: int | None
    #: ISO 8601, until when a person may pick; None if nobody is asked.
    deadline: str | None


class Review(TypedDict):
    """What a person picked."""

    #: Ids of the shorts, best first.
    picked: list[str]
    #: Name or id of the person; None if nobody answered in time.
    by: str | None
    #: ISO 8601.
    answered_at: str
    timed_out: bool


class Selected(TypedDict):
    """What a run has selected, as the ledger keeps it: it stays so, whatever changes at Klap."""

    #: Ids of the shorts, in the order of the run's mapped tasks.
    selected: list[str]
    #: Ids of all that there were.
    of: list[str]
    #: The Klap id of what they are in, a folder or a project: another one is selected from anew.
    target: str
    #: None where no person was asked.
    review: Review | None


class _OrderedExport(TypedDict, total=False):
    #: Klap's name of the short, or its id.
    short_name: str
    #: The address of its watermark as it may be shown; None: it has none.
    watermark: str | None


class Exported(_OrderedExport):
    """An export is under way at Klap. What is not required, earlier versions have not left."""

    export_id: str
    project_id: str
    folder_id: str | None
    #: ISO 8601; deadlines count from it.
    submitted_at: str
    #: How many exports of this task instance Klap has accepted so far.
    paid: int
    #: Its name in the ledger.
    entry: str


class ExportReady(TypedDict):
    """Klap has finished an export."""

    export_id: str
    project_id: str
    folder_id: str | None
    #: Public address of the video at Klap; None if the address is a signed one, and so a secret.
    src_url: str | None


class Stored(TypedDict):
    """A video in storage."""

    #: Path, or URL of the object storage with the id of its connection.
    path: str
    #: Bytes.
    size: int
    sha256: str


class File(Stored):
    """A delivered video."""

    #: Klap's public address of it; None where it was there already, and where the address is a secret.
    src_url: str | None


class Delivered(File):
    """A short is in storage, with a JSON file beside it."""

    project_id: str
    export_id: str
    #: Where that JSON file is.
    sidecar: str
    #: Texts to publish it with, by network.
    publication_captions: dict[str, Any] | None
    #: None if it is long: then it is in the JSON file alone.
    transcript: str | None


class DeliveredRow(Stored):
    """Where a run has delivered a short, as the ledger keeps it: what is left of it when the run is deleted."""

    export_id: str
    project_id: str
    name: str
    #: 0 to 100; None where Klap gave none.
    score: int | None
    #: The video that it was cut from, without secrets; None where nobody said.
    video: str | None
    #: ISO 8601; of the latest delivery.
    at: str


class Outcome(TypedDict):
    """What became of a selected short, in short, for the tab."""

    project_id: str
    #: None if it is missing.
    path: str | None
    size: int | None
    src_url: str | None
    #: The step that went wrong, and its error; None if it was delivered.
    step: str | None
    error: str | None


class RunCost(TypedDict):
    """What a run has cost, as :meth:`~klap_provider.rules.cost.Cost.to_json` says it."""

    input_videos: int
    #: None where it did not come to a list.
    generated_shorts: int | None
    exports: int
    #: In cents, without what is not known.
    total: float
    currency: str
    #: Of an input video, a generated short and an export.
    prices: dict[str, float]
    #: Whether nobody at Klap has confirmed one of them.
    second_hand: bool


class Published(TypedDict):
    """A run is complete."""

    #: Path or URL of the run's own manifest, in ``runs/`` beside ``manifest.json``.
    manifest: str
    delivered: int
    paths: list[str]
    #: None if it is not reckoned.
    cost: RunCost | None


class TaggedShort(Described, Stored):
    """A delivered short in the asset event that a run ends with. The transcript is None if it is long."""

    #: Where the JSON file beside it is.
    sidecar: str


class ShortsEvent(TypedDict):
    """``extra`` of that asset event, for DAGs that start when shorts arrive."""

    source_video_url: str
    klap_task_id: str
    manifest: str
    shorts: list[TaggedShort]


class ListedVideo(TypedDict):
    """A video of a batch, which is to have a run: what the task ``video`` is mapped over."""

    source_video_url: str
    #: Id of that run.
    trigger_run_id: str
    #: Fields of the trigger form that are this video's own.
    settings: dict[str, Any]
    #: In the list, from 1.
    line: int


class LeftOutVideo(TypedDict):
    """A video of a batch that certainly is not there."""

    source_video_url: str
    #: In the list, from 1.
    line: int
    reason: str


class Unlisted(TypedDict):
    """What of a list was not made a run of."""

    left_out: list[LeftOutVideo]
    #: How many entries were another one's video with the same settings.
    duplicates: int


class ReadList(Unlisted):
    """What was read of a list, beside the videos themselves."""

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

    #: How many were delivered.
    shorts: int


class Summary(Unlisted):
    """What became of a batch."""

    videos: int
    runs: int
    complete: int
    shorts: int
    incomplete: list[IncompleteVideo]


_LISTED = {RETURN_KEY: Short, SHORTS_KEY: ListedShort, OFFER_KEY: Offer, DESCRIBED_KEY: Described}

#: By operator: what it leaves under which key. Of a list, the shape of its items.
LEFT_BY: Mapping[str, Mapping[str, type]] = {
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

#: The asset whose state store is the ledger; :mod:`klap_provider.rules.ledger` says what its rows are.
LEDGER = "klap_ledger"

# Keys of the task state store: what may be lost.

#: What a wait must remember: ``{"target": str, "started_at": float, "unknown_since": float | None}``, and, once the
#: task is ready, ``ready_at``, ``seen`` and ``seen_since`` of its :class:`~klap_provider.rules.polling.PollState`.
WATCH_KEY = "klap_watch"
#: What a delivery must: :class:`File`.
DELIVERED_KEY = "klap_delivered"
