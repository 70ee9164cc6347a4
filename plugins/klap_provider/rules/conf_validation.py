"""Find unknown names in the conf of a run. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from klap_provider.errors import KlapInputError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

#: Minimum similarity of a suggested name, from 0 to 1.
MIN_SIMILARITY = 0.5

#: Keys that Airflow's providers add to the conf of a run.
ADDED_BY_AIRFLOW = frozenset({"openlineage"})


def unknown(names: Iterable[str], known: Collection[str]) -> list[str]:
    """Return the unknown names as text, each with a similar known name, if there is one."""
    return [_with_suggestion(name, known) for name in names if name not in known]


def _with_suggestion(name: str, known: Collection[str]) -> str:
    from difflib import get_close_matches  # here, because each parse of a Dag file imports this module

    similar = get_close_matches(name.strip().lower().replace("-", "_"), known, n=1, cutoff=MIN_SIMILARITY)
    return f"{name!r} (did you mean {similar[0]!r}?)" if similar else repr(name)


def require_known(conf: Mapping[str, Any] | None, params: Collection[str]) -> None:
    """Refuse a run whose conf has a key that is not a param of its Dag, because Airflow would ignore it."""
    if found := unknown((conf or {}).keys() - ADDED_BY_AIRFLOW, params):
        raise KlapInputError(
            f"Nothing was sent to Klap. The conf of this run has {', '.join(sorted(found))}, but the Dag has no such "
            f"parameter. Start a new run. Use only these names: {', '.join(sorted(params))}."
        )
