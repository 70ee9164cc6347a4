"""Line plots as SVG."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 420, 70, 190, 30, 50
COLOURS = ("#7c3aed", "#d97706", "#0891b2", "#6b7280", "#dc2626", "#15803d")


@dataclass(frozen=True)
class Line:
    """A named line."""

    name: str
    points: Sequence[tuple[float, float]]


def log_log(lines: Sequence[Line], *, title: str, x: str, y: str) -> str:
    """Return a plot with logarithmic axes."""
    xs = [point[0] for line in lines for point in line.points]
    ys = [point[1] for line in lines for point in line.points]
    across, up = _Axis(min(xs), max(xs), LEFT, WIDTH - RIGHT), _Axis(min(ys), max(ys), HEIGHT - BOTTOM, TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        f'font-size="12" role="img" aria-label="{escape(title)}">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="18" font-weight="bold">{escape(title)}</text>',
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 10}" text-anchor="middle">{escape(x)}</text>',
        f'<text transform="translate(16 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)" text-anchor="middle">'
        f"{escape(y)}</text>",
    ]
    for tick in across.ticks():
        at = across(tick)
        parts.append(f'<path d="M{at:.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#e5e7eb"/>')
        parts.append(f'<text x="{at:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{tick:g}</text>')
    for tick in up.ticks():
        at = up(tick)
        parts.append(f'<path d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}" stroke="#e5e7eb"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for index, line in enumerate(lines):
        colour = COLOURS[index % len(COLOURS)]
        places = [(across(a), up(b)) for a, b in line.points]
        path = "L".join(f"{a:.1f} {b:.1f}" for a, b in places)
        parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="4" fill="{colour}"/>' for a, b in places]
        parts.append(
            f'<text x="{WIDTH - RIGHT + 12}" y="{TOP + 18 * index + 12}" fill="{colour}">{escape(line.name)}</text>'
        )
    return "\n".join([*parts, "</svg>\n"])


class _Axis:
    def __init__(self, least: float, most: float, start: float, end: float) -> None:
        self.least, self.most = least / 1.15, most * 1.15
        self.start, self.end = start, end

    def __call__(self, value: float) -> float:
        share = math.log(value / self.least) / math.log(self.most / self.least)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        decades = range(math.floor(math.log10(self.least)), math.ceil(math.log10(self.most)) + 1)
        steps = (10.0**decade * step for decade in decades for step in (1, 2, 5))
        return [step for step in steps if self.least <= step <= self.most]
