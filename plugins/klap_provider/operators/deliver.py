"""DeliverShortOperator: copy the video of an exported short from Klap to storage."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, cast

from klap_provider.api import addresses, calls, redaction, responses
from klap_provider.errors import KlapDownloadError
from klap_provider.links.klap import ExportedVideoLink, PreviewShortLink
from klap_provider.operators.arguments import rendered_score
from klap_provider.operators.base import writer_of
from klap_provider.operators.failures import log_failure, reports_failure
from klap_provider.operators.ledger import KlapLedgerOperator, run_of
from klap_provider.rules import ledger_keys
from klap_provider.rules.file_names import file_name
from klap_provider.rules.short_facts import LONGEST_TRANSCRIPT, facts_of, is_whole
from klap_provider.telemetry import metrics
from klap_provider.xcoms import FACTS_KEY, Delivered, ExportReady, File

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.providers.openlineage.extractors import OperatorLineage
    from airflow.sdk import Context, ObjectStoragePath

    from klap_provider.files.storage import Writer
    from klap_provider.rules.ledger_rows import DeliveredRow
    from klap_provider.selection_xcoms import Facts, ShortFacts


class DeliverShortOperator(KlapLedgerOperator):
    """
    Copy the video of an exported short to storage, with a JSON file beside it.

    The video appears under its final name only when it is complete. The file name consists of the score, the short's
    name and the export's id (:func:`~klap_provider.rules.file_names.file_name`). The JSON file has the same name, and
    has Klap's score, explanation, publication captions and transcript.

    An existing file is kept if it has the size that this run recorded. If this run recorded none, it is kept if its
    hash is the one in the JSON file. Without a JSON file, it is kept if it is a complete MP4. Otherwise it is
    downloaded again. The memory that the task needs does not depend on the size of the video.

    :param export_id: id of the export, which must be ready. Templated.
    :param project_id: id of the short. Templated.
    :param folder_id: id of its folder; None after video-to-video. Templated.
    :param destination: folder to deliver to: an absolute path, or a URL for Airflow's ``ObjectStoragePath`` such as
        ``s3://aws_default@bucket/shorts``. Default: the destination of the connection, or ``klap_shorts`` in Airflow's
        home if all tasks run on one machine. Templated.
    :param subfolder: folder below the destination. Templated.
    :param short_name: name of the short, for the file name and shown as the map index. Templated.
    :param virality_score: score of the short, 0–100, for the file name. Templated.
    :param source_video_url: address of the source video, for the JSON file. Templated.
    :param klap_task_id: id of the task at Klap, for the JSON file. Templated.
    :param wait_task_id: id of the :class:`~klap_provider.sensors.ExportStatusSensor` of the short. Its result has the
        address of the video, which saves a request to Klap. Default: request the address.
    :param list_task_id: id of the :class:`~klap_provider.operators.ListShortsOperator` that listed the short. Its
        result can have the texts for the JSON file, which saves a request to Klap. Default: request the texts.
    :param submit_task_id: id of the task that submitted the video. The destination that it recorded is allowed, even if
        the connection or the allowlist has changed since. Default: no task.
    :param allowed_destinations: prefixes of addresses that a run may use as ``destination``
        (:mod:`klap_provider.rules.allowlist`). Values in the Dag file are always allowed. Default: ``[klap]
        allowed_destinations`` of Airflow's configuration.
    :param max_bytes: maximum size of a video in bytes. A larger download fails. Default 5 GiB.
    :param download_timeout: seconds after which a download fails. Default 1800.
    :param klap_conn_id: the Airflow connection. Default ``klap_default``. Templated.
    :param on_behalf_of: id of the managed user to act for. Default: that of the connection. Templated.
    :return: ``{"project_id": str, "export_id": str, "path": str, "size": int, "sha256": str, "src_url": str | None,
        "sidecar": str, "publication_captions": dict | None, "transcript": str | None}``. ``src_url`` is Klap's address
        of the video, if this task downloaded it and the address is not signed. ``sidecar`` is the JSON file.
        ``transcript`` is None if it is longer than 10,000 characters.
    :raises KlapInputError: the destination is wrong, or not shared by all tasks.
    :raises KlapDownloadError: the file could not be downloaded completely.
    :raises KlapStorageError: the file could not be stored.
    """

    template_fields: Sequence[str] = (
        "export_id",
        "project_id",
        "folder_id",
        "destination",
        "subfolder",
        "short_name",
        "virality_score",
        "source_video_url",
        "klap_task_id",
        "klap_conn_id",
        "on_behalf_of",
    )
    operator_extra_links = (PreviewShortLink(), ExportedVideoLink())

    #: The delivered file, for OpenLineage.
    delivered: File | None = None

    def __init__(
        self,
        *,
        export_id: str,
        project_id: str,
        folder_id: str | None = None,
        destination: str | None = None,
        subfolder: str | None = None,
        short_name: str | None = None,
        virality_score: float | None = None,
        source_video_url: str | None = None,
        klap_task_id: str | None = None,
        wait_task_id: str | None = None,
        list_task_id: str | None = None,
        submit_task_id: str | None = None,
        allowed_destinations: Sequence[str] | None = None,
        max_bytes: int = 5 * 1024**3,
        download_timeout: float = 1800,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("map_index_template", "{{ task.shown_name }}")
        super().__init__(**kwargs)
        self.export_id = export_id
        self.project_id = project_id
        self.folder_id = folder_id
        self.destination = destination
        self.subfolder = subfolder
        self.short_name = short_name
        self.virality_score = virality_score
        self.source_video_url = source_video_url
        self.klap_task_id = klap_task_id
        self.wait_task_id = wait_task_id
        self.list_task_id = list_task_id
        self.submit_task_id = submit_task_id
        self.max_bytes = max_bytes
        self.download_timeout = download_timeout
        self.allowed_destinations = allowed_destinations
        self.note_static("destination")

    @reports_failure
    def execute(self, context: Context) -> Delivered:
        """Deliver the video, unless it was delivered before."""
        from klap_provider.files.sidecar import read_sidecar, sidecar_of
        from klap_provider.files.storage import folder_at, storage_errors

        self.virality_score = rendered_score(self.virality_score)
        path = folder_at(self.resolve_destination(self.allowed_destinations, context), self.subfolder) / file_name(
            export_id=self.export_id, short_name=self.short_name, virality_score=self.virality_score
        )
        sidecar = sidecar_of(path)
        self._record_names(context, path.stem)  # before the file appears
        with storage_errors("destination", str(path), paid=True):
            facts = read_sidecar(sidecar)
            record = self._existing_file(path, context, facts)
            if record is None:
                record = self._fetch(path, self._address_from_wait(context), writer_of(context))
                self.log.info("Delivered %s (%d bytes)", path, record["size"])
                metrics.count(metrics.DELIVERED)
                metrics.count(metrics.DELIVERED_BYTES, record["size"])
            else:
                self.log.info("Nothing downloaded: %s exists already", path)
        self.delivered = record
        if facts.get("sha256") != record["sha256"] or not is_whole(facts):
            facts = self._write_sidecar(context, sidecar, path.name, record)
        self._record_delivery(context, record, facts)
        transcript = facts["transcript"]
        return {
            "project_id": str(self.project_id),
            "export_id": self.export_id,
            **record,
            "sidecar": str(sidecar),
            "publication_captions": facts["publication_captions"],
            "transcript": transcript if transcript and len(transcript) <= LONGEST_TRANSCRIPT else None,
        }

    def _record_delivery(self, context: Context, record: File, facts: dict[str, Any]) -> None:
        """Write the path of the video to the ledger."""
        row: DeliveredRow = {
            "export_id": self.export_id,
            "project_id": str(self.project_id),
            "name": facts["name"],
            "score": facts["virality_score"],
            "video": redaction.shown(self.source_video_url) if self.source_video_url else None,
            **record,
            "at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        }
        with log_failure("Recording the delivery in the ledger"):
            self.ledger.set(self._entry(context), row)

    def _record_names(self, context: Context, stem: str) -> None:
        """Write the names of the video to the ledger, so that a watched source that lists the video refuses it."""
        names = [stem]
        if self.short_name and self.folder_id:  # the name of a whole video may be that of its source
            names.append(self.short_name)
        with log_failure("Recording the short's name in the ledger"):
            for name in names:
                self.ledger.set(ledger_keys.short_name_entry(name), {"name": name, "run": run_of(context)})

    def _entry(self, context: Context) -> str:
        ti = context["ti"]
        return ledger_keys.delivered_entry(ti.dag_id, ti.run_id, str(self.project_id))

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any]:
        """Return for OpenLineage, if its provider is installed, which file comes from which export."""
        from klap_provider.telemetry.lineage import delivered

        return delivered(self.delivered, project_id=self.project_id, export_id=self.export_id)

    def _existing_file(self, path: ObjectStoragePath, context: Context, facts: Mapping[str, Any]) -> File | None:
        """
        Return the existing file, or None if it is missing or not the file that was delivered.

        :param facts: content of the JSON file.
        """
        from klap_provider.files.download import stored
        from klap_provider.files.storage import BLOCK_SIZE, size_of

        size = size_of(path)
        if not size:
            return None
        row: Any = None
        with log_failure("Reading the delivery from the ledger"):
            row = self.ledger.get(self._entry(context))
        problem: str | None
        if isinstance(row, dict) and row.get("path") == str(path):
            if size == row["size"]:
                return {"path": str(path), "size": size, "sha256": row["sha256"], "src_url": row.get("src_url")}
            problem = f"it has {size} bytes, but had {row['size']} when it was delivered"
        else:
            with path.fs.open(path.path, "rb", block_size=BLOCK_SIZE) as file:
                sha256, problem = stored(file)
            if "sha256" in facts:
                problem = None if facts["sha256"] == sha256 else "its hash is not the one in the JSON file"
            if problem is None:
                return {"path": str(path), "size": size, "sha256": sha256, "src_url": None}
        self.log.warning("Downloading %s again: %s", path, problem)
        return None

    def _write_sidecar(self, context: Context, sidecar: ObjectStoragePath, file: str, record: File) -> dict[str, Any]:
        from klap_provider.files.sidecar import write_json
        from klap_provider.files.storage import storage_errors

        facts = {
            "project_id": self.project_id,
            "export_id": self.export_id,
            "folder_id": self.folder_id,
            **self._facts(context),
            "source_video_url": None if self.source_video_url is None else redaction.shown(self.source_video_url),
            "klap_task_id": self.klap_task_id,
            "file": file,
            "size": record["size"],
            "sha256": record["sha256"],
        }
        with storage_errors("destination", str(sidecar), paid=True):
            write_json(sidecar, facts, writer_of(context))
        return facts

    def _facts(self, context: Context) -> Facts:
        """Return Klap's facts about the short: from the task that listed it, or else from Klap."""
        if self.list_task_id is not None:
            listed = context["ti"].xcom_pull(task_ids=self.list_task_id, key=FACTS_KEY)
            # If an XCom backend lost the file, the value is a string.
            for short in cast("list[ShortFacts]", listed if isinstance(listed, list) else []):
                if short["project_id"] == self.project_id:
                    return short
        project = self.client.call(calls.get_project(str(self.project_id), folder_id=self.folder_id))
        return facts_of(project, short_name=self.short_name, virality_score=self.virality_score)

    def _address_from_wait(self, context: Context) -> str | None:
        """Return the address of the video from the sensor's result, if the sensor waited for this export."""
        if self.wait_task_id is None:
            return None
        ti = self.with_pulls(context)["ti"]
        result = ti.xcom_pull(self.wait_task_id, map_indexes=ti.map_index)
        if not isinstance(result, dict):  # a string, if an XCom backend lost the file
            return None
        ready = cast("ExportReady", result)
        return ready["src_url"] if ready["export_id"] == self.export_id else None

    def _fetch(self, path: ObjectStoragePath, known_address: str | None, writer: Writer) -> File:
        if known_address is None:
            return self._download(path, self._request_address(), writer)
        try:
            return self._download(path, known_address, writer)
        except KlapDownloadError as failure:
            address = self._request_address()
            if address == known_address:
                raise
            self.log.info("Trying the video's new address at Klap, because the earlier one failed: %s", failure)
            return self._download(path, address, writer)

    def _request_address(self) -> str:
        """Request the public address of the video from Klap."""
        export = self.client.call(
            calls.get_export(self.export_id, project_id=str(self.project_id), folder_id=self.folder_id)
        )
        if export.status != responses.JobStatus.READY or not export.src_url:
            raise KlapDownloadError(
                f"Klap export {export.id} is {export.status!r} and has no video to deliver. Wait for it with "
                "ExportStatusSensor.",
                transient=export.status != responses.JobStatus.ERROR,
            )
        return export.src_url

    def _download(self, path: ObjectStoragePath, address: str, writer: Writer) -> File:
        from klap_provider.files.download import Limits, download
        from klap_provider.files.storage import atomic_file

        connection = self.client.connection
        limits = Limits(
            self.max_bytes,
            self.download_timeout,
            connection.connect_timeout,
            connection.read_timeout,
            local=addresses.is_local(connection.api_url),
        )
        with atomic_file(path, writer) as sink:
            fetched = download(address, sink, limits)
        return {
            "path": str(path),
            "size": fetched.size,
            "sha256": fetched.sha256,
            "src_url": redaction.public_address(address),
        }
