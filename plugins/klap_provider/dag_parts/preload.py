"""
Import the modules that Klap's tasks need, before Airflow forks a process for each task. Opt-in.

Otherwise each task imports these modules itself, which is a fifth of the CPU time of its start. With LocalExecutor, put
``import klap_provider.dag_parts.preload`` into ``airflow_local_settings.py``. For a Celery worker, name the module in
``[celery] extra_celery_config``. OpenLineage's classes, the triggerer's modules and the drivers of object storage are
not imported, because most tasks do not need them.
"""

from __future__ import annotations

import klap_provider.api.addresses
import klap_provider.api.calls
import klap_provider.rules.in_doubt
import klap_provider.rules.limits
import klap_provider.rules.poll_schedule
import klap_provider.rules.polling
import klap_provider.rules.review_form
import klap_provider.telemetry.metrics
import klap_provider.triggers.status
import klap_provider.triggers.video_run
from klap_provider.dag_parts import caption_video, generate_shorts, generate_shorts_batch, watch
from klap_provider.files import destination, download, preflight, served_files, sidecar, signing
from klap_provider.hooks import client
from klap_provider.operators import asset_event, before_submission, billing
from klap_provider.rules import idempotent_submit, spending
