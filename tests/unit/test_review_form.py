"""The form of a review, and what its answer means."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from klap_provider.rules import review_form
from klap_provider.rules.review_form import NONE_OF_THEM


def short(project_id: str, name: str = "A name", **fields: Any) -> dict[str, Any]:
    return {
        "project_id": project_id,
        "short_name": name,
        "virality_score": 87,
        "explanation": None,
        "preview_url": f"https://klap.app/player/{project_id}",
        "duration": None,
        "reason": None,
        "exported": False,
        **fields,
    }


def listed(*shorts: dict[str, Any]) -> str:
    """Return the list without the terms above it."""
    return terms_of(*shorts).split("\n\n", 1)[1]


def terms_of(*shorts: dict[str, Any], covered: int | None = None) -> str:
    deadline = datetime(2026, 1, 2, 15, 30, tzinfo=timezone.utc)
    return review_form.body(shorts, price="$0.48 (estimated prices)", deadline=deadline, covered=covered)


shorts_of_any_names = st.lists(st.text(), max_size=12).map(
    lambda names: [short(str(index), name) for index, name in enumerate(names)]
)


@given(shorts_of_any_names)
def test_choices_are_distinct_whatever_the_names(shorts: list[dict[str, Any]]) -> None:
    choices = review_form.options(shorts)
    assert len(set(choices)) == len(choices) == len(shorts) + 1
    assert choices[-1] == NONE_OF_THEM


@given(st.data(), shorts_of_any_names)
def test_each_choice_selects_its_short(data: st.DataObject, shorts: list[dict[str, Any]]) -> None:
    indexes = data.draw(st.sets(st.sampled_from(range(len(shorts))))) if shorts else set()
    choices = [review_form.options(shorts)[index] for index in sorted(indexes, reverse=True)]
    assert review_form.selected_ids(shorts, choices) == [str(index) for index in sorted(indexes)]


def test_a_choice_has_number_name_and_score_on_one_line() -> None:
    shorts = [short("a", "A  name\nin two lines"), short("b", "word " * 40, virality_score=None)]
    first, second, _ = review_form.options(shorts)
    assert first == "1. A name in two lines (87)"
    assert second.endswith("word… (none)")
    assert len(second) < 100


def test_the_selection_is_preselected_or_else_none() -> None:
    left_out = short("b", reason="beyond_limit")
    assert review_form.defaults([short("a"), left_out]) == ["1. A name (87)"]
    assert review_form.defaults([left_out]) == [NONE_OF_THEM]


def test_choosing_none_overrides_other_choices() -> None:
    shorts = [short("a"), short("b")]
    assert review_form.selected_ids(shorts, review_form.options(shorts)) == []


def test_the_list_describes_each_short() -> None:
    full = short("a", "Full", explanation="It has a hook", duration=31.5)
    assert listed(full, short("b", "Bare", virality_score=None)) == (
        "1. **Full** · score 87 · 32 s · [preview](https://klap.app/player/a)  \n"
        "   It has a hook\n"
        "2. **Bare** · score none · [preview](https://klap.app/player/b)"
    )


def test_the_terms_name_the_price_the_deadline_and_the_default() -> None:
    proposed, left_out = short("a"), short("b", reason="beyond_limit")
    price = "Each export costs $0.48 (estimated prices). "
    assert terms_of(proposed, left_out).startswith(
        f"{price}If nobody answers by 2026-01-02 15:30 UTC, the shorts selected by default are exported.\n\n"
    )
    assert terms_of(left_out).startswith(f"{price}If nobody answers by 2026-01-02 15:30 UTC, no short is exported.\n\n")


def test_the_terms_name_the_budget_only_if_it_does_not_cover_all() -> None:
    shorts = [short("a"), short("b"), short("c", exported=True)]
    assert "The budget covers **1** of them" in terms_of(*shorts, covered=1)
    assert "budget" not in terms_of(*shorts, covered=2)
    assert "exported before, no cost" in listed(*shorts).splitlines()[2]


@given(st.text(), st.text(min_size=1))
def test_markup_in_names_and_explanations_is_escaped(name: str, explanation: str) -> None:
    line = listed(short("a", name, explanation=explanation))
    plain = line.replace("[preview](https://klap.app/player/a)", "").removeprefix("1. **").replace("** · score", "", 1)
    assert not re.search(r"(?<!\\)(\\\\)*[<>`*_\[\]#!|~&]", plain)
    assert line.count("\n") <= 1


def test_a_preview_address_cannot_end_its_link() -> None:
    odd = short("a", preview_url="https://klap.app/player/a) [more](javascript:alert(1)")
    [link] = re.findall(r"\[preview\]\((\S+)\)$", listed(odd))
    assert not set("() []") & set(link)
