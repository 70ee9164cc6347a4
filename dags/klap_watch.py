"""Start a run of klap_generate_shorts for each new video of some feeds. See docs/how-to/watch-a-source.md."""

# Airflow reads only files that contain "airflow" and "dag".
from klap_provider.dag_parts import klap_watch
from klap_provider.sources import FeedSource, Pace

# The addresses of your feeds. Without any, this file makes no Dag.
FEEDS: tuple[str, ...] = ()

if FEEDS:
    dag = klap_watch(name="feeds", source=FeedSource(urls=FEEDS), pace=Pace(per_day=1))
