"""Sign the addresses of source videos in object storage, so that Klap can download them."""

from __future__ import annotations

from urllib.parse import urlsplit

from airflow.sdk.log import mask_secret

from klap_provider.api.redaction import without_secrets
from klap_provider.errors import KlapInputError
from klap_provider.files.storage import describe, path_at, storage_errors

#: Seconds that a signed address is valid: three times the timeout of a task.
SIGNED_FOR = 6 * 3600

FIELD = "source_video_url"


def is_stored(url: str) -> bool:
    """Whether an address is a file in object storage rather than a web address."""
    return urlsplit(url).scheme not in ("http", "https")


def signed(url: str) -> str:
    """
    Return a signed web address, with which anybody can download the video for :data:`SIGNED_FOR` seconds. A secret.

    :raises KlapInputError: the connection or its provider is missing, the storage cannot sign, or the URL is a folder.
    :raises KlapStorageError: the video does not exist, or the storage refuses access or fails.
    """
    path = path_at(FIELD, url)
    with storage_errors(FIELD, url):
        # Signing does not check that the file exists.
        if path.fs.info(path.path)["type"] != "file":
            raise KlapInputError(f"{FIELD}: {without_secrets(url)} is a folder. Give the address of one video.")
    try:
        address = str(path.fs.sign(path.path, expiration=SIGNED_FOR))
    except Exception as unable:
        raise KlapInputError(
            f"{FIELD}: the address {without_secrets(url)} cannot be signed ({describe(unable)}). Use credentials that "
            "can sign, such as an access key or a service account's key."
        ) from unable
    mask_secret(address)
    mask_secret(urlsplit(address).query)
    return address
