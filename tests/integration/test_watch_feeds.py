"""Feeds as a source, over HTTP on this machine: RSS, Atom, podcasts, YouTube's feeds and its Data API."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from klap_provider.airflow_internals.asset_store import AssetStore
from klap_provider.errors import KlapConfigError, KlapSourceError
from klap_provider.operators import StartSourceRunsOperator
from klap_provider.rules import ledger_keys
from klap_provider.rules.source_runs import distinct
from klap_provider.sources import FeedSource, Item, Pace, YouTubeSource
from klap_provider.sources.check import SourceCheck
from klap_provider.triggers import SourceTrigger
from klap_provider.xcoms import LEDGER
from tests.support.feeds import MEDIA, Web, entry, rss

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.airflow_context import Played, Supervisor

KEY = "AIzaVerySecretKeyOfATest"


@pytest.fixture
def web() -> Iterator[Web]:
    with Web() as running:
        yield running


def youtube(*videos: tuple[str, str, str], views: int = 5) -> tuple[int, str]:
    names = (
        "xmlns='http://www.w3.org/2005/Atom' xmlns:yt='http://www.youtube.com/xml/schemas/2015' "
        "xmlns:media='http://search.yahoo.com/mrss/'"
    )
    entries = "".join(
        f"<entry><id>yt:video:{video}</id><yt:videoId>{video}</yt:videoId><title>{title}</title>"
        f"<link rel='alternate' href='https://www.youtube.com/{path}'/><published>2026-11-01T10:00:00+00:00</published>"
        f"<media:group><media:title>{title}</media:title><media:community><media:statistics views='{views}'/>"
        f"</media:community></media:group></entry>"
        for video, title, path in videos
    )
    return 200, f"<feed {names}><title>Channel</title>{entries}</feed>"


class ClockOfTest:
    """The time of the checks: a day of November 2026, at noon."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.at = 0.0
        monkeypatch.setattr("klap_provider.operators.watch_source.time.time", lambda: self.at)

    def set_to(self, day: int) -> None:
        """Continue at noon of that day."""
        self.at = datetime(2026, 11, day, 12, tzinfo=timezone.utc).timestamp()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> ClockOfTest:
    return ClockOfTest(monkeypatch)


@pytest.fixture
def check(airflow: Callable[..., Played]) -> Callable[..., None]:
    """Check a source once, as its task does."""

    def run(source: Any, **more: Any) -> None:
        given = {"name": "talks", "trigger_dag_id": "klap_generate_shorts", **more}
        airflow(lambda: StartSourceRunsOperator(task_id="check", source=source, **given)).run()

    return run


def urls(supervisor: Supervisor) -> list[str]:
    return [
        str(run.conf and run.conf["source_video_url"]).removeprefix(f"{MEDIA}/") for run in supervisor.runs.values()
    ]


def by_id(items: list[Item]) -> dict[str, Item]:
    return {each.id: each for each in items}


def test_two_new_items_of_a_feed_get_one_run_each_whatever_the_feed_does(
    web: Web, check: Callable[..., None], supervisor: Supervisor, clock: ClockOfTest
) -> None:
    clock.set_to(3)
    source = FeedSource(urls=(f"{web.root}/a", f"{web.root}/b"))
    old = [entry(number) for number in (1, 2, 3)]
    web.pages = {"/a": rss(*old), "/b": rss()}
    check(source)
    assert supervisor.runs == {}

    clock.set_to(7)
    web.pages = {"/a": rss(entry(5), entry(4), *old), "/b": rss(entry(5, guid="urn:of:the:other"))}
    check(source)
    assert urls(supervisor) == ["5.mp4", "4.mp4"]

    edited = entry(5, title="Another title", file=f"{MEDIA}/re-encoded.mp4")
    web.pages = {"/a": rss(*old, edited, entry(4)), "/b": rss(entry(5, guid="urn:of:the:other"))}
    check(source)
    web.pages = {"/a": (500, ""), "/b": (404, "")}
    with pytest.raises(KlapSourceError, match="answered HTTP 500"):
        check(source)
    web.pages = {"/moved": rss(edited, entry(4), entry(6), *old), "/b": rss()}
    with pytest.raises(KlapSourceError, match="answered HTTP 404"):
        check(source)
    assert urls(supervisor) == ["5.mp4", "4.mp4"]


@pytest.mark.parametrize("is_listed_later", [False, True])
def test_a_video_in_two_feeds_is_one_item_when_one_feed_is_edited(
    web: Web, check: Callable[..., None], supervisor: Supervisor, clock: ClockOfTest, is_listed_later: bool
) -> None:
    clock.set_to(3)
    source = FeedSource(urls=(f"{web.root}/a", f"{web.root}/b"))
    web.pages = {"/a": rss(), "/b": rss()}
    check(source)
    clock.set_to(7)
    twin = entry(5, guid="urn:of:the:other")
    web.pages = {"/a": rss(entry(5)), "/b": rss() if is_listed_later else rss(twin)}
    check(source)
    web.pages["/b"] = rss(twin)
    polled = SourceCheck("talks", source, Pace(), AssetStore(LEDGER)).run(clock.at, in_task=False)
    assert polled.needs_task == is_listed_later
    check(source)
    assert not SourceCheck("talks", source, Pace(), AssetStore(LEDGER)).run(clock.at, in_task=False).needs_task
    edited = entry(5, guid="urn:of:the:other", file=f"{MEDIA}/re-encoded.mp4")
    web.pages = {"/a": rss(), "/b": rss(edited)}
    check(source)
    assert urls(supervisor) == ["5.mp4"]


def test_an_entry_that_appears_while_a_feed_moves_is_not_lost(
    web: Web, check: Callable[..., None], supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = datetime(2026, 11, 5, tzinfo=timezone.utc).timestamp()
    monkeypatch.setattr("klap_provider.operators.watch_source.time.time", lambda: at)
    web.pages = {"/a": rss(entry(1)), "/b": rss(entry(6), entry(2), entry(1))}
    check(FeedSource(urls=(f"{web.root}/a",)))
    at += 3 * 86400
    store = AssetStore(LEDGER)
    for _ in range(3):  # the triggerer may list the feed at its new address before the task does
        SourceCheck("talks", FeedSource(urls=(f"{web.root}/b",)), Pace(), store).run(at, in_task=False)
    check(FeedSource(urls=(f"{web.root}/b",)))
    assert urls(supervisor) == ["6.mp4"], "2 was published before the last check of the source"


def test_entries_of_an_added_feed_are_old_after_a_quiet_time(
    web: Web, check: Callable[..., None], supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = datetime(2026, 11, 5, tzinfo=timezone.utc).timestamp()
    monkeypatch.setattr("klap_provider.operators.watch_source.time.time", lambda: at)
    web.pages = {"/a": rss(entry(1)), "/b": rss(entry(19), entry(12), entry(11))}
    one, two = FeedSource(urls=(f"{web.root}/a",)), FeedSource(urls=(f"{web.root}/a", f"{web.root}/b"))
    check(one)
    at += 13 * 86400
    assert not SourceCheck("talks", one, Pace(), AssetStore(LEDGER)).run(at, in_task=False).needs_task
    at += 2 * 86400
    check(two)
    assert urls(supervisor) == ["19.mp4"]


def test_entries_that_move_up_after_a_deletion_do_not_start(
    web: Web, check: Callable[..., None], supervisor: Supervisor, clock: ClockOfTest
) -> None:
    clock.set_to(20)
    source = FeedSource(urls=(f"{web.root}/a?id=hunter2hunter2",))
    web.pages = {"/a": rss(entry(18), entry(17))}
    check(source)
    assert "hunter2" not in "".join(supervisor.ledger.values())
    clock.set_to(21)
    web.pages = {"/a": rss(entry(20), entry(17), entry(16), entry(15))}
    check(source)
    assert urls(supervisor) == ["20.mp4"], "it was published two hours before the first check"


def test_a_channel_that_lists_the_teams_own_shorts_starts_nothing(
    web: Web, check: Callable[..., None], supervisor: Supervisor, clock: ClockOfTest
) -> None:
    clock.set_to(1)
    name = "From zero to hero… in one take!"
    supervisor.ledger[ledger_keys.short_name_entry(name)] = json.dumps({"name": name})
    web.pages = {"/channel": youtube()}
    source = FeedSource(urls=(f"{web.root}/channel",))
    check(source)
    clock.set_to(2)
    web.pages["/channel"] = youtube(
        ("aaaaaaaaaaa", "From zero to hero… in one take!", "watch?v=aaaaaaaaaaa"),
        ("bbbbbbbbbbb", "Edited title #shorts", "shorts/bbbbbbbbbbb"),
    )
    check(source, pace=None)
    assert supervisor.runs == {}
    row = json.loads(supervisor.ledger[ledger_keys.source_entry("talks")])
    assert {each["title"]: each["reason"] for each in row["skipped"]} == {
        "From zero to hero… in one take!": "it has the name of a short that this Airflow delivered",
        "Edited title #shorts": "it is a short of YouTube",
    }


def test_the_video_of_an_entry_is_found_wherever_the_feed_has_it(web: Web) -> None:
    media = "xmlns:media='http://search.yahoo.com/mrss/'"
    web.pages["/a"] = (
        200,
        f"<rss version='2.0' {media}><channel><title>T</title><link>https://t.invalid</link>"
        "<item><guid>1</guid><enclosure url='https://m.invalid/a.mp3' type='audio/mpeg'/></item>"
        "<item><guid>2</guid><media:content url='https://m.invalid/b?x=1' type='video/mp4'/></item>"
        "<item><guid>3</guid><link>https://youtu.be/ccccccccccc</link></item>"
        "<item><guid>urn:4:an:id:of:its:own</guid><link>https://m.invalid/d.mov</link></item>"
        "</channel></rss>",
    )
    found = by_id(FeedSource(urls=(f"{web.root}/a",)).list())
    assert {name: (item.conf.get("source_video_url"), item.waits) for name, item in found.items()} == {
        "https://t.invalid 1": (None, "it has no video"),
        "https://t.invalid 2": ("https://m.invalid/b?x=1", None),
        "https://t.invalid 3": ("https://youtu.be/ccccccccccc", None),
        "urn:4:an:id:of:its:own": ("https://m.invalid/d.mov", None),
    }


VIDEO = "<enclosure url='https://m.invalid/a.mp4' type='video/mp4'/>"


@pytest.mark.parametrize(
    "strange",
    [
        "<guid>1</guid><enclosure url='http://[::1' type='video/mp4'/>",
        f"<guid>1</guid><link>http://[bad</link>{VIDEO}",
        f"<guid>1</guid><pubDate>0001-01-01T00:00:00+14:00</pubDate>{VIDEO}",
        f"<guid>1</guid><pubDate>9999-12-31T23:59:59-12:00</pubDate>{VIDEO}",
        f"<guid>1</guid><pubDate>Fri, 31 Dec 9999 23:59:59 GMT</pubDate>{VIDEO}",
        "",
    ],
)
def test_a_broken_entry_does_not_delay_the_others(
    web: Web, check: Callable[..., None], supervisor: Supervisor, strange: str
) -> None:
    web.pages["/a"] = rss(f"<item>{strange}</item>", "<item></item>", entry(2))
    check(FeedSource(urls=(f"{web.root}/a",), delay=3600.0), pace=Pace(back_catalogue=True))
    assert "2.mp4" in urls(supervisor)


@pytest.mark.parametrize("address", ["file:///etc/a.mp4", "s3://media_s3@media/secret.mp4", "javascript:x.mp4"])
def test_a_feed_cannot_name_a_file_in_the_teams_storage(web: Web, address: str) -> None:
    web.pages["/a"] = rss(entry(1, file=address))
    [found] = FeedSource(urls=(f"{web.root}/a",)).list()
    assert (found.conf, found.waits) == ({}, "it has no video")


def test_entries_without_a_video_stay_different_items(web: Web) -> None:
    links = [f"<item><guid>urn:{number}</guid><link>https://t.invalid/</link></item>" for number in (1, 2)]
    web.pages["/a"] = rss(*links, "<item><guid>urn:3</guid></item>", "<item><guid>urn:4</guid></item>")
    assert len(distinct(FeedSource(urls=(f"{web.root}/a",)).list())) == 4


def test_a_feed_that_ends_too_early_is_an_error(web: Web) -> None:
    status, text = rss(entry(1), entry(2))
    web.pages["/a"] = status, text.partition("</channel>")[0]
    with pytest.raises(KlapSourceError, match="incomplete"):
        FeedSource(urls=(f"{web.root}/a",)).list()


@pytest.mark.parametrize(
    ("duration", "is_short"),
    [("0", False), ("59", True), ("3:00", True), ("0:03:01", False), ("1:02:03", False), ("long", False)],
)
def test_a_podcast_has_the_duration_of_its_episodes(web: Web, duration: str, is_short: bool) -> None:
    web.pages["/a"] = rss(entry(1, more=f"<itunes:duration>{duration}</itunes:duration>"))
    [found] = FeedSource(urls=(f"{web.root}/a",)).list()
    assert (found.refused is not None) == is_short


def test_a_video_of_youtubes_feed_waits_an_hour_and_for_its_first_view(web: Web) -> None:
    web.pages["/a"] = youtube(("aaaaaaaaaaa", "A", "watch?v=aaaaaaaaaaa"), views=0)
    [found] = FeedSource(urls=(f"{web.root}/a",)).list()
    assert (found.id, found.also) == ("yt:video:aaaaaaaaaaa", ("https://www.youtube.com/watch?v=aaaaaaaaaaa",))
    assert found.published is not None
    assert found.not_before == found.published + 3600
    assert "premiere" in str(found.waits)


@pytest.mark.parametrize("page", [(200, "<html><body>Sign in</body></html>"), (200, "no feed"), (200, "<rss version")])
def test_a_response_that_is_not_a_feed_is_an_error(web: Web, page: tuple[int, str]) -> None:
    web.pages["/a"] = page
    with pytest.raises(KlapSourceError, match="is not a feed"):
        FeedSource(urls=(f"{web.root}/a",)).list()


def test_a_feed_that_cannot_be_reached_is_an_error_without_its_secrets() -> None:
    with pytest.raises(KlapSourceError) as failure:
        FeedSource(urls=("https://feeds.invalid/a?id=hunter2hunter2",)).list()
    assert "hunter2" not in str(failure.value)


def test_a_public_feed_may_not_resolve_to_a_private_host(dns: dict[str, list[str]]) -> None:
    dns["feeds.example.com"] = ["10.0.0.1"]
    with pytest.raises(KlapSourceError, match="private network"):
        FeedSource(urls=("https://feeds.example.com/a",)).list()


def test_the_address_of_a_private_feed_comes_from_a_connection(
    web: Web, check: Callable[..., None], supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    for url in (f"{web.root}/a?auth=hunter2hunter2", "https://me:hunter2hunter2@feeds.invalid/a"):
        with pytest.raises(ValueError, match="Password of an Airflow connection") as refused:
            FeedSource(urls=(url,))
        assert "hunter2" not in str(refused.value)
    path = "/hunter2hunter2"
    address = f"{web.root}{path}?auth=hunter2hunter2"
    monkeypatch.setenv("AIRFLOW_CONN_PREMIUM", json.dumps({"conn_type": "http", "password": address}))
    source = FeedSource(conn_ids=("premium",))
    trigger = SourceTrigger.of(source, asset="a", name="talks", pace=None, poll_interval=300)
    web.pages[path] = rss(entry(1), f"<item>{VIDEO}</item>", "<item><guid>2</guid></item>", "<item></item>")
    check(source, pace=Pace(back_catalogue=True))
    assert len(supervisor.runs) == 2
    redirect = 302, "ftp://127.0.0.1/hunter2hunter2"
    for answer in ((500, ""), (200, "no feed"), redirect):
        web.pages[path] = answer
        with pytest.raises(KlapSourceError, match="'premium'"):
            check(source)
    rows = "".join(supervisor.ledger.values())
    assert "hunter2" not in f"{trigger.serialize()}{rows}{supervisor.runs}"


def test_feedparser_is_named_if_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "feedparser", None)
    with pytest.raises(KlapConfigError, match=r"pip install 'airflow-provider-klap\[feeds\]'"):
        FeedSource(urls=("http://127.0.0.1/a",)).list()


# YouTube's Data API


def of_api(video: str, duration: str | None = "PT1H2M3S", live: str = "none", **status: str) -> dict[str, Any]:
    snippet = {"title": video.upper(), "publishedAt": "2026-11-01T10:00:00Z", "liveBroadcastContent": live}
    return {"id": video, "snippet": snippet, "contentDetails": {"duration": duration}, "status": status}


@pytest.fixture
def tube(web: Web, monkeypatch: pytest.MonkeyPatch) -> Callable[..., YouTubeSource]:
    """Let the API have videos, and return the source."""
    connection = {"conn_type": "http", "host": web.root, "password": KEY}
    monkeypatch.setenv("AIRFLOW_CONN_YOUTUBE", json.dumps(connection))

    def videos(*found: dict[str, Any], **more: Any) -> YouTubeSource:
        listed = {"items": [{"contentDetails": {"videoId": each["id"]}} for each in found]}
        web.pages["/playlistItems"] = 200, json.dumps(listed)
        web.pages["/videos"] = 200, json.dumps({"items": list(found)})
        return YouTubeSource(**{"conn_id": "youtube", "channel_id": "UCchannel", **more})

    return videos


def test_the_data_api_tells_shorts_and_what_is_not_ready(web: Web, tube: Callable[..., YouTubeSource]) -> None:
    source = tube(
        of_api("talk"),
        of_api("short", "PT3M"),
        of_api("live", "P0D", live="live"),
        of_api("premiere", "PT9M", live="upcoming"),
        of_api("uploading", "PT9M", uploadStatus="uploaded"),
        of_api("hidden", "PT9M", privacyStatus="private"),
        of_api("unknown", None),
    )
    found = {name.removeprefix("yt:video:"): item for name, item in by_id(source.list()).items()}
    assert [name for name, item in found.items() if not item.waits and not item.refused] == ["talk"]
    assert found["short"].refused == "it is 180 s long, like a short"
    assert {name for name, item in found.items() if item.waits} == {*found} - {"talk", "short"}
    assert found["talk"].conf == {"source_video_url": "https://www.youtube.com/watch?v=talk"}
    assert [parse_qs(urlsplit(path).query)["playlistId"] for path, _ in web.asked[:1]] == [["UUchannel"]]
    assert {key for _, key in web.asked} == {KEY}
    assert not any(KEY in path for path, _ in web.asked)


def test_the_number_of_listed_pages_is_limited(web: Web, tube: Callable[..., YouTubeSource]) -> None:
    source = tube(of_api("a"), playlist_id="PL1", channel_id=None, pages=3)
    first = json.loads(web.pages["/playlistItems"][1])
    web.pages["/playlistItems"] = 200, json.dumps({**first, "nextPageToken": "more"})
    source.list()
    asked = [parse_qs(urlsplit(path).query) for path, _ in web.asked if path.startswith("/playlistItems")]
    assert [each.get("pageToken") for each in asked] == [None, ["more"], ["more"]]


def test_more_pages_or_another_channel_start_no_old_videos(
    tube: Callable[..., YouTubeSource], check: Callable[..., None], supervisor: Supervisor, clock: ClockOfTest
) -> None:
    clock.set_to(20)
    check(tube(of_api("a")))
    check(tube(of_api("a"), of_api("of-page-2"), pages=2))
    check(tube(of_api("elsewhere"), channel_id="UCother"))
    assert supervisor.runs == {}


def test_an_error_of_the_data_api_is_reported_without_the_key(web: Web, tube: Callable[..., YouTubeSource]) -> None:
    source = tube(of_api("a"))
    web.pages["/playlistItems"] = 403, json.dumps({"error": {"message": "Quota exceeded."}})
    with pytest.raises(KlapSourceError, match=r"HTTP 403 to playlistItems: Quota exceeded\."):
        source.list()
    web.pages["/playlistItems"] = 302, f"{web.root}/elsewhere"
    with pytest.raises(KlapSourceError):
        source.list()
    assert not any(path.startswith("/elsewhere") for path, _ in web.asked)


@pytest.mark.parametrize("wrong", [{}, {"channel_id": "UCa", "playlist_id": "PLa"}, {"channel_id": "@name"}])
def test_a_source_of_youtube_is_one_channel_or_playlist(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="channel_id"):
        YouTubeSource(conn_id="youtube", **wrong)
