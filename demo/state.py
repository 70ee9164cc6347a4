"""
The folders of ``make demo``, ``make up`` and ``make cluster``, their locks, and ``make reset``.

Needs only Python's standard library, as ``make reset`` and ``make clean`` work without ``.venv``.
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

#: Folders below :data:`STATE`. Runs with a real key have one of their own, as Klap and the sandbox have different jobs.
SANDBOX, KLAP, DEMO, CLUSTER = FOLDERS = ("sandbox", "klap", "demo", "cluster")
CONTENTS = {
    SANDBOX: "runs, ledger and videos of make up with the sandbox",
    KLAP: "runs, ledger and videos paid for with KLAP_API_KEY",
    DEMO: "the logs of the last make demo with the sandbox",
    CLUSTER: "the logs of the last make cluster",
    SHORTS.name: "videos of make demo",
}

#: Environment variable of each process that uses a folder: the folder's path.
FOLDER_VARIABLE = "KLAP_DEMO_FOLDER"

END_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class DemoError(Exception):
    """An error that the user can fix. Printed without a traceback."""


def lock_file(folder: str) -> Path:
    """Return the lock file of a folder. Its content describes the process that uses the folder."""
    return STATE / f"{folder}.lock"


@contextmanager
def lock_folder(folder: str, *, command: str, url: str | None = None) -> Iterator[Path]:
    """
    Lock a folder below :data:`STATE`, and yield its path.

    :param command: the command that uses it, such as ``make up``.
    :param url: the address of its Airflow; None = not known yet.
    :raises DemoError: another process uses the folder.
    """
    STATE.mkdir(exist_ok=True)
    with lock_file(folder).open("a+") as lock:
        if not _try_lock(lock):
            raise DemoError(in_use_message(folder))
        lock.truncate(0)
        json.dump({"command": command, "pid": os.getpid(), "url": url}, lock)
        lock.flush()
        yield STATE / folder


def _try_lock(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def in_use_message(folder: str) -> str:
    """Return an error that names the command that uses a folder, and how to stop it."""
    with suppress(OSError, ValueError, KeyError):
        user = json.loads(lock_file(folder).read_text())
        where = f": {user['url']}" if user["url"] else f" (process {user['pid']})"
        return (
            f"{user['command']} is already running{where}\n"
            f"To stop it, press Ctrl+C in its terminal, or run: kill {user['pid']}"
        )
    return f"Another process uses {STATE / folder}."


def airflow_url(folder: str) -> str | None:
    """Return the address of the Airflow that uses a folder, or None."""
    return json.loads(lock_file(folder).read_text())["url"] if folder in folders_in_use() else None


def folders_in_use() -> list[str]:
    """Return the folders that are in use."""
    found = []
    for folder in FOLDERS:
        with suppress(FileNotFoundError), lock_file(folder).open() as lock:
            if not _try_lock(lock):
                found.append(folder)
    return found


def kill_leftovers(folder: Path) -> None:
    """Kill processes that still use a folder, as their parent was killed."""
    try:
        import psutil
    except ImportError:  # without .venv there are none
        return
    found = True
    while found:  # a process can start another one before it is killed
        found = False
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.pid != os.getpid() and process.environ().get(FOLDER_VARIABLE) == str(folder):
                    found = True
                    process.kill()
                    process.wait(10)


def load_secrets(folder: Path) -> dict[str, str]:
    """Return Airflow's secrets as environment variables. They are kept, so that browsers stay signed in."""
    file = folder / "secrets.json"
    if not file.exists():
        made = {f"AIRFLOW__{name}": secrets.token_hex(32) for name in ("API__SECRET_KEY", "API_AUTH__JWT_SECRET")}
        folder.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
        file.write_text(json.dumps(made))
    kept: dict[str, str] = json.loads(file.read_text())
    return kept


def set_up_process() -> None:
    """
    Let signals end the program with its clean-up, and let it print any text.

    After ``nohup``, closing the terminal does not end it.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # the terminal may not be able to print a character
    for ending in END_SIGNALS:
        if ending != signal.SIGHUP or signal.getsignal(ending) != signal.SIG_IGN:
            signal.signal(ending, exit_on_signal)


def exit_on_signal(signal_number: int, _frame: object) -> None:
    """End the program with its clean-up, which further signals do not interrupt."""
    for each in END_SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    with suppress(OSError, ValueError):  # the terminal may be gone
        # Not print: the signal may have interrupted one, and sys.stdout refuses a second one inside it.
        os.write(sys.stdout.fileno(), "\nStopping …\n".encode(sys.stdout.encoding, "replace"))
    sys.exit(128 + signal_number)


def require_idle() -> None:
    """
    Check that no folder is in use.

    :raises DemoError: one is.
    """
    if running := folders_in_use():
        raise DemoError("\n".join(in_use_message(folder) for folder in running))


def reset() -> None:
    """
    Delete all folders after asking the user.

    :raises DemoError: one is in use, there is no terminal, or the user does not confirm.
    """
    with ExitStack() as locks:
        STATE.mkdir(exist_ok=True)
        for folder in FOLDERS:
            locks.enter_context(lock_folder(folder, command="make reset"))
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
            print("Without this ledger, you pay again if you request the same videos and shorts again.")
        _ask()
        for path in kept:
            kill_leftovers(path)
            shutil.rmtree(path)
        print("Deleted.")


def _ask() -> None:
    if os.environ.get("YES", "").strip().lower() in ("1", "y", "yes", "true"):
        return
    if not sys.stdin.isatty():
        raise DemoError(
            "Nothing was deleted, as there is no terminal to ask on. To delete without a question: make reset YES=1"
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
    set_up_process()
    sys.exit(main())
