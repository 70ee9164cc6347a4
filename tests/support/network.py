"""
Restrict tests to the loopback interface of this machine.

Importing this module guards this process and all Python processes that it starts, see ``loopback_only/``. The fixture
:func:`loopback_only` fails tests that try to leave it.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

GUARD = Path(__file__).with_name("loopback_only") / "sitecustomize.py"


class Record:
    """The file that has a line for each refused call, and how much of it was read."""

    def __init__(self) -> None:
        descriptor, name = tempfile.mkstemp(prefix="klap-tests-refused-calls-")
        os.close(descriptor)
        self.file = Path(name)
        self._read = 0

    def new_lines(self) -> list[str]:
        """Return the lines that were added since the last time."""
        lines = self.file.read_text(encoding="utf-8").splitlines()
        new, self._read = lines[self._read :], len(lines)
        return new

    def remove(self) -> None:
        """Remove the file."""
        self.file.unlink(missing_ok=True)


def guard_this_process() -> ModuleType:
    """Return the guard's module. Child processes have loaded it already."""
    present = sys.modules.get("sitecustomize")
    if present is not None and present.__file__ == str(GUARD):
        return present
    spec = importlib.util.spec_from_file_location("klap_tests_network_guard", GUARD)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


RECORD = Record()
os.environ["KLAP_TESTS_REFUSED_CALLS"] = str(RECORD.file)
_path = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path not in ("", str(GUARD.parent))]
os.environ["PYTHONPATH"] = os.pathsep.join([str(GUARD.parent), *_path])
# A proxy on this machine would connect to other machines.
for _proxy in [name for name in os.environ if name.lower().endswith("_proxy")]:
    del os.environ[_proxy]
guard_this_process().record = str(RECORD.file)  # type: ignore[attr-defined]  # sys.modules has no type for it


@pytest.fixture(autouse=True)
def loopback_only() -> Iterator[None]:
    """Fail the test if it, or a process that it started, tried to reach another machine."""
    yield
    if refused := RECORD.new_lines():
        pytest.fail("Tests use this machine only. There was a " + "; a ".join(refused), pytrace=False)
