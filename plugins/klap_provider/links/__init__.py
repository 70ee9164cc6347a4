"""Extra links of task instances."""

from __future__ import annotations

from typing import TYPE_CHECKING

from klap_provider import published

if TYPE_CHECKING:
    from klap_provider.links.klap import ExportedVideoLink as ExportedVideoLink
    from klap_provider.links.klap import OpenInKlapLink as OpenInKlapLink
    from klap_provider.links.klap import PreviewShortLink as PreviewShortLink
    from klap_provider.links.video_run import VideoRunLink as VideoRunLink

__all__ = [
    "ExportedVideoLink",
    "OpenInKlapLink",
    "PreviewShortLink",
    "VideoRunLink",
]

__getattr__ = published(
    __name__,
    {
        "ExportedVideoLink": "klap",
        "OpenInKlapLink": "klap",
        "PreviewShortLink": "klap",
        "VideoRunLink": "video_run",
    },
)
