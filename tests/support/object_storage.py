"""Object storage for tests: moto's S3 as a process of its own, over real sockets."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import boto3
import requests

from demo.airflow import free_ports

if TYPE_CHECKING:
    from pathlib import Path

ACCESS_KEY, SECRET_KEY = "AKIAKLAPTESTS", "an-s3-secret-of-the-tests"


class ObjectStorage:
    """
    A running S3; a context manager that ends it.

    :param folder: where it may leave its log.
    :ivar url: its endpoint.
    :ivar s3: a client of it, other than the one under test.
    """

    def __init__(self, folder: Path) -> None:
        (port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        with (folder / "moto.log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], stdout=log, stderr=log
            )
        self.s3 = boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
        )

    def __enter__(self) -> ObjectStorage:
        deadline = time.monotonic() + 60
        while True:
            try:
                requests.get(self.url, timeout=5)
                return self
            except requests.ConnectionError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    self.stop()
                    raise
                time.sleep(0.1)

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def connection(self) -> dict[str, Any]:
        """An Airflow connection to it."""
        return aws_connection(self.url)

    def reset(self) -> None:
        """Forget everything, and have an empty bucket ``media``."""
        requests.post(f"{self.url}/moto-api/reset", timeout=10).raise_for_status()
        self.s3.create_bucket(Bucket="media")

    def put(self, key: str, content: bytes) -> None:
        """Put a file into the bucket."""
        self.s3.put_object(Bucket="media", Key=key, Body=content)

    def get(self, key: str) -> bytes:
        """Return a file of the bucket."""
        content: bytes = self.s3.get_object(Bucket="media", Key=key)["Body"].read()
        return content

    def keys(self) -> list[str]:
        """Everything in the bucket."""
        return [found["Key"] for found in self.s3.list_objects_v2(Bucket="media").get("Contents", [])]

    def uploads(self) -> list[dict[str, Any]]:
        """Uploads in parts that were begun and neither ended nor given up."""
        found: list[dict[str, Any]] = self.s3.list_multipart_uploads(Bucket="media").get("Uploads", [])
        return found

    def stop(self) -> None:
        """End the process."""
        self.process.terminate()
        self.process.wait(timeout=10)


def aws_connection(url: str) -> dict[str, Any]:
    """Return an Airflow connection to an S3 at this address."""
    return {
        "conn_type": "aws",
        "login": ACCESS_KEY,
        "password": SECRET_KEY,
        "extra": {"endpoint_url": url, "region_name": "us-east-1"},
    }
