"""
What tasks leave for each other, for the UI and for other DAGs: every key of it. :mod:`klap_provider.xcoms.shapes` has
the shapes.

At the end are the ledger, where all that was paid stands, and the keys of Airflow's task state store, where a task
keeps for itself what spares work and may be lost.
"""

from __future__ import annotations

from klap_provider import on_use

__getattr__ = on_use(__name__, "shapes")

#: What a task returns. ``summary`` and ``video`` of a batch leave it where they fail, too.
RETURN_KEY = "return_value"
#: Why a task failed: ``Failure``.
ERROR_KEY = "klap_error"
#: Every short that was generated, best first, selected or not: a list of ``ListedShort``.
SHORTS_KEY = "klap_shorts"
#: A person's choice among them: ``Review``.
REVIEW_KEY = "klap_review"
#: What became of each selected short, best first: a list of ``Outcome``.
OUTCOME_KEY = "klap_outcome"
#: What Klap says of the selected shorts, for the files beside their videos: a list of ``Described``. Only those
#: of which its list has told all; none where a person was asked, who may have changed their texts meanwhile.
DESCRIBED_KEY = "klap_described"
#: What exports of the listed shorts cost, and by when a person is asked to pick: ``Offer``.
OFFER_KEY = "klap_offer"
#: What the run has cost, also where it failed: ``RunCost``, if it is reckoned.
COST_KEY = "klap_cost"
#: What of a list of videos was not made a run of: ``Unlisted``.
LIST_KEY = "klap_list"
#: The fields of the trigger form that are set for all videos of a list: a dict by name.
SETTINGS_KEY = "klap_settings"

#: The asset whose state store is the ledger; :mod:`klap_provider.rules.ledger` says what its rows are.
LEDGER = "klap_ledger"

# Keys of the task state store: what may be lost.

#: What a wait must remember: ``{"target": str, "started_at": float, "unknown_since": float | None}``.
WATCH_KEY = "klap_watch"
#: What a delivery must: ``File``.
DELIVERED_KEY = "klap_delivered"
#: The folder or project whose shorts are in Airflow's metrics already: a clear adds nothing.
COUNTED_SHORTS_KEY = "klap_counted_shorts"
#: The ids of the shorts that are in Airflow's metrics as missing already.
COUNTED_MISSING_KEY = "klap_counted_missing"
