# Everything starts here; `make help` lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SERVICES := auth photometry astrometry catalogs gateway
PACKAGES := shared client $(SERVICES:%=services/%)
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help install init demo test test-slow test-integration check lint types imports kernels bench random-frames validate-frames coverage docs docs-tables charts \
	up update-deps clean images base-images image-locks \
	$(SERVICES:%=test-%) $(SERVICES:%=run-%) $(SERVICES:%=work-%) $(SERVICES:%=migrate-%) $(SERVICES:%=image-%) image-catalogs-surveys

help: ## This list
	@grep -hE '^[a-zA-Z_%-]+:.*?## ' $(MAKEFILE_LIST) | awk -F':.*?## ' '{printf "  %-18s %s\n", $$1, $$2}'

install: $(VENV)/.installed ## Set up .venv from the hashed lock file and compile the kernels

init: install ## The same as install

$(VENV)/.installed: requirements.lock $(PACKAGES:%=%/pyproject.toml) $(wildcard */setup.py services/*/setup.py) $(shell find shared services -name '*.pyx' 2>/dev/null)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation $(PACKAGES:%=-e %)
	@touch $@

kernels: ## Compile the Cython kernels in place
	for p in $(PACKAGES); do if [ -f $$p/setup.py ]; then (cd $$p && $(CURDIR)/$(BIN)/python setup.py -q build_ext --inplace) || exit 1; fi; done

demo: install ## Simulated sky through the whole platform, checked against its truth
	$(BIN)/alidade demo

test: install ## Fast tests (under ten minutes on two cores)
	$(BIN)/python -m pytest -n 2 --dist loadgroup

coverage: install ## The fast tests, with the share of lines that they run in build/coverage
	$(BIN)/python -m pytest -n 2 --dist loadgroup --cov --cov-report term:skip-covered --cov-report html:build/coverage

test-slow: install ## Accuracy and property tests that take minutes
	$(BIN)/python -m pytest -m slow -n 2 --timeout 1200

$(SERVICES:%=test-%): test-%: install ## Tests of one service
	$(BIN)/python -m pytest tests/$*

test-integration: install ## Debian packages, images and real components: S3, containers, charts, faults, real frames (60 min)
	.ci/integration-packages
	deploy/testing/tools.sh
	tests/support/make_siril_tree.sh .tools/siril
	$(MAKE) images
	ALIDADE_ALL_COMPONENTS=1 ALIDADE_TEST_SIRIL=$(CURDIR)/.tools/siril/siril-cli \
	CONTAINERS_CONF=$${CONTAINERS_CONF:-$(CURDIR)/deploy/docker/containers.conf} \
		$(BIN)/python -m pytest -m "integration or fault" --timeout 1200 --durations 15

images: base-images ## Build the five images with podman
	deploy/docker/build.sh $(SERVICES)

base-images: ## Make local base images from Debian packages, unless BASE_IMAGE names another
	@test -n "$(BASE_IMAGE)" || deploy/docker/base.sh

$(SERVICES:%=image-%) image-catalogs-surveys: image-%: base-images ## Image of one service; catalogs-surveys: catalogs with LSDB
	deploy/docker/build.sh $*

check: lint types imports ## Style, types, import rules

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

imports: install
	PYTHONPATH=$(subst $() $(),:,$(PACKAGES:%=%/src)) $(BIN)/lint-imports

bench: install ## Benchmarks against named peers (tests/benchmarks)
	$(BIN)/python -m pytest -m benchmark tests/benchmarks --timeout 3600 -s

random-frames: install ## 300 random independent skies and every real frame through the whole chain: no crash, no wrong solution
	@d=$$(mktemp -d) && export PYTHONPATH=tests/support && ended=0 && \
		for which in 10:110 110:210 210:310 real; do \
			$(BIN)/python tests/support/random_runs.py $$which $$d > $$d/$$which.jsonl || ended=1; done; \
		$(BIN)/python tests/support/random_runs.py table $$d/*.jsonl && exit $$ended

validate-frames: install ## Real frames through the platform; writes the table of docs/validation.md (needs astrometry-data-tycho2)
	CATALOGS_UPSTREAM__MODE=offline $(BIN)/python tests/end_to_end/real_frames.py --write docs/validation.md

docs: install ## The pages as a site in build/docs; every warning is an error
	$(BIN)/sphinx-build -q -W --keep-going -b html docs build/docs

docs-tables: install ## The pages of docs/ that come from code: columns, flags, settings, jobs, problem codes, warnings, commands
	$(BIN)/python docs/make_tables.py
	$(BIN)/python docs/make_reference.py
	$(BIN)/python docs/operations/make_settings.py

charts: install ## Lint the Helm chart, render it and check what comes out
	deploy/testing/tools.sh
	$(BIN)/python -m pytest -m integration tests/deploy/test_chart.py

$(SERVICES:%=run-%): run-%: install ## The API of one service; its settings are <SERVICE>_... variables (docs/operations/settings.md)
	ALIDADE_SERVICE=$* $(BIN)/python -m astro_shared.service_command api

$(SERVICES:%=work-%): work-%: install ## The worker of one service
	ALIDADE_SERVICE=$* $(BIN)/python -m astro_shared.service_command worker

$(SERVICES:%=migrate-%): migrate-%: install ## Make or migrate the database of one service
	ALIDADE_SERVICE=$* $(BIN)/python -m astro_shared.service_command migrate

up: install ## The embedded platform; Ctrl-C stops it
	$(BIN)/alidade up

COMPILE := $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	--no-emit-package astro-shared
LOCKS := deploy/docker/locks

update-deps: install ## Compile requirements.lock and the locks of the images anew, without any address
	$(COMPILE) pyproject.toml --group dev --no-emit-package alidade $(SERVICES:%=--no-emit-package %-service) -o requirements.lock
	$(MAKE) image-locks

image-locks: install ## The locks of the images, with the versions of requirements.lock
	for s in $(SERVICES); do \
		[ $$s = astrometry ] && extra="--extra blind" || extra=; \
		$(COMPILE) services/$$s/pyproject.toml $$extra -c requirements.lock -o $(LOCKS)/$$s.lock || exit 1; done
	$(COMPILE) services/catalogs/pyproject.toml --extra surveys -c requirements.lock -o $(LOCKS)/catalogs-surveys.lock
	printf 'setuptools\ncython\nwheel\n' | $(COMPILE) - -c requirements.lock -o $(LOCKS)/build.lock

clean: ## Remove the virtual environment and everything compiled
	rm -rf $(VENV) && find shared services -name '*.so' -delete
