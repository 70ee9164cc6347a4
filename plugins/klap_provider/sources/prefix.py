"""A prefix of object storage, or a folder, as a source."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from klap_provider.api.redaction import without_secrets
from klap_provider.errors import KlapInputError
from klap_provider.rules.source_runs import Item
from klap_provider.rules.video_list import URL
from klap_provider.sources.items import seconds_of

#: Endings of the names of videos.
VIDEOS = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".mts")

#: Names under which storages report when a file was written, and what identifies its content.
#: A local file that is moved keeps its mtime, but not the time that is called ``created``.
_WRITTEN = ("created", "mtime", "LastModified", "last_modified", "updated")
_CONTENT = ("ETag", "etag", "md5Hash", "content_md5")


@dataclass(frozen=True, kw_only=True)
class PrefixSource:
    """
    The videos below a prefix of object storage, or in a folder. Each file is an item. The triggerer polls the source.

    A file is complete when its size and its ETag, or the time of its last change, are the same in two checks. A new
    file with the name of an earlier one gets no run. Only files with the usual extensions of videos count, and
    none whose name begins with a dot.

    :param path: an absolute path, or a URL such as ``s3://media_s3@media/in``.
    :param exclude: folders below the prefix that are ignored, such as ``("archive",)``. Default: none.
    """

    path: str
    exclude: tuple[str, ...] = ()

    is_polled = True

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts of the source, see :class:`~klap_provider.rules.source_runs.Item`."""
        return (self.path,)

    def list(self) -> list[Item]:
        """Return an item for each video."""
        # Here, because each parse of the Dag file imports this module.
        from klap_provider.files.storage import path_at, storage_errors

        folder = path_at("path", f"file://{self.path}" if self.path.startswith("/") else self.path)
        base = folder.path.rstrip("/")
        with storage_errors("path", self.path):
            folder.fs.invalidate_cache()  # s3fs and others keep lists
            found: dict[str, dict[str, Any]] = folder.fs.find(folder.path, detail=True)
            if not found and not folder.fs.isdir(folder.path) and folder.protocol == "file":
                raise KlapInputError(f"The source's folder {without_secrets(self.path)} does not exist.")
        items = []
        for name, facts in found.items():
            relative = name.removeprefix(f"{base}/")
            if self._counts(PurePosixPath(relative)):
                # Without the id of the connection, which may change.
                item_id = f"{folder.protocol}://{name if folder.protocol == 'file' else name.lstrip('/')}"
                items.append(_item(str(folder / relative), item_id, relative, facts, self.path))
        return items

    def _counts(self, path: PurePosixPath) -> bool:
        is_excluded = any(str(path).startswith(f"{each.strip('/')}/") for each in self.exclude)
        is_hidden = any(part.startswith(".") for part in path.parts)
        return path.suffix.lower() in VIDEOS and not is_excluded and not is_hidden


def _item(address: str, item_id: str, title: str, facts: dict[str, Any], part: str) -> Item:
    written = next((facts[name] for name in _WRITTEN if facts.get(name) is not None), None)
    content = next((facts[name] for name in _CONTENT if facts.get(name) is not None), written)
    return Item(
        id=item_id,
        conf={URL: address},
        title=title,
        published=seconds_of(written),
        part=part,
        fingerprint=f"{facts.get('size')} {content}",
    )
