"""What docs/users.md tells people to write does what it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from klap_provider.hooks import KlapHook

if TYPE_CHECKING:
    import pytest

    from tests.support.sandbox import Sandbox

PAGE = Path(__file__).resolve().parents[2] / "docs" / "users.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def run(words: str) -> dict[str, Any]:
    """The names that an example leaves."""
    [example] = [example for example in EXAMPLES if words in example]
    names: dict[str, Any] = {}
    exec(example, names)
    return names


def test_the_first_example_makes_a_user(klap: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    user = run("create_user()")["user"]
    assert KlapHook().create_user_token(user.id)
    assert user.id in capsys.readouterr().out


def test_the_second_example_is_a_dag_that_triggers_a_run_for_each_customer() -> None:
    from klap_generate_shorts import klap_generate_shorts

    names = run("klap_for_customers")
    trigger = names["dag"].get_task("trigger")
    assert trigger.partial_kwargs["trigger_dag_id"] == "klap_generate_shorts"
    [conf] = names["videos"].function()
    assert conf.keys() <= klap_generate_shorts().params.keys()


def test_the_third_example_gives_the_address_of_a_player_with_a_token(klap: Sandbox) -> None:
    user = KlapHook().create_user()
    address = run("embed_url(")["player_for"](user.id, "project00001")
    assert re.fullmatch(r"https://klap\.app/embed/project00001#external_access_token=\w+", address)
