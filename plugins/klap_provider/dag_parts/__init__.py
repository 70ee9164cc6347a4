"""Dag factories, for Dag files of two lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from klap_provider import published

if TYPE_CHECKING:
    from klap_provider.dag_parts.caption_video import klap_caption_video as klap_caption_video
    from klap_provider.dag_parts.generate_shorts import klap_generate_shorts as klap_generate_shorts
    from klap_provider.dag_parts.generate_shorts_batch import klap_generate_shorts_batch as klap_generate_shorts_batch
    from klap_provider.dag_parts.ledger_maintenance import klap_ledger_export as klap_ledger_export
    from klap_provider.dag_parts.ledger_maintenance import klap_ledger_maintenance as klap_ledger_maintenance
    from klap_provider.dag_parts.ledger_maintenance import klap_ledger_restore as klap_ledger_restore
    from klap_provider.dag_parts.watch import klap_watch as klap_watch

__all__ = [
    "klap_caption_video",
    "klap_generate_shorts",
    "klap_generate_shorts_batch",
    "klap_ledger_export",
    "klap_ledger_maintenance",
    "klap_ledger_restore",
    "klap_watch",
]

__getattr__ = published(
    __name__,
    {
        "klap_caption_video": "caption_video",
        "klap_generate_shorts": "generate_shorts",
        "klap_generate_shorts_batch": "generate_shorts_batch",
        "klap_ledger_export": "ledger_maintenance",
        "klap_ledger_maintenance": "ledger_maintenance",
        "klap_ledger_restore": "ledger_maintenance",
        "klap_watch": "watch",
    },
)
