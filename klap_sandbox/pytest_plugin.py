"""Fixtures of pytest. The distribution ``klap-sandbox`` registers them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from klap_sandbox.process import SandboxProcess


@pytest.fixture(scope="session")
def klap_sandbox() -> Iterator[SandboxProcess]:
    """A sandbox on a free port. Jobs are ready at once, and every export is the same small MP4."""
    from klap_sandbox.process import FAST, SandboxProcess

    with SandboxProcess(*FAST) as running:
        yield running


@pytest.fixture
def klap(klap_sandbox: SandboxProcess) -> SandboxProcess:
    """The sandbox without jobs, records and faults, and with its initial settings."""
    klap_sandbox.reset()
    return klap_sandbox
