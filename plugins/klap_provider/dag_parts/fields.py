"""
The JSON schemas of the models whose fields are in a trigger form, as a file: pydantic takes a while to make them, and a
DAG file is parsed again and again.

``make fields`` writes the file after a change to a model; a test holds that it says what the models say.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_suffix(".json")


def properties_of(model: str) -> dict[str, Any]:
    """Return the JSON schemas of a model's fields, by the model's name."""
    return dict(_written()[model])


@functools.cache
def _written() -> dict[str, Any]:
    return dict(json.loads(FILE.read_text(encoding="utf-8")))


def made() -> str:
    """Return what the file ought to say."""
    from klap_provider.api.requests import Dimensions, EditingOptions, ShortsRequest, VideoRequest, Watermark
    from klap_provider.rules.limits import Selection, Spending

    models = (ShortsRequest, VideoRequest, Dimensions, EditingOptions, Watermark, Selection, Spending)
    schemas = {model.__name__: model.model_json_schema()["properties"] for model in models}
    return json.dumps(schemas, ensure_ascii=False, indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(made(), encoding="utf-8")
