"""
The folders that ``make up`` and its siblings keep, a lock for each of them, and ``make reset``.

This module needs Python's standard library only: ``make reset`` and ``make clean`` work without ``.venv``.
"""

from __future__ import annotations

import argparse
import fcntl
import io
import json
import os
import secrets
import shutil
import signal
import sys
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
STATE = ROOT / ".airflow"
#: Where ``make demo`` delivers.
SHORTS = ROOT / "shorts"

#: A folder below :data:`STATE` each. Runs with a real key never share one with runs of the sandbox: neither Klap knows
#: the jobs of the other one.
SANDBOX, KLAP, DEMO, CLUSTER = FOLDERS = ("sandbox", "klap", "demo", "cluster")
CONTENTS = {
    SANDBOX: "runs, ledger and videos of make up with the sandbox",
    KLAP: "runs, ledger and videos that were paid for with KLAP_API_KEY",
    DEMO: "the logs of the last make demo with the sandbox",
    CLUSTER: "the logs of the last make cluster",
    SHORTS.name: "videos of make demo",
}

#: Environment variable of every process that works on a folder: its path.
MARK = "KLAP_DEMO_FOLDER"

ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class DemoError(Exception):
    """Something that the user can fix. The message says what to do, and is printed without a traceback."""


def lock_file(folder: str) -> Path:
    """Return the file that is locked while a folder is in use. It says who uses it."""
    return STATE / f"{folder}.lock"


@contextmanager
def claim(folder: str, *, command: str, url: str | None = None) -> Iterator[Path]:
    """
    Lock a folder below :data:`STATE` until the end of the block, and yield its path.

    :param command: the ``make`` target that uses it.
    :param url: the address of the Airflow that runs there, if it is known beforehand.
    :raises DemoError: another process uses the folder.
    """
    STATE.mkdir(exist_ok=True)
    with lock_file(folder).open("a+") as lock:
        if not _locked(lock):
            raise DemoError(used_by(folder))
        lock.truncate(0)
        json.dump({"command": command, "pid": os.getpid(), "url": url}, lock)
        lock.flush()
        yield STATE / folder


def _locked(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def used_by(folder: str) -> str:
    """Return a text that says who uses a folder, and how to stop that."""
    with suppress(OSError, ValueError, KeyError):
        user = json.loads(lock_file(folder).read_text())
        where = f": {user['url']}" if user["url"] else f" (process {user['pid']})"
        return (
            f"{user['command']} is already running{where}\n"
            f"To stop it, press Ctrl+C in its terminal, or run: kill {user['pid']}"
        )
    return f"Another process uses {STATE / folder}."


def url_of(folder: str) -> str | None:
    """Return the address of the Airflow that works on a folder; None if none does, or none says."""
    return json.loads(lock_file(folder).read_text())["url"] if folder in in_use() else None


def in_use() -> list[str]:
    """Return the folders that are in use."""
    found = []
    for folder in FOLDERS:
        with suppress(FileNotFoundError), lock_file(folder).open() as lock:
            if not _locked(lock):
                found.append(folder)
    return found


def end_leftovers(folder: Path) -> None:
    """Kill processes that still work on a folder. There are some if what started them was killed."""
    try:
        import psutil
    except ImportError:  # without .venv nothing can have been started
        return
    found = True
    while found:  # what is killed may have started another process meanwhile
        found = False
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.pid != os.getpid() and process.environ().get(MARK) == str(folder):
                    found = True
                    process.kill()
                    process.wait(10)


def kept_secrets(folder: Path) -> dict[str, str]:
    """Return Airflow's own secrets as environment variables. They stay the same, so that browsers stay signed in."""
    file = folder / "secrets.json"
    if not file.exists():
        made = {f"AIRFLOW__{name}": secrets.token_hex(32) for name in ("API__SECRET_KEY", "API_AUTH__JWT_SECRET")}
        folder.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
        file.write_text(json.dumps(made))
    kept: dict[str, str] = json.loads(file.read_text())
    return kept


def prepare() -> None:
    """
    Let signals end the program by way of its clean-up, and let any text be printed.

    After ``nohup``, a closed terminal does not end it.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal may lack characters of names, or the ellipsis
    for ending in ENDINGS:
        if ending != signal.SIGHUP or signal.getsignal(ending) != signal.SIG_IGN:
            signal.signal(ending, leave)


def leave(signal_number: int, _frame: object) -> None:
    """End the program by way of its clean-up, which further signals do not interrupt."""
    for each in ENDINGS:
        signal.signal(each, signal.SIG_IGN)
    with suppress(OSError):  # the terminal may be gone
        print("\nStopping …", flush=True)
    sys.exit(128 + signal_number)


def require_idle() -> None:
    """
    Return if no folder is in use.

    :raises DemoError: names what runs, and how to stop it.
    """
    if running := in_use():
        raise DemoError("\n".join(used_by(folder) for folder in running))


def reset() -> None:
    """
    Delete all that was kept, after a question.

    :raises DemoError: it is in use, there is nobody to ask, or the answer is no.
    """
    with ExitStack() as locks:
        STATE.mkdir(exist_ok=True)
        for folder in FOLDERS:
            locks.enter_context(claim(folder, command="make reset"))
        kept = [path for path in (*sorted(STATE.iterdir()), SHORTS) if path.is_dir() and not path.is_symlink()]
        if not kept:
            print("There is nothing to delete.")
            return
        print("make reset deletes:")
        for path in kept:
            what = CONTENTS.get(path.name, "runs and videos of an earlier version")
            videos = [video.stat().st_size for video in path.rglob("*.mp4") if video.is_file()]
            tally = f": {len(videos)} MP4 files, {sum(videos) / 1e6:.0f} MB" if videos else ""
            print(f"  {path}\n      {what}{tally}")
        if STATE / KLAP in kept:
            print("Without that ledger, the same videos and shorts are paid for again if you ask for them again.")
        _confirm()
        for path in kept:
            end_leftovers(path)
            shutil.rmtree(path)
        print("Deleted.")


def _confirm() -> None:
    if os.environ.get("YES", "").strip().lower() in ("1", "y", "yes", "true"):
        return
    if not sys.stdin.isatty():
        raise DemoError(
            "Nothing was deleted: there is no terminal to ask. To delete without a question: make reset YES=1"
        )
    print("Type yes to delete all of this: ", end="", flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise DemoError("Nothing was deleted.")


def main() -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m demo.state", description=__doc__)
    parser.add_argument("command", choices=("reset", "require-idle"))
    try:
        reset() if parser.parse_args().command == "reset" else require_idle()
    except (DemoError, OSError) as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    prepare()
    sys.exit(main())
