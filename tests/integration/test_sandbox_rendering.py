"""With rendering, the sandbox makes real clips of real sources."""

from __future__ import annotations

import re
import subprocess
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import imageio_ffmpeg  # type: ignore[import-untyped]  # it has no types
import pytest
import requests

from tests.support.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WIDTH, HEIGHT = 270, 480
FRAME = {"width": WIDTH, "height": HEIGHT}
RED, GREEN, BLUE, BLACK, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 0), (255, 255, 255)
Colour = tuple[int, int, int]


def ffmpeg(*arguments: str | Path) -> bytes:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True).stdout


def describe(file: Path) -> str:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(file)]
    return subprocess.run(command, capture_output=True, text=True).stderr


class Picture:
    """Return the frame of a clip after one second."""

    def __init__(self, file: Path) -> None:
        self._bytes = ffmpeg("-ss", "1", "-i", file, "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
        assert len(self._bytes) == WIDTH * HEIGHT * 3

    def shows(self, colour: Colour, x: int, y: int) -> bool:
        at = (y * WIDTH + x) * 3
        return all(abs(seen - meant) < 60 for seen, meant in zip(self._bytes[at : at + 3], colour, strict=True))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a web server with sources and images."""
    folder = tmp_path_factory.mktemp("files")
    stripes = "color=red:s=640x360:d=6:r=10,drawbox=x=160:w=320:color=lime:t=fill,drawbox=x=480:color=blue:t=fill"
    sound = ("-f", "lavfi", "-i", "sine=duration=6")
    quick = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
    ffmpeg("-f", "lavfi", "-i", stripes, *sound, *quick, "-c:a", "aac", folder / "stripes.mp4")
    ffmpeg("-f", "lavfi", "-i", "color=green:s=64x64:d=6:r=10", *quick, folder / "silent.mp4")
    ffmpeg("-f", "lavfi", "-i", "color=green:s=16x16:d=18002:r=0.1", *quick, folder / "endless.mp4")
    ffmpeg("-f", "lavfi", "-i", "color=blue:s=60x40", "-frames:v", "1", folder / "logo.png")
    ffmpeg(*sound, folder / "sound.wav")
    (folder / "page.html").write_text("<title>A page</title>", encoding="utf-8")
    (folder / "broken.mp4").write_bytes(b"not a video" * 100)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves files without a log."""

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(render=True) as running:
        yield running


def finish_task(sandbox: Sandbox, source: str, kind: str = "shorts", **asked: Any) -> dict[str, Any]:
    body = {"source_video_url": source, **asked}
    task = sandbox.call("POST", f"/tasks/video-to-{kind}", json=body).json()
    return sandbox.outcome(f"/tasks/{task['id']}")


def export(
    sandbox: Sandbox, to: Path, source: str, watermark: dict[str, Any] | None = None, **asked: Any
) -> dict[str, Any]:
    project = finish_task(sandbox, source, "video", dimensions=FRAME, **asked)["output_id"]
    body = {"watermark": watermark} if watermark else {}
    posted = sandbox.call("POST", f"/projects/{project}/exports", json=body).json()
    done = sandbox.outcome(f"/projects/{project}/exports/{posted['id']}")
    assert done["status"] == "ready", done
    to.write_bytes(requests.get(done["src_url"], timeout=10).content)
    return done


def test_a_clip_has_the_requested_frame_and_length_and_its_sound(sandbox: Sandbox, files: str, tmp_path: Path) -> None:
    task = finish_task(
        sandbox, f"{files}/stripes.mp4", dimensions=FRAME, min_duration=3, max_duration=3, max_clip_count=1
    )
    [short] = sandbox.call("GET", f"/projects/{task['output_id']}").json()
    path = f"/projects/{task['output_id']}/{short['id']}/exports"
    done = sandbox.outcome(f"{path}/{sandbox.call('POST', path).json()['id']}")
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(requests.get(done["src_url"], timeout=10).content)

    facts = describe(clip)
    assert re.search(r"Video: h264.*yuv420p.*270x480", facts), facts
    assert "Audio: aac" in facts
    length = re.search(r"Duration: 00:00:(\d\d\.\d\d)", facts)
    assert length
    assert float(length[1]) == pytest.approx(short["duration"], abs=0.15)
    assert clip.read_bytes().index(b"moov") < clip.read_bytes().index(b"mdat")


def test_reframing_fills_the_frame_with_the_middle_of_the_source(sandbox: Sandbox, files: str, tmp_path: Path) -> None:
    export(sandbox, tmp_path / "clip.mp4", f"{files}/stripes.mp4")
    picture = Picture(tmp_path / "clip.mp4")
    assert all(picture.shows(GREEN, x, y) for x in (5, 135, 265) for y in (5, 240, 475))


def test_a_clip_without_reframing_has_bars_around_the_source(sandbox: Sandbox, files: str, tmp_path: Path) -> None:
    export(sandbox, tmp_path / "clip.mp4", f"{files}/stripes.mp4", editing_options={"reframe": False})
    picture = Picture(tmp_path / "clip.mp4")
    assert picture.shows(BLACK, 135, 20)
    assert picture.shows(BLACK, 135, 460)
    assert picture.shows(RED, 20, 240)
    assert picture.shows(GREEN, 135, 240)
    assert picture.shows(BLUE, 250, 240)


@pytest.mark.parametrize(("x", "y", "scale"), [(0.5, 0.5, 1), (0.25, 0.1, 1), (0.7, 0.8, 2)])
def test_a_watermark_is_centred_at_its_position(
    sandbox: Sandbox, files: str, tmp_path: Path, x: float, y: float, scale: float
) -> None:
    watermark = {"src_url": f"{files}/logo.png", "pos_x": x, "pos_y": y, "scale": scale}
    export(sandbox, tmp_path / "clip.mp4", f"{files}/stripes.mp4", watermark)
    picture = Picture(tmp_path / "clip.mp4")
    centre_x, centre_y = round(WIDTH * x), round(HEIGHT * y)
    half_width, half_height = round(30 * scale), round(20 * scale)
    assert picture.shows(BLUE, centre_x, centre_y)
    for side in (-1, 1):
        assert picture.shows(BLUE, centre_x + side * (half_width - 4), centre_y)
        assert picture.shows(BLUE, centre_x, centre_y + side * (half_height - 4))
        assert picture.shows(GREEN, centre_x + side * (half_width + 4), centre_y)
        assert picture.shows(GREEN, centre_x, centre_y + side * (half_height + 4))


@pytest.mark.parametrize("image", ["missing.png", "broken.mp4"])
def test_a_missing_watermark_becomes_a_plain_mark_with_a_warning(
    sandbox: Sandbox, files: str, tmp_path: Path, image: str
) -> None:
    done = export(sandbox, tmp_path / "clip.mp4", f"{files}/stripes.mp4", {"src_url": f"{files}/{image}"})
    assert f"{files}/{image}" in done["descriptions"]
    assert Picture(tmp_path / "clip.mp4").shows(WHITE, WIDTH // 2, HEIGHT // 2)


def test_a_source_without_sound_becomes_a_clip_without_sound(sandbox: Sandbox, files: str, tmp_path: Path) -> None:
    export(sandbox, tmp_path / "clip.mp4", f"{files}/silent.mp4")
    assert "Audio" not in describe(tmp_path / "clip.mp4")


def test_a_source_without_sound_yields_shorts_or_none(sandbox: Sandbox, files: str) -> None:
    for yields, count in (("shorts", 1), ("none", 0)):
        sandbox.reset(silent_videos=yields)
        folder = finish_task(sandbox, f"{files}/silent.mp4", max_clip_count=1)["output_id"]
        assert len(sandbox.call("GET", f"/projects/{folder}").json()) == count


def test_an_export_without_a_watermark_may_have_klaps_own(sandbox: Sandbox, files: str, tmp_path: Path) -> None:
    for own, colour in (("absent", GREEN), ("there", WHITE)):
        sandbox.reset(own_mark=own)
        done = export(sandbox, tmp_path / "clip.mp4", f"{files}/stripes.mp4")
        assert Picture(tmp_path / "clip.mp4").shows(colour, WIDTH // 2, round(HEIGHT * 0.9))
        assert "plain mark" not in done["descriptions"]


def test_a_source_too_short_for_one_clip_yields_an_empty_list(sandbox: Sandbox, files: str) -> None:
    task = finish_task(sandbox, f"{files}/stripes.mp4", min_duration=7)
    assert task["status"] == "ready"
    assert sandbox.call("GET", f"/projects/{task['output_id']}").json() == []


@pytest.mark.parametrize(
    ("file", "code"),
    [
        ("missing.mp4", "invalid_url"),
        ("page.html", "unsupported_platform"),
        ("broken.mp4", "invalid_url"),
        ("sound.wav", "invalid_url"),
        ("endless.mp4", "video_too_long"),
    ],
)
def test_a_source_that_cannot_be_used_ends_the_task_in_error(
    sandbox: Sandbox, files: str, file: str, code: str
) -> None:
    sandbox.reset(too_long="error")
    task = finish_task(sandbox, f"{files}/{file}")
    assert (task["status"], task["error_code"]) == ("error", code)
    assert f"{files}/{file}" in task["message"]
    assert sandbox.call("GET", f"/projects/{task['output_id']}").json() == []


def test_a_source_that_is_too_long_is_refused_at_once_and_costs_nothing(sandbox: Sandbox, files: str) -> None:
    sandbox.reset()
    answer = sandbox.call("POST", "/tasks/video-to-shorts", json={"source_video_url": f"{files}/endless.mp4"})
    assert answer.status_code == 422
    assert answer.json() == {"message": "unprocessable-entity", "error_code": "video_too_long"}
    assert sandbox.ledger() == []


def test_a_host_that_does_not_answer_ends_the_task_in_error(sandbox: Sandbox) -> None:
    assert finish_task(sandbox, "http://127.0.0.1:9/talk.mp4")["error_code"] == "invalid_url"


@pytest.mark.parametrize(
    "odd",
    [
        "http://a..invalid/",
        "http://xn--/",
        "http://\0/",
        "http://☃☃/\x7f",
        "http://user:p@ss@127.0.0.1:9/",
        "http://{.invalid",
    ],
)
def test_an_invalid_address_ends_the_task_in_error_with_a_message(sandbox: Sandbox, odd: str) -> None:
    task = finish_task(sandbox, odd)
    assert (task["status"], task["error_code"]) == ("error", "invalid_url")
    assert task["message"].startswith(f"{odd} could not be fetched: ")
    assert "Traceback" not in task["message"]


def test_a_redirect_to_an_invalid_address_ends_the_task_in_error(sandbox: Sandbox) -> None:
    sandbox.fault("GET", "^/leading$", "redirect", location="http://127.0.0.1:99999/")
    assert finish_task(sandbox, f"{sandbox.root}/leading")["error_code"] == "invalid_url"


def test_the_sample_video_is_a_source_and_can_be_downloaded(sandbox: Sandbox, tmp_path: Path) -> None:
    task = finish_task(sandbox, sandbox.sample)
    shorts = sandbox.call("GET", f"/projects/{task['output_id']}").json()
    assert len(shorts) == 5
    assert sandbox.requests(path="sample") == []

    sample = tmp_path / "sample.mp4"
    sample.write_bytes(requests.get(sandbox.sample, timeout=30).content)
    facts = describe(sample)
    assert "Duration: 00:01:20" in facts
    assert "1280x720" in facts
    assert "Audio: aac" in facts
