"""Names that nobody knows, and the ones that were meant. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from klap_provider.errors import KlapInputError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

#: How alike two names are at least, from 0 to 1, for the one to be what was meant by the other.
ALIKE = 0.5

#: What Airflow's own providers put into the conf of a run beside what was asked for.
OF_AIRFLOW = frozenset({"openlineage"})


def unknown(names: Iterable[str], known: Collection[str]) -> list[str]:
    """Return, to be shown, those of the names that are not known, each with the one that was meant, if one is alike."""
    return [_shown(name, known) for name in names if name not in known]


def _shown(name: str, known: Collection[str]) -> str:
    from difflib import get_close_matches  # for a mistake alone: every parse of a DAG file loads this module

    meant = get_close_matches(name.strip().lower().replace("-", "_"), known, n=1, cutoff=ALIKE)
    return f"{name!r} (did you mean {meant[0]!r}?)" if meant else repr(name)


def require_known(conf: Mapping[str, Any] | None, params: Collection[str]) -> None:
    """
    Refuse a run that was asked for something under a name that its DAG does not have: Airflow would go on without it.

    :param conf: the run's.
    :param params: names of the params of its DAG.
    :raises KlapInputError: names what is unknown.
    """
    if found := unknown((conf or {}).keys() - OF_AIRFLOW, params):
        raise KlapInputError(
            f"Nothing was sent to Klap. The conf of this run has {', '.join(sorted(found))}, which is no field of its "
            f"DAG, and would have no effect. Start a run with the right names: {', '.join(sorted(params))}."
        )
