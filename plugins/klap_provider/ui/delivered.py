"""What the ledger says of delivered shorts. A row that no task of that very run has written is not believed."""

from __future__ import annotations

from typing import Any, cast

from klap_provider.airflow_internals.api_server import rows_of_asset
from klap_provider.errors import KlapMissingFileError
from klap_provider.files.sidecar import read_sidecar, sidecar_of
from klap_provider.files.storage import path_at, storage_faults
from klap_provider.rules.ledger import delivered_entry
from klap_provider.xcoms import LEDGER, DeliveredRow


def find(dag_id: str, run_id: str, project_id: str) -> DeliveredRow:
    """
    Return what a run has delivered of a short.

    :raises KlapMissingFileError: nothing that the ledger knows of.
    """
    for row in rows_of_asset(LEDGER, keys=[delivered_entry(dag_id, run_id, project_id)]):
        # People may write rows, too. That must not let them read any file that the API server can.
        if (row.dag_id, row.run_id) == (dag_id, run_id):
            return cast("DeliveredRow", row.value)
    raise KlapMissingFileError(
        f"The ledger knows of no file of {project_id} that the run {run_id} of {dag_id} has delivered. Clear the "
        "delivering task: a file that is there is found, and nothing is paid for.",
        passing=False,
    )


def texts(short: DeliveredRow) -> dict[str, Any]:
    """Return the captions by network, and the transcript, of a delivered short; None where there are none."""
    sidecar = sidecar_of(path_at("path", short["path"]))
    with storage_faults("path", str(sidecar)):
        facts = read_sidecar(sidecar)
    of_it = facts if facts.get("sha256") == short["sha256"] else {}
    return {name: of_it.get(name) for name in ("publication_captions", "transcript")}
