"""What the README and the page on operators tell people to write is what Airflow takes."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [(ROOT / name).read_text() for name in ("README.md", "docs/operators.md")]
EXAMPLES = [code for page in PAGES for code in re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)]


def example_with(words: str) -> str:
    [found] = [example for example in EXAMPLES if words in example]
    return found


@pytest.mark.parametrize(
    ("words", "dag_id", "schedule"),
    [("klap_weekly_webinar", "klap_weekly_webinar", "0 6 * * MON"), ("my_shorts", "my_shorts", "None")],
)
def test_an_example_in_a_file_beside_the_shipped_dag_is_one_more_dag(
    tmp_path: Path, words: str, dag_id: str, schedule: str
) -> None:
    from airflow.dag_processing.dagbag import DagBag

    shutil.copy(ROOT / "dags" / "klap_generate_shorts.py", tmp_path)
    (tmp_path / "example.py").write_text(example_with(words))

    bag = DagBag(tmp_path, safe_mode=True, bundle_path=tmp_path)

    assert bag.import_errors == {}
    assert {found: Path(dag.fileloc).name for found, dag in bag.dags.items()} == {
        "klap_generate_shorts": "klap_generate_shorts.py",
        dag_id: "example.py",
    }
    assert schedule in str(bag.dags[dag_id].schedule)


def test_the_hook_example_lists_exports(klap: object) -> None:
    exec(example_with("KlapHook(").replace("…", "folder01"), {})


def test_the_readme_can_be_read_in_some_minutes() -> None:
    assert len(PAGES[0].split()) < 1500


def test_every_page_that_the_docs_lead_to_is_there() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    lost = [
        f"{page.name}: {link}"
        for page in pages
        for link in re.findall(r"\]\(([^)#\s:]+)(?:#[^)]*)?\)", page.read_text())
        if not (page.parent / link).exists()
    ]
    assert lost == []
