"""
What Klap's tasks load, for the process that forks them: loaded once there, each start and each parse has it already.

Airflow forks a process for each task, and for each parse of a DAG file, from one that has loaded little of what those
need. :class:`~klap_provider.plugin.KlapPlugin` loads this module into the scheduler, for its LocalExecutor, and into
the DAG processor; a Celery worker is told to in its settings (``docs/deploy.md``). What is left out is what tasks
seldom need: OpenLineage's classes, what only the triggerer has, and the storage of S3 and others.
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
from klap_provider.dag_parts import caption_video, generate_shorts, generate_shorts_batch
from klap_provider.files import destination, download, preflight, served_files, sidecar, signing
from klap_provider.hooks import client
from klap_provider.operators import asset_event, before_submission, billing
from klap_provider.rules import idempotent_submit, spending
