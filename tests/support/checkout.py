"""A copy of this checkout, for the commands of demo/."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).resolve().parents[2]


class Checkout:
    """
    A copy of the checkout, so that commands do not change the real one.

    :param folder: its path.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("demo", "dags", "klap_sandbox"):
            shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(REPOSITORY / "Makefile", folder)
        self.state = folder / ".airflow"
        # A fake .venv, as make would install one.
        (folder / ".venv" / "bin").mkdir(parents=True)
        python = folder / ".venv" / "bin" / "python"
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        python.chmod(0o755)
        for name in ("pyproject.toml", "constraints.txt", ".venv/ready"):
            (folder / name).touch()

    def make(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run make without a terminal, with these environment variables."""
        return subprocess.run(
            ["make", "--no-print-directory", *arguments],
            cwd=self.folder,
            env=self.environ(**environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    @staticmethod
    def environ(**more: str) -> dict[str, str]:
        """Return an environment without the variables of the commands."""
        ours = ("KLAP_API_KEY", "VIDEO_URL", "DAG", "PORT", "YES", "MAKEFLAGS", "MAKELEVEL", "PYTHONPATH")
        kept = {name: value for name, value in os.environ.items() if name not in ours}
        return {**kept, "PYTHON": sys.executable, **more}

    @contextmanager
    def locked(self, folder: str, url: str | None) -> Iterator[int]:
        """Lock a folder by another process, like a running make up, and yield its process id."""
        code = (
            "import time\nfrom demo.state import lock_folder\n"
            f"with lock_folder({folder!r}, command='make up', url={url!r}):\n"
            "    print('locked', flush=True)\n"
            "    time.sleep(60)"
        )
        process = subprocess.Popen([sys.executable, "-c", code], cwd=self.folder, stdout=subprocess.PIPE)
        assert process.stdout
        assert process.stdout.readline() == b"locked\n"
        try:
            yield process.pid
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
