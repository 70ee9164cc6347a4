"""The ``[core] hostname_callable`` of a cluster's machines."""

from __future__ import annotations

import os


def machine_name() -> str:
    """Return the name of the process's machine."""
    return os.environ["KLAP_MACHINE"]
