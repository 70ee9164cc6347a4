"""
Which exports there are of a folder's shorts, asked once for all that are about to be exported.

Before an export is paid for, what Klap has of its short is written down with the intent, so that it is not taken for
what a lost answer has made. Fifty shorts of a video need not ask fifty times for that: who selects them notes it for
all. A note that is a minute old is made anew, and so is one after an answer got lost; where an earlier POST for the
same may have gone out, it is not used at all.
"""

from __future__ import annotations

import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from klap_provider.api import calls
from klap_provider.rules.ledger import listed_entry

if TYPE_CHECKING:
    from klap_provider.hooks.client import KlapClient
    from klap_provider.rules.ledger import Store

#: Seconds for which a note is good.
FRESH = 60.0

#: How many exports a note may have; values of Airflow's state store are small.
MOST = 2000


def note(client: KlapClient, store: Store, folder_id: str) -> dict[str, list[str]]:
    """
    List the exports of a folder, and note them.

    :return: their ids, by short; those of which the answer does not say it under an empty id.
    :raises KlapError: the list was not to be had.
    """
    at = time.time()
    found: dict[str, list[str]] = defaultdict(list)
    for export in client.call(calls.list_exports(folder_id=folder_id)):
        if export.folder_id in (None, folder_id):
            found[export.project_id or ""].append(export.id)
    if sum(map(len, found.values())) <= MOST:
        store.set(listed_entry(folder_id, client.connection.on_behalf_of), {"at": at, "exports": dict(found)})
    return found


def ids_of(client: KlapClient, store: Store, folder_id: str, project_id: str) -> list[str]:
    """
    Return the ids of the exports of a short, as they were at most a minute ago.

    :raises KlapError: the list was not to be had.
    """
    row: Any = store.get(listed_entry(folder_id, client.connection.on_behalf_of))
    age = time.time() - row["at"] if row else FRESH
    found = row["exports"] if 0 <= age < FRESH else note(client, store, folder_id)
    return [*found.get(project_id, ()), *found.get("", ())]


def forget(client: KlapClient, store: Store, folder_id: str) -> None:
    """Forget the note, as there may be an export that it does not have and that no row of the ledger names."""
    store.delete(listed_entry(folder_id, client.connection.on_behalf_of))
