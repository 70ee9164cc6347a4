"""What is checked just before a video is sent to Klap, and paid for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import conf

from klap_provider.api.addresses import is_local
from klap_provider.errors import KlapInputError
from klap_provider.files.preflight import require_video

if TYPE_CHECKING:
    from collections.abc import Callable

    from klap_provider.rules.cost import Cost


def most_mapped() -> int:
    """Return over how many items this Airflow maps a task."""
    return int(conf.getint("core", "max_map_length", fallback=1024))


def check(url: str, most: Cost, *, api_url: str, warn: Callable[..., None]) -> None:
    """
    Refuse what would be paid for in vain.

    :param url: the source video.
    :param most: the most that the run can cost.
    :param api_url: base URL of Klap's API.
    :param warn: logs a warning.
    :raises KlapInputError: there is no video at the address, or the run could select more shorts than Airflow maps a
        task over.
    """
    if most.exports > (mapped := most_mapped()):
        raise KlapInputError(
            f"Nothing was sent to Klap. The run could select {most.exports} shorts, and this Airflow maps a task over "
            f"at most {mapped} ([core] max_map_length). Lower max_clip_count (and target_clip_count) to {mapped}, or "
            f"set the shorts to export (the field limit, the operator's max_exports) to at most {mapped}."
        )
    require_video(url, local=is_local(api_url), warn=warn)
