"""The operators, one per file. Importing one loads no other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from klap_provider import published

if TYPE_CHECKING:
    from klap_provider.operators.deliver import DeliverShortOperator as DeliverShortOperator
    from klap_provider.operators.export import ExportShortOperator as ExportShortOperator
    from klap_provider.operators.generate_shorts import GenerateShortsOperator as GenerateShortsOperator
    from klap_provider.operators.list_shorts import ListShortsOperator as ListShortsOperator
    from klap_provider.operators.publish import PublishShortsOperator as PublishShortsOperator
    from klap_provider.operators.read_video_list import ReadVideoListOperator as ReadVideoListOperator
    from klap_provider.operators.review import ReviewShortsOperator as ReviewShortsOperator
    from klap_provider.operators.submit import SubmitShortsOperator as SubmitShortsOperator
    from klap_provider.operators.submit import SubmitVideoOperator as SubmitVideoOperator
    from klap_provider.operators.summarize import SummarizeVideosOperator as SummarizeVideosOperator
    from klap_provider.operators.video_run import VideoRunOperator as VideoRunOperator
    from klap_provider.operators.watch_source import StartSourceRunsOperator as StartSourceRunsOperator

__all__ = [
    "DeliverShortOperator",
    "ExportShortOperator",
    "GenerateShortsOperator",
    "ListShortsOperator",
    "PublishShortsOperator",
    "ReadVideoListOperator",
    "ReviewShortsOperator",
    "StartSourceRunsOperator",
    "SubmitShortsOperator",
    "SubmitVideoOperator",
    "SummarizeVideosOperator",
    "VideoRunOperator",
]

__getattr__ = published(
    __name__,
    {
        "DeliverShortOperator": "deliver",
        "ExportShortOperator": "export",
        "GenerateShortsOperator": "generate_shorts",
        "ListShortsOperator": "list_shorts",
        "PublishShortsOperator": "publish",
        "ReadVideoListOperator": "read_video_list",
        "ReviewShortsOperator": "review",
        "StartSourceRunsOperator": "watch_source",
        "SubmitShortsOperator": "submit",
        "SubmitVideoOperator": "submit",
        "SummarizeVideosOperator": "summarize",
        "VideoRunOperator": "video_run",
    },
)
