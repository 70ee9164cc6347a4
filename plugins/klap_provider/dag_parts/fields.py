"""
The JSON schemas of the request models, stored in a file, because each parse of a Dag file would generate them again.

``make fields`` writes the file after a change to a model. A test checks that the file is up to date.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_suffix(".json")


def properties_of(model: str) -> dict[str, Any]:
    """Return the JSON schemas of a model's fields, by the model's name."""
    return dict(_schemas()[model])


@functools.cache
def _schemas() -> dict[str, Any]:
    return dict(json.loads(FILE.read_text(encoding="utf-8")))


def generate() -> str:
    """Return the content of the file, generated from the models."""
    from klap_provider.api.requests import Dimensions, EditingOptions, ShortsRequest, VideoRequest, Watermark
    from klap_provider.rules.limits import Selection, Spending

    models = (ShortsRequest, VideoRequest, Dimensions, EditingOptions, Watermark, Selection, Spending)
    schemas = {model.__name__: model.model_json_schema()["properties"] for model in models}
    return json.dumps(schemas, ensure_ascii=False, indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(generate(), encoding="utf-8")
