"""Object storage for tests: moto's S3 in another process."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import boto3
import requests

from demo.servers import ACCESS_KEY, S3, SECRET_KEY

if TYPE_CHECKING:
    from pathlib import Path

_HALF_AN_UPLOAD = """
import os, sys
from klap_provider.files.storage import folder_at, atomic_file
with atomic_file(folder_at(sys.argv[1])) as sink:
    for _ in range(40):
        sink.write(bytes(1024 * 1024))
    os.kill(os.getpid(), 9)
"""


def killed_in_an_upload(url: str) -> None:
    """Start to upload a large file from a process that is killed after two parts."""
    assert subprocess.run([sys.executable, "-c", _HALF_AN_UPLOAD, url], check=False).returncode == -9


class ObjectStorage(S3):
    """
    A running S3. Use as a context manager.

    :param folder: folder for its log.
    :ivar s3: a client that is not the one under test.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "moto.log")
        self.s3 = boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
        )

    def reset(self) -> None:
        """Delete everything, and create an empty bucket ``media``."""
        requests.post(f"{self.url}/moto-api/reset", timeout=10).raise_for_status()
        self.s3.create_bucket(Bucket="media")

    def put(self, key: str, content: bytes) -> None:
        """Put a file into the bucket."""
        self.s3.put_object(Bucket="media", Key=key, Body=content)

    def get(self, key: str, bucket: str = "media") -> bytes:
        """Return a file of the bucket."""
        content: bytes = self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        return content

    def keys(self, bucket: str = "media") -> list[str]:
        """Return all keys of the bucket."""
        return [found["Key"] for found in self.s3.list_objects_v2(Bucket=bucket).get("Contents", [])]

    def uploads(self) -> list[dict[str, Any]]:
        """Return the unfinished multipart uploads."""
        found: list[dict[str, Any]] = self.s3.list_multipart_uploads(Bucket="media").get("Uploads", [])
        return found
