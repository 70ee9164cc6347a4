"""Sources of items to watch, see docs/how-to/watch-a-source.md. The triggerer loads them by path."""

from __future__ import annotations

from typing import TYPE_CHECKING

from klap_provider import published

if TYPE_CHECKING:
    from klap_provider.rules.pace import Pace as Pace
    from klap_provider.rules.source_runs import Item as Item
    from klap_provider.sources.feed import FeedSource as FeedSource
    from klap_provider.sources.prefix import PrefixSource as PrefixSource
    from klap_provider.sources.table import TableSource as TableSource
    from klap_provider.sources.youtube import YouTubeSource as YouTubeSource

__all__ = ["FeedSource", "Item", "Pace", "PrefixSource", "TableSource", "YouTubeSource"]

__getattr__ = published(
    __name__,
    {
        "FeedSource": "feed",
        "Item": "items",
        "Pace": "items",
        "PrefixSource": "prefix",
        "TableSource": "table",
        "YouTubeSource": "youtube",
    },
)
