"""Extra links of task instances."""

from __future__ import annotations

from klap_provider.links.klap import ExportedVideoLink, OpenInKlapLink, PreviewShortLink, VideoRunLink

__all__ = ["ExportedVideoLink", "OpenInKlapLink", "PreviewShortLink", "VideoRunLink"]
