"""
Report lineage to OpenLineage: submitted videos and delivered files.

Only the operators' methods ``get_openlineage_facets_on_complete`` import this module, and only the OpenLineage provider
calls them.

Naming of datasets: https://openlineage.io/docs/spec/naming
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow.providers.openlineage.extractors import OperatorLineage
from attrs import define
from openlineage.client.event_v2 import InputDataset, OutputDataset
from openlineage.client.facet_v2 import RunFacet, output_statistics_output_dataset

from klap_provider.api.addresses import canonical, youtube_id
from klap_provider.files.signing import is_stored

if TYPE_CHECKING:
    from klap_provider.xcoms import File

#: Schemes that OpenLineage names differently.
SCHEMES = {"s3a": "s3", "s3n": "s3", "gcs": "gs"}


@define
class KlapRunFacet(RunFacet):
    """Ids of the Klap jobs of a task."""

    klap_task_id: str | None = None
    project_id: str | None = None
    export_id: str | None = None


def submitted(source_video_url: str, *, klap_task_id: str | None) -> OperatorLineage[Any, Any]:
    """Return the lineage of a submission."""
    named = storage_name if is_stored(source_video_url) else web_name
    return OperatorLineage(
        inputs=[InputDataset(*named(source_video_url))],
        run_facets={"klap": KlapRunFacet(klap_task_id=klap_task_id)},
    )


def delivered(record: File | None, *, project_id: str | None, export_id: str) -> OperatorLineage[Any, Any]:
    """Return the lineage of a delivery. Without a ``record``, nothing was delivered."""
    inputs, outputs = [], []
    if record is not None:
        size = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(size=record["size"], fileCount=1)
        outputs.append(OutputDataset(*storage_name(record["path"]), outputFacets={"outputStatistics": size}))
        if record["src_url"]:
            inputs.append(InputDataset(*web_name(record["src_url"])))
    facet = KlapRunFacet(project_id=project_id, export_id=export_id)
    return OperatorLineage(inputs=inputs, outputs=outputs, run_facets={"klap": facet})


def web_name(url: str) -> tuple[str, str]:
    """Return namespace and name of a web address, without user and query. A YouTube address has its id in the query."""
    url = canonical(url)
    parts = urlsplit(url)
    video = f"?{parts.query}" if youtube_id(url) else ""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}", f"{parts.path}{video}" or "/"


def storage_name(path: str) -> tuple[str, str]:
    """Return the namespace and the name of an ``ObjectStoragePath``, without the id of the connection."""
    scheme, _, rest = path.partition("://")
    authority, _, name = rest.partition("/")
    if scheme == "file":
        return "file", f"/{name}"
    return f"{SCHEMES.get(scheme, scheme)}://{authority.rpartition('@')[2]}", name
