"""More runs at once than a month has money for."""

from __future__ import annotations

from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from klap_provider.rules.ledger_keys import limit_entry, pause_entry
from tests.support.mail import text_of
from tests.support.rig import DAG_ID

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import Message as Mail

    from tests.support.rig import Rig

pytestmark = [pytest.mark.e2e, pytest.mark.chaos]

CONNECTION = "klap_limited"
SCOPE = f"connection {CONNECTION}"

#: Number of runs, and for how many of them the rest of the month suffices.
RUNS, COVERED = 20, 7

#: What a run with one short costs, and what is left of the month's $24.80: as much as the runs cost that it covers.
VIDEO, SHORT, EXPORT = Decimal("0.44"), Decimal("0.32"), Decimal("0.48")
COST = VIDEO + SHORT + EXPORT
MONTHLY_LIMIT = Decimal("24.80")
USED_BEFORE = MONTHLY_LIMIT - COVERED * COST

REFUSED = (
    f"Nothing was sent to Klap for video-to-shorts. The monthly limit of the connection '{CONNECTION}' is $24.80. In "
    "2026-11, $24.80 of it is paid or reserved, and $1.24 is needed. Clear this task after the month ends, on "
    f"2026-12-01 at 00:00 UTC. Or raise monthly_limit in the connection '{CONNECTION}', and clear this task now."
)


def billed(rig: Rig) -> Decimal:
    """Return what Klap bills in US dollars."""
    tasks, exports = rig.paid()
    folders = [
        rig.sandbox.call("GET", f"/tasks/{each['id']}").json()["output_id"] for each in rig.sandbox.ledger("task")
    ]
    shorts = sum(len(rig.sandbox.call("GET", f"/projects/{folder}").json()) for folder in folders)
    return tasks * VIDEO + shorts * SHORT + exports * EXPORT


@contextmanager
def paused(rig: Rig) -> Iterator[None]:
    """Start tasks only at the end, so that all runs start at once."""
    rig.airflow.api("PATCH", f"/dags/{DAG_ID}", json={"is_paused": True})
    yield
    rig.airflow.api("PATCH", f"/dags/{DAG_ID}", json={"is_paused": False})


def test_20_runs_at_once_pay_no_more_than_is_left_of_a_month_and_the_rest_run_in_the_next_one(
    rig: Rig, mail: tuple[dict[str, Any], list[Mail]]
) -> None:
    one_short = {"limit": 1, "target_clip_count": 1, "max_clip_count": 1, "klap_conn_id": CONNECTION}
    with rig.month_of("2026-11-30T23:00:00+00:00"):
        rig.write_row(limit_entry("2026-11", SCOPE), {"next": 0, "total": str(USED_BEFORE)})
        with paused(rig):
            runs = [rig.start(**one_short) for _ in range(RUNS)]
        states = {run_id: rig.airflow.wait_for_run(DAG_ID, run_id, seconds=600) for run_id in runs}
    refused = [run_id for run_id, state in states.items() if state == "failed"]
    assert billed(rig) == (RUNS - len(refused)) * COST <= COVERED * COST
    # On a busy machine, Airflow can end a worker while it reserves money, which counts.
    assert RUNS - len(refused) >= COVERED - 1
    for run_id in refused:
        assert rig.error_of(run_id, "submit")["error"] == REFUSED
    assert pause_entry(SCOPE) in rig.ledger(), "watched sources wait"
    told = [text_of(each) for each in mail[1] if each["Subject"] == "limit_reached"]
    assert [sum(run_id in text for text in told) for run_id in refused] == [1] * len(refused)
    assert sum("is reached. The month ends on 2026-12-01" in text for text in told) == 1, "once per month"

    with rig.month_of("2026-12-01T00:00:00+00:00"):
        with paused(rig):
            for run_id in refused:
                rig.clear(run_id, only_failed=True)
        for run_id in refused:
            assert rig.airflow.wait_for_run(DAG_ID, run_id, seconds=600) == "success"
    rig.tally.due, rig.tally.paid = (RUNS, RUNS), rig.paid()
    assert billed(rig) == RUNS * COST, "nothing is paid twice"
    assert [rig.returned(run_id, "publish")["delivered"] for run_id in runs] == [1] * RUNS
    of_december = rig.ledger()[limit_entry("2026-12", SCOPE)]
    assert len(refused) * COST <= Decimal(of_december["total"]) <= MONTHLY_LIMIT
