"""Make one Dag for each preset of a file that the team edits."""

from __future__ import annotations

# [START howto_klap_presets]
# Airflow reads only files that contain the words "airflow" and "dag".
import json
from pathlib import Path

from klap_provider.dag_parts import klap_generate_shorts

presets = json.loads(Path(__file__).with_name("klap_presets.json").read_text(encoding="utf-8"))
for dag_id, preset in presets.items():
    globals()[dag_id] = klap_generate_shorts(dag_id, dag_display_name=preset["name"], form=preset["form"])
# [END howto_klap_presets]
