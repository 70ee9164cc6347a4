"""All operators. Each step has a module of its own, below this one."""

from __future__ import annotations

from klap_provider.batch_list import ReadVideoListOperator
from klap_provider.batch_runs import SummarizeVideosOperator, VideoRunOperator
from klap_provider.delivery import DeliverShortOperator
from klap_provider.export import ExportShortOperator
from klap_provider.listing import ListShortsOperator
from klap_provider.manifest import PublishShortsOperator
from klap_provider.review import ReviewShortsOperator
from klap_provider.submit import SubmitShortsOperator, SubmitVideoOperator

__all__ = [
    "DeliverShortOperator",
    "ExportShortOperator",
    "ListShortsOperator",
    "PublishShortsOperator",
    "ReadVideoListOperator",
    "ReviewShortsOperator",
    "SubmitShortsOperator",
    "SubmitVideoOperator",
    "SummarizeVideosOperator",
    "VideoRunOperator",
]
