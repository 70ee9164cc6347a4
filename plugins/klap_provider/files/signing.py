"""Source videos in a team's object storage: signed for Klap, for as long as it needs them."""

from __future__ import annotations

from urllib.parse import urlsplit

from airflow.sdk.log import mask_secret

from klap_provider.api.redaction import without_secrets
from klap_provider.errors import KlapInputError
from klap_provider.files.storage import path_at, said, storage_faults

#: Seconds that a signed address is good for: three times as long as a task is waited for.
SIGNED_FOR = 6 * 3600

FIELD = "source_video_url"


def is_stored(url: str) -> bool:
    """Whether the video is in object storage rather than at an address of the web."""
    return urlsplit(url).scheme not in ("http", "https")


def signed(url: str) -> str:
    """
    Return an address of the web from which anybody can fetch the video for :data:`SIGNED_FOR` seconds: a secret.

    :param url: such as ``s3://conn_id@bucket/talk.mp4``.
    :raises KlapInputError: there is no such connection, provider or way to sign, or the URL names a folder.
    :raises KlapStorageError: the video is not there, or the storage refuses or fails.
    """
    path = path_at(FIELD, url)
    with storage_faults(FIELD, url):
        # A signature is made without asking the storage: it is as good for a file that is not there.
        if path.fs.info(path.path)["type"] != "file":
            raise KlapInputError(f"{FIELD}: {without_secrets(url)} is a folder; give the address of one video.")
    try:
        address = str(path.fs.sign(path.path, expiration=SIGNED_FOR))
    except Exception as unable:
        raise KlapInputError(
            f"{FIELD}: no signed address can be made of {without_secrets(url)} ({said(unable)}). Use credentials that "
            "can sign, such as an access key or a service account's key."
        ) from unable
    mask_secret(address)
    mask_secret(urlsplit(address).query)
    return address
