"""What the page Klap shows of money: that of the DAGs whose XComs a user may read, and of no other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from klap_provider.airflow_internals.api_server import existing_runs, may_read_xcoms, rows_of_asset
from klap_provider.rules.ledger import PAID
from klap_provider.rules.spending import paid_lines, run_of_line, spending, total
from klap_provider.ui.runs import NAMED, has_words, name_of, parts_of, run_names
from klap_provider.xcoms import LEDGER

if TYPE_CHECKING:
    from klap_provider.airflow_internals.api_server import RunRow


def money(user: Any, *, since: str) -> dict[str, Any]:
    """Return what was paid, as :func:`~klap_provider.rules.spending.spending` sums it up."""
    return spending((line for _, line in _readable(user)), since=since)


def payments(
    user: Any, *, search: str, dag_id: str | None, run: tuple[str, str] | None, limit: int, offset: int
) -> dict[str, Any]:
    """
    Return the requests that were paid for, the newest first.

    :param search: words that the video, what was ordered, the run's name, or its DAG has to have.
    :param dag_id: only those of this DAG.
    :param run: DAG and id of a run: only what it has paid, or, since it began, the runs of its videos.
    :return: ``{"payments": [{"at", "video", "what", "settings", "dag_id", "run_id", "run_name", "cost",
        "second_hand"}], "more": bool, "total": int, "cost": float, "second_hand": bool, "dag_ids": [str],
        "run_name": str | None}``, the total and the cost being those of all that were found, of which ``payments`` is a
        page, the name of a run that is deleted None, and ``run_name`` that of ``run``.
    """
    lines = _readable(user)
    dag_ids = {run_of_line(line)[0] for _, line in lines}
    whole = _run_of(user, run)
    parts = parts_of(whole, dag_ids) if whole else set()
    words = search.lower().split()
    names = run_names(run_of_line(line) for _, line in (lines if words else ()))

    def is_wanted(video: str, line: Any) -> bool:
        its = run_of_line(line)
        # What the run of a batch's video had paid before the batch began was not paid for that.
        is_of_run = run in (None, its) or (whole is not None and its in parts and str(line["at"]) >= whole.at)
        if dag_id not in (None, its[0]) or not is_of_run:
            return False
        return has_words(words, video, line.get("what"), line.get("settings"), names.get(its), its[0])

    found = sorted((each for each in lines if is_wanted(*each)), key=lambda each: (each[0], str(each[1]["id"])))
    found.sort(key=lambda each: str(each[1]["at"]), reverse=True)
    page = found[offset : offset + limit]
    names = names or run_names(run_of_line(line) for _, line in page)
    return {
        "payments": [
            {
                "at": str(line["at"]),
                "video": video,
                "what": line.get("what"),
                "settings": line.get("settings"),
                "dag_id": its[0],
                "run_id": its[1],
                "run_name": names.get(its),
                "cost": line["price"],
                "second_hand": bool(line.get("second_hand")),
            }
            for video, line in page
            for its in [run_of_line(line)]
        ],
        "more": len(found) > offset + limit,
        "total": len(found),
        "cost": total(line["price"] for _, line in found),
        "second_hand": any(line.get("second_hand") for _, line in found),
        "dag_ids": sorted(dag_ids),
        "run_name": name_of(whole) if whole else None,
    }


def _readable(user: Any) -> list[tuple[str, Any]]:
    """Return what was paid by runs that the user may read, each with its video."""
    rows = rows_of_asset(LEDGER, prefix=f"{PAID}.")
    lines = [(str(line.get("video", "")), line) for row in rows for line in paid_lines([row.value])]
    readable = may_read_xcoms(user, {run_of_line(line)[0] for _, line in lines})
    return [(video, line) for video, line in lines if run_of_line(line)[0] in readable]


def _run_of(user: Any, run: tuple[str, str] | None) -> RunRow | None:
    if run is None or not may_read_xcoms(user, [run[0]]):
        return None
    return existing_runs([run], operators=NAMED).get(run)
