# Commands of one word. `make run` needs only Python 3.11+, make and pip; everything else comes from package registries.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --annotation-style=line
SBOM := $(BIN)/cyclonedx-py requirements --pyproject pyproject.toml --mc-type application --output-reproducible --of JSON requirements/services.txt

export PORT INGEST_PORT DATA DEMO KAFKA BROKERS DATABASE_URL

RELEASE = $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)

# Seconds for each target of `make fuzz`; faults and seed of `make chaos`.
SECONDS ?= 60
FAULTS ?= 100
SEED ?= 1

# What `make test-on` runs.
ON ?= tests/e2e/test_chain.py tests/integration/chain/test_partition_growth.py tests/integration/chain/test_rejected.py \
	tests/integration/stager/test_faults.py tests/integration/stager/test_stager.py tests/integration/ingest/test_failures.py

.DEFAULT_GOAL := help
.PHONY: help run test test-deep test-on fuzz lint format types bench chaos proto referrers vendor screenshots licences rules sbom lock wheel image release up down clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12
	@echo
	@echo "make run takes PORT=8080 INGEST_PORT=8081 (0 = any free port) DATA=.throughline DEMO=0 BROKERS=3 KAFKA=host:port DATABASE_URL=postgresql://..."

run: $(VENV)/.local ## Kafka, Postgres, the three services, a demo shop and a live page (Ctrl-C stops all, data stays)
	@$(BIN)/throughline run

test: $(VENV)/.dev ## everything: lint, types, drift checks and all tests on real Kafka and PostgreSQL
	@VENV=$(VENV) tests/run

test-deep: $(VENV)/.fuzz ## the property tests with ten thousand new cases each, fuzzing, and every SDK through outages (hours)
	@$(BIN)/pytest -n auto --maxprocesses 4 -m deep tests/e2e tests/fuzz tests/integration/chain tests/integration/cli
	@$(BIN)/pytest --hypothesis-profile=deep --timeout=36000 tests/fuzz/test_openapi.py
	@$(BIN)/pytest --hypothesis-profile=deep --timeout=36000 tests/property tests/integration/stager/test_staging_law.py tests/integration/stager/test_rounds_law.py tests/integration/stager/test_bounded_law.py tests/integration/stager/test_retention.py

test-on: $(VENV)/.dev ## the chain and its failures on other servers, from Maven Central: POSTGRES_VERSION=17.6.0 KAFKA_VERSION=3.9.2
	@$(BIN)/pytest -p tests.support.other_versions $(if $(POSTGRES_VERSION),--postgres $(POSTGRES_VERSION)) $(if $(KAFKA_VERSION),--kafka $(KAFKA_VERSION)) $(ON)

fuzz: $(VENV)/.fuzz ## fuzz everything that reads bytes of others, guided by coverage, SECONDS=60 for each target
	@for target in ingest size wire model; do $(BIN)/python -m tests.fuzz $$target --seconds=$(SECONDS) || exit 1; done

lint: $(VENV)/.dev ## ruff, lint and format check
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

format: $(VENV)/.dev ## format the code and fix what ruff can fix
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

types: $(VENV)/.dev ## mypy, strict
	@$(BIN)/mypy

bench: $(VENV)/.dev ## measure against named baselines; prints a table, writes bench.json (a quarter of an hour); ARGS=--help
	@$(BIN)/python -m bench $(ARGS)

chaos: $(VENV)/.dev ## FAULTS=100 SEED=1: kill, stop, cut off and fill a stack under load, then compare its state exactly; ARGS=--help
	@$(BIN)/python -m bench.chaos --faults $(FAULTS) --seed $(SEED) $(ARGS)

proto: $(VENV)/.dev ## regenerate throughline/wire/v1 from proto/
	@$(BIN)/python -m grpc_tools.protoc -I proto/throughline --python_out=throughline/wire --pyi_out=throughline/wire proto/throughline/v1/touchpoint.proto

referrers: $(VENV)/.dev ## rebuild ingest's list of referring sites, after `make lock` locked a newer package
	@$(BIN)/python -m tools.referrer_list > .referrers && mv .referrers services/ingest/enrich/referrers.txt

vendor: $(VENV)/.dev ## fetch the page's libraries from npm again, after another version was named in tools/vendored.py
	@$(BIN)/python -m tools.vendored

screenshots: $(VENV)/.dev ## take the README's pictures of the page, while `make run` is going
	@$(BIN)/python -m tools.screenshots

licences: $(VENV)/.dev ## rebuild THIRD-PARTY.md, after `make lock` locked other packages
	@$(BIN)/python -m tools.licence_list > .licences && mv .licences THIRD-PARTY.md

rules: $(VENV)/.dev ## write the alerts again for the Prometheus operator of a cluster
	@$(BIN)/python -m tools.prometheus_rule > .rules && mv .rules deploy/kubernetes/components/monitoring/rules.yaml

sbom: $(VENV)/.dev ## write sbom.json: what the image ships beside Python, with hashes, as CycloneDX
	@$(SBOM) -o sbom.json

lock: $(VENV)/.venv ## compile the pinned and hashed requirements again
	@$(COMPILE) requirements/bootstrap.in -o requirements/bootstrap.txt
	@$(COMPILE) pyproject.toml -o requirements/services.txt
	@$(COMPILE) pyproject.toml --group local -c requirements/services.txt -o requirements/local.txt
	@$(COMPILE) pyproject.toml --group dev -c requirements/local.txt -o requirements/dev.txt
	@$(COMPILE) --group fuzz -c requirements/dev.txt -o requirements/fuzz.txt

wheel: $(VENV)/.dev ## build dist/throughline-VERSION-py3-none-any.whl: the command line and the services
	@rm -rf dist && $(BIN)/python -m hatchling build -t wheel -d dist

image: ## build the image with docker buildx; the same commit gives the same image
	docker buildx build --file deploy/Dockerfile --tag throughline:$(RELEASE) --build-arg COMMIT=$$(git rev-parse HEAD) \
		--build-arg SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) --provenance=false \
		--output type=docker,rewrite-timestamp=true .

release: $(VENV)/.dev ## write VERSION=1.2.0 to every file that has the version, and close the changelog's Unreleased
	@$(BIN)/python -m tools.set_version "$(VERSION)"

up: ## docker compose up
	docker compose up --build --detach --wait

down: ## docker compose down (volumes stay)
	docker compose down

clean: ## remove the virtual environment, caches and built files (never DATA)
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .fuzz .bench bench.json dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.venv: requirements/bootstrap.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Throughline needs Python 3.11 or newer; set PYTHON=")'
	@echo "setting up $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	@touch $@

$(VENV)/.local: $(VENV)/.venv requirements/local.txt pyproject.toml
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/local.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-build-isolation --no-deps -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.venv requirements/dev.txt pyproject.toml
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/dev.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-build-isolation --no-deps -e .
	@touch $@ $(VENV)/.local

$(VENV)/.fuzz: $(VENV)/.dev requirements/fuzz.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --only-binary :all: --require-hashes -r requirements/fuzz.txt
	@touch $@
