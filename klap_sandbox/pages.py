"""HTML pages."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from klap_sandbox.plan import Short

_STYLE = """
:root { color-scheme: light dark; --line: light-dark(#d8dce3, #333943); --soft: light-dark(#5c6675, #9aa4b2);
  --card: light-dark(#fff, #1b1f26); --page: light-dark(#f4f5f8, #111418);
  --accent: light-dark(#5b3df5, #a493ff); }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 24px;
  background: var(--page); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 760px; width: 100%; background: var(--card); border: 1px solid var(--line);
  border-radius: 16px; padding: 28px; }
h1 { font-size: 1.35rem; line-height: 1.3; margin: 0 0 12px; overflow-wrap: anywhere; }
p, dl { margin: 0 0 12px; } .soft { color: var(--soft); }
a { color: var(--accent); } code { overflow-wrap: anywhere; }
.player { display: grid; grid-template-columns: minmax(0, 280px) minmax(0, 1fr); gap: 28px; }
video, .empty { width: 100%; border-radius: 12px; background: #000; max-height: 80vh; }
.empty { aspect-ratio: 9 / 16; display: grid; place-items: center; text-align: center; padding: 24px;
  background: none; border: 1px dashed var(--line); color: var(--soft); }
.score { font-size: 2.2rem; font-weight: 700; color: var(--accent); line-height: 1; }
dt { font-weight: 600; } dd { margin: 0 0 8px; color: var(--soft); }
@media (max-width: 560px) { .player { grid-template-columns: 1fr; } }
@media (max-width: 360px) { body { padding: 0; font-size: 14px; } main { border: 0; border-radius: 0; padding: 12px; }
  .player { gap: 0; padding: 0; } .player > div:last-child { padding: 12px; }
  video { border-radius: 0; display: block; max-height: 100vh; } .empty { aspect-ratio: 1; padding: 12px; }
  h1 { font-size: 1.1rem; } }
"""


def index_page(root: str) -> str:
    """Return the index page.

    :param root: the sandbox's address, without a slash at the end.
    """
    return _page(
        "Klap sandbox",
        f"""<main><h1>Klap sandbox</h1>
<p>A local copy of the <a href="https://docs.klap.app">Klap API</a>: same calls, real clips, no account.
Everything here is free.</p>
<dl>
<dt>Base URL</dt><dd><code>{escape(root)}/v2</code></dd>
<dt>API key</dt><dd>any text, as <code>Authorization: Bearer &lt;key&gt;</code></dd>
<dt><a href="/sample.mp4">Sample video</a></dt>
<dd>a source for a first test: <code>{escape(root)}/sample.mp4</code></dd>
<dt><a href="/openapi.json">All calls</a></dt><dd>as an OpenAPI document, for API clients</dd>
<dt><a href="/_sandbox/ledger">Ledger</a></dt><dd>requests that the real Klap would bill</dd>
<dt><a href="/_sandbox/requests">Requests</a></dt><dd>requests of clients, with status codes</dd>
<dt><a href="/_sandbox/settings">Settings</a></dt><dd>durations and variants of behavior; POST to change them</dd>
<dt><a href="/_sandbox/faults">Faults</a></dt><dd>active faults; POST a list to add some</dd>
</dl></main>""",
    )


def player_page(short: Short, video_url: str | None, *, style: str = "") -> str:
    """Return the page of a short or a whole video.

    :param video_url: the newest finished export, or a part of the source; None if there is neither.
    :param style: CSS of the video element.
    """
    if video_url:
        video = f'<video src="{escape(video_url)}" style="{style}" controls playsinline preload="metadata"></video>'
    else:
        video = (
            '<div class="empty">Not exported yet, and the sandbox has no source video to play. '
            "The short appears here when its export is ready.</div>"
        )
    score = ""
    if short.score is not None and short.explanation is not None:
        score = (
            f'<p><span class="score">{short.score}</span> <span class="soft">/ 100 virality score</span></p>\n'
            f"<p>{escape(short.explanation)}</p>"
        )
    return _page(
        short.name,
        f"""<main class="player"><div>{video}</div><div><h1>{escape(short.name)}</h1>
{score}
<p class="soft">{short.seconds:.1f} s, from second {short.start:.1f} of the source</p></div></main>""",
    )


def login_page() -> str:
    """Return the page that asks for a login."""
    return _page("Klap", "<main><h1>Log in to see this short</h1><p>The sandbox has no accounts.</p></main>")


def space_page(shorts: dict[str, Short]) -> str:
    """Return the page of a folder, best short first.

    :param shorts: by project id, which becomes the anchor.
    """
    items = "".join(
        f'<dt id="{escape(project_id)}"><a href="/player/{escape(project_id)}">{escape(short.name)}</a></dt>'
        f"<dd>{short.score} / 100 · {short.seconds:.1f} s · {escape(short.explanation or '')}</dd>"
        for project_id, short in sorted(shorts.items(), key=lambda item: -(item[1].score or 0))
    )
    return _page("Shorts", f"<main><h1>Shorts</h1><dl>{items}</dl></main>")


def _page(title: str, body: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>{body}</body></html>"
    )
