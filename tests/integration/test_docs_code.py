"""
Each code block of the README and the guides works, and each name in it exists.

A block of a language that no test here knows fails :func:`test_every_block_is_of_a_kind_that_is_run`.
"""

from __future__ import annotations

import configparser
import functools
import inspect
import itertools
import json
import os
import re
import subprocess
import sys
from copy import copy
from typing import TYPE_CHECKING, Any

import pytest
import requests
import yaml
from airflow.sdk import BaseNotifier

import klap_sandbox
from klap_provider.files.allowlist import configured
from klap_provider.hooks import KlapHook
from klap_provider.operators.notices import create_notifier
from klap_provider.rules.allowlist import SETTINGS, Location
from klap_provider.rules.cost import Cost, Prices, dollars, estimate
from klap_provider.telemetry import metrics
from tests.support.doc_code import ROOT, Block, blocks_of, commands_of
from tests.support.example_dags import EXAMPLES

if TYPE_CHECKING:
    from pathlib import Path

    from airflow.sdk import DAG

    from tests.support.sandbox import Sandbox

DOCS = ROOT / "docs"
PAGES = [
    ROOT / "README.md",
    *(DOCS / name for name in ("index.md", "faq.md", "glossary.md", "reference/sandbox.md")),
    *sorted((DOCS / "tutorial").glob("*.md")),
    *sorted((DOCS / "how-to").glob("*.md")),
]
BLOCKS = blocks_of(PAGES)
PYTHON = [
    block
    for block in (*BLOCKS, *blocks_of([DOCS / "operations" / "ledger-maintenance.md"]))
    if block.language == "python"
]
#: Files of a pytest suite: they begin with their name.
FILES = [block for block in PYTHON if re.match(r"# \w+\.py\n", block.code)]
DAGS = [block for block in PYTHON if block not in FILES and re.search(r"\bDAG\(|^dag = |_dag = ", block.code, re.M)]
#: Other blocks, by words that each contains.
SCRIPTS = ("create_user()", "def player_for")


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def tables(text: str, first_head: str) -> list[list[str]]:
    """Return the rows of all tables whose first column has this head."""
    found = []
    for table in re.findall(rf"^ *\| {re.escape(first_head)} \|.*\n(?: *\|.*\n)+", text, re.MULTILINE):
        rows = table.strip().splitlines()[2:]
        found += [[cell.strip() for cell in row.strip()[1:-1].split("|")] for row in rows]
    assert found, first_head
    return found


def in_code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def of_language(language: str) -> list[Any]:
    return [pytest.param(block, id=str(block)) for block in BLOCKS if block.language == language]


def test_every_block_is_of_a_kind_that_is_run() -> None:
    """
    ``text`` is printed output or a drawing. tests/integration/test_batch.py reads the CSV list.

    tests/integration/test_example_dags.py runs the example Dags, which ``{literalinclude}`` shows.
    """
    assert {block.language for block in BLOCKS} <= {
        *("python", "sh", "json", "csv", "ini", "yaml"),
        *("text", "{toctree}", "{literalinclude}"),
    }


def test_every_python_block_is_run() -> None:
    scripts = [block for block in PYTHON if block not in FILES and block not in DAGS]
    assert [sum(words in block.code for block in scripts) for words in SCRIPTS] == [1] * len(scripts)
    assert len(DAGS) >= 5


# Python


@pytest.mark.parametrize("block", [pytest.param(block, id=str(block)) for block in DAGS])
def test_a_dag_file_is_loaded_by_airflow_and_its_defaults_are_valid(block: Block, tmp_path: Path) -> None:
    from airflow.dag_processing.dagbag import DagBag

    (tmp_path / "example.py").write_text(block.code, encoding="utf-8")

    bag = DagBag(tmp_path, safe_mode=True, bundle_path=tmp_path)

    assert bag.import_errors == {}
    assert bag.dags, "Airflow reads only files with the words airflow and dag"
    for dag in bag.dags.values():
        assert dag.tasks
        for name in dag.params:
            param = dag.params.get_param(name)
            if param.has_value:
                param.resolve()


@pytest.mark.parametrize(
    ("dag_id", "schedule"),
    [
        ("klap_daily_talk", "0 6 * * *"),
        ("klap_conference", "@daily"),
    ],
)
def test_an_example_has_the_schedule_that_its_page_describes(dag_id: str, schedule: str, tmp_path: Path) -> None:
    from airflow.dag_processing.dagbag import DagBag

    [block] = [block for block in DAGS if f'"{dag_id}"' in block.code]
    (tmp_path / "example.py").write_text(block.code, encoding="utf-8")
    assert schedule in str(DagBag(tmp_path, bundle_path=tmp_path).dags[dag_id].schedule)


def test_dags_that_trigger_others_send_parameters_that_these_have() -> None:
    triggering = [block for block in DAGS if "TriggerDagRunOperator" in block.code]
    assert len(triggering) == 2
    for block in triggering:
        names: dict[str, Any] = {}
        exec(block.code, names)
        [dag] = [each for each in names.values() if type(each).__name__ == "DAG"] or [None]
        if dag is None:  # the with statement of the block does not name it
            assert {"source_video_url", "limit"} <= shipped("klap_generate_shorts").params.keys()
            assert '"source_video_url": "https://example.com/talks/{{ ds }}.mp4", "limit": 3' in block.code
        else:
            assert dag.get_task("trigger").partial_kwargs["trigger_dag_id"] == "klap_generate_shorts"
            [conf] = names["videos"].function()
            require_valid("klap_generate_shorts", conf)


def script(words: str) -> dict[str, Any]:
    """Run a script, and return its global names."""
    [block] = [block for block in PYTHON if words in block.code and block not in FILES]
    names: dict[str, Any] = {}
    exec(block.code.replace("…", "folder01"), names)
    return names


def test_the_script_that_creates_a_user_does(klap: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    user = script("create_user()")["user"]
    assert KlapHook().create_user_token(user.id)
    assert user.id in capsys.readouterr().out


def test_the_script_for_a_player_returns_an_address_with_a_token(klap: Sandbox) -> None:
    user = KlapHook().create_user()
    address = script("def player_for")["player_for"](user.id, "project00001")
    assert re.fullmatch(r"https://klap\.app/embed/project00001#external_access_token=\w+", address)


def test_the_pytest_files_are_a_suite_that_passes_for_an_example_dag(tmp_path: Path) -> None:
    """The example runs on Airflow's own ``dag.test()``."""
    assert len(FILES) == 3
    for block in FILES:
        (tmp_path / block.code[2:].split("\n")[0]).write_text(block.code, encoding="utf-8")
    example = (EXAMPLES / "example_klap_generate_shorts.py").read_text(encoding="utf-8")
    code = example.replace("example.com", "talks.invalid")  # uses no network
    (tmp_path / "my_shorts.py").write_text(code, encoding="utf-8")
    env = {**os.environ, "AIRFLOW_HOME": str(tmp_path / "home"), "AIRFLOW__CORE__DAGS_FOLDER": str(tmp_path)}
    path = (env.get("PYTHONPATH"), tmp_path, ROOT, ROOT / "plugins")
    env["PYTHONPATH"] = os.pathsep.join(str(folder) for folder in path if folder)

    def run(*command: str) -> str:
        ended = subprocess.run(
            [sys.executable, "-m", *command], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
        )
        return ended.stdout + ended.stderr

    run("airflow", "db", "migrate")
    output = run("pytest", "-q", "-p", "no:cacheprovider", "-p", "klap_sandbox.pytest_plugin", str(tmp_path))
    assert "3 passed" in output, output
    assert len([*(tmp_path / "home" / "klap_shorts").glob("*/*.mp4")]) == 3


# Shell


@functools.cache
def shipped(dag_id: str) -> DAG:
    from klap_provider import dag_parts

    dag: DAG = getattr(dag_parts, dag_id)()
    return dag


def require_valid(dag_id: str, conf: dict[str, Any]) -> None:
    params = shipped(dag_id).params
    assert conf.keys() <= params.keys()
    for name in params:
        param = copy(params.get_param(name))  # resolve() stores the value
        param.resolve(**({"value": conf[name]} if name in conf else {}))


@pytest.mark.parametrize("block", of_language("sh"))
def test_a_shell_block_has_commands_that_exist(
    block: Block, klap: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    commands = commands_of(block.code)
    assert commands
    for command in commands:
        match command:
            case ["make", target, *options]:
                require_target(target, options)
            case [".venv/bin/python", "-m", "klap_sandbox", *arguments] | ["klap-sandbox", *arguments]:
                require_sandbox(arguments)
            case ["pip", "install", what]:
                require_installable(what)
            case ["pip", "wheel", "--no-deps", "--wheel-dir", "dist", folder]:
                assert (ROOT / folder / "pyproject.toml").is_file()
            case ["airflow", *arguments]:
                from airflow.cli.cli_parser import get_parser

                assert get_parser().parse_args(arguments)
            case ["export", assignment]:
                require_connection(assignment, monkeypatch)
            case ["curl", *arguments]:
                require_request(arguments, klap)
            case _:
                pytest.fail(f"{block}: nobody checks {command}")


def require_target(target: str, options: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^(?:[\w-]+ )*{re.escape(target)}(?: [\w-]+)*:(?!=)", makefile, re.MULTILINE), target
    known = (ROOT / "demo" / "options.py").read_text(encoding="utf-8")
    for option in options:
        assert f'"{option.partition("=")[0]}"' in known, option


def require_sandbox(arguments: list[str]) -> None:
    from klap_sandbox.__main__ import _parser

    if arguments != ["--help"]:
        _parser().parse_args(arguments)


def require_installable(what: str) -> None:
    if what.startswith("dist/"):
        assert what == f"dist/klap_sandbox-{klap_sandbox.__version__}-py3-none-any.whl"
        return
    folder, _, extra = what.removesuffix("]").partition("[")
    assert f"\n{extra} = [" in (ROOT / folder / "pyproject.toml").read_text(encoding="utf-8")


def require_connection(assignment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, _, value = assignment.partition("=")
    conn = json.loads(value.replace("…", "0123456789abcdef"))
    assert name.startswith("AIRFLOW_CONN_")
    if conn["conn_type"] == "klap":
        monkeypatch.setenv(name, json.dumps(conn))
        assert KlapHook(name.removeprefix("AIRFLOW_CONN_").lower()).connection.destination
    else:
        assert conn["conn_type"] == "aws"
        assert conn.keys() <= {"conn_type", "login", "password", "extra"}


def require_request(arguments: list[str], klap: Sandbox) -> None:
    address = next(word for word in arguments if "/" in word and not word.startswith("Content-Type"))
    body = json.loads(arguments[arguments.index("-d") + 1]) if "-d" in arguments else None
    if address.startswith("http://127.0.0.1:8899/"):
        headers = dict(value.split(": ") for flag, value in itertools.pairwise(arguments) if flag == "-H")
        url = address.replace("http://127.0.0.1:8899", klap.root)
        answer = requests.request("POST" if body else "GET", url, json=body, headers=headers, timeout=10)
        klap.clear_faults()
        assert answer.ok, answer.text
        return
    assert body
    dag_id = re.fullmatch(r"\$AIRFLOW/api/v2/dags/(\w+)/dagRuns", address)
    assert dag_id, address
    assert body.keys() <= {"logical_date", "dag_run_id", "conf"}
    require_valid(dag_id[1], body["conf"])


# Other languages


def test_the_cost_of_a_run_is_as_the_page_shows_it() -> None:
    [block] = [block for block in BLOCKS if block.language == "json" and "get-notified" not in block.page]
    assert json.loads(block.code) == Cost(Prices(), input_videos=1, generated_shorts=7, exports=3).to_json()


def test_the_notifiers_of_the_connection_can_be_created() -> None:
    [block] = [block for block in BLOCKS if block.language == "json" and "get-notified" in block.page]
    for setting in json.loads(block.code):
        assert isinstance(create_notifier(setting), BaseNotifier)


def test_the_maximum_cost_of_a_run_is_calculated_correctly() -> None:
    default, first = (estimate(Prices(), shorts=clips, max_exports=exports) for clips, exports in ((10, 3), (2, 1)))
    assert f"The run may cost up to {default}" in page("how-to/limit-cost.md")
    for name in ("how-to/limit-cost.md", "tutorial/first-short.md", "faq.md"):
        assert dollars(default.total) in page(name)
    for text in (page("tutorial/first-short.md"), PAGES[0].read_text(encoding="utf-8")):
        assert dollars(first.total) in text
    assert dollars(Cost(Prices(), input_videos=1, exports=1).total) in page("how-to/caption-a-video.md")


@pytest.mark.parametrize("block", of_language("ini"))
def test_an_allowlist_of_the_docs_can_be_parsed(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    parser = configparser.ConfigParser()
    parser.read_string(block.code)
    assert parser.sections() == ["klap"]
    fields = {f"allowed_{setting}": field for field, setting in SETTINGS.items()}
    for setting, value in parser["klap"].items():
        monkeypatch.setenv(f"AIRFLOW__KLAP__{setting.upper()}", value)
        prefixes = configured(fields[setting])
        assert ", ".join(prefixes) == value
        assert setting == "allowed_connections" or [Location.parse(prefix) for prefix in prefixes]


@pytest.mark.parametrize("block", of_language("yaml"))
def test_an_alert_uses_existing_metrics_and_tags(block: Block) -> None:
    known = {f"airflow_{metric.name.replace('.', '_')}": metric.tags for metric in metrics.METRICS}
    for alert in yaml.safe_load(block.code):
        [name] = re.findall(r"airflow_\w+", alert["expr"])
        tags = re.findall(r"by \((\w+)\)|\{(\w+)=", alert["expr"])
        assert {tag for pair in tags for tag in pair if tag} <= set(known[name])


# Names


#: Labels of Airflow's own pages.
OF_AIRFLOW = {
    *("Admin → Connections", "Dags", "Assets", "Trigger", "Note", "Advanced Options", "Details", "Extra Links", "Test"),
    *("Map Index", "Required Actions", "Asset State Store", "Keyfile JSON", "Azure Blob Storage", "queued"),
    *("can read on Plugins", "Viewer", "Klap → Cost", "Admin → Plugins", "Plugin Import Error", "Cluster Activity"),
    *("Scheduled", "Queued", "Deferred", "Up for retry", "Invalid input for param …", "Bad Request", "Clear all"),
    *("Assets → `klap_ledger` → Asset State Store", "Include deferred"),
}
#: Words in italics that are not labels.
NO_LABELS = {
    *("short", "shorts", "sandbox", "Dag", "run", "project", "clip", "task", "trigger", "fault", "allowlist"),
    *("in doubt", "estimated prices", "managed user", "docs", "clients", "contradict", "unknown", "Source"),
    *("retried", "Generate Shorts", "videos × minutes per video ÷ at_a_time", "Town hall: 2 more shorts"),
}


@functools.cache
def texts_of_the_ui() -> str:
    """Return the sources with the labels. A mark replaces each value in a label."""
    folder = ROOT / "plugins" / "klap_provider"
    files = [*folder.rglob("*.py"), *folder.rglob("*.js"), folder / "dag_parts" / "fields.json"]
    return re.sub(r"\$\{[^}]*\}", "…", "\n".join(file.read_text(encoding="utf-8") for file in files))


def is_of_the_ui(label: str) -> bool:
    """Return whether a string in the sources begins with the label. ``…`` and numbers stand for values."""
    pattern = re.escape(re.sub(r"\b\d+ ", "… ", label).replace("… shorts", "…"))
    pattern = re.sub("task|export", lambda word: f"(?:{word[0]}|…)", pattern)
    return re.search(rf"[\"'`]{pattern}", texts_of_the_ui()) is not None


def test_every_label_in_italics_exists_in_the_ui() -> None:
    lost = set()
    for each in {*PAGES, *(DOCS / "operations").glob("*.md"), *(DOCS / "reference").glob("*.md")}:
        text = re.sub(r"^ *```.*?^ *```$", "", each.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
        text = re.sub(r"\n +", " ", text)  # a label can be on two lines
        labels = set(re.findall(r"(?<![*\w])\*([^*\n]+)\*(?![*\w])", text)) - OF_AIRFLOW - NO_LABELS
        lost |= {f"{each.name}: {label}" for label in labels if not is_of_the_ui(label)}
    assert lost == set()


def test_the_labels_and_defaults_of_fields_are_those_of_the_form() -> None:
    params = shipped("klap_generate_shorts").params
    rows = [*tables(page("how-to/watermark.md"), "Field"), *tables(page("how-to/limit-cost.md"), "Field")]
    assert len(rows) == 6
    for label, name, *_, default, _ in rows:
        param = params.get_param(*in_code(name))
        assert label == f"*{param.schema['title']}*"
        assert default == ("none" if param.value is None else str(param.value))


def test_the_arguments_of_the_batch_function_have_the_documented_defaults() -> None:
    from klap_provider.dag_parts import klap_generate_shorts_batch

    parameters = inspect.signature(klap_generate_shorts_batch).parameters
    rows = tables(page("how-to/run-a-batch.md"), "Argument of `klap_generate_shorts_batch`")
    assert len(rows) == 5
    for name, default, _ in rows:
        actual = parameters[in_code(name)[0]].default
        first = default.strip("`").split(" ")[0]
        assert first == ("the" if actual is None else str(actual).removesuffix(".0"))


def test_the_options_of_make_are_those_that_the_demo_reads() -> None:
    known = (ROOT / "demo" / "options.py").read_text(encoding="utf-8") + (ROOT / "demo" / "state.py").read_text()
    for name, *_ in tables(page("how-to/run-on-your-machine.md"), "Option"):
        assert f'"{in_code(name)[0]}"' in known


def test_the_readme_has_at_most_900_words() -> None:
    assert len(PAGES[0].read_text(encoding="utf-8").split()) <= 900
