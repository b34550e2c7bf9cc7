# Everything runs in .venv, made from the hash-pinned requirements.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip --disable-pip-version-check -qq install
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-annotate --custom-compile-command "make lock" $(LOCK_ARGS)
SCAN := $(VENV)/scan
PLAYBOOKS = $(filter-out inventory%,$(notdir $(wildcard deploy/ansible/*.yml)))
BENCH := $(VENV)/bench
SCRIPTS = $(shell git ls-files '*.sh') .ci/run

.DEFAULT_GOAL := help
.PHONY: help run test extended lint format lock update-images openapi vendor lab bench clean

help: ## Say what each target does.
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' Makefile | expand -t 22

run: $(VENV)/.run ## Serve on http://127.0.0.1:5000, on SQLite unless DATABASE_URL is set.
	@$(BIN)/flask db upgrade
	@exec $(BIN)/gunicorn --config service/server/gunicorn.conf.py

test: $(VENV)/.dev ## Run the fast tests; with CI=true the gate's. ARGS="tests/unit -k json" chooses.
ifdef ARGS
	@$(BIN)/pytest $(ARGS)
else ifdef CI
	@tests/gate.sh
else
	@$(BIN)/pytest --set=fast -n 2 --dist loadfile
endif

extended: $(VENV)/.dev ## Run the tests beyond the gate: more on fresh hosts, and the lab's.
	@$(BIN)/pytest --set=extended --override-ini=faulthandler_timeout=900 $(ARGS)

lint: $(VENV)/.dev $(SCAN)/.done ## Run linters, the formatter's check and the type checker.
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/shellcheck $(SCRIPTS)
	@$(BIN)/yamllint --strict .
	@cd deploy/ansible && export PATH="$(abspath $(BIN)):$$PATH" \
		ANSIBLE_INVENTORY=inventory.example.yml,inventories/aws/stack.yml && ansible-lint -q && \
		ansible-playbook --syntax-check $(PLAYBOOKS) >/dev/null
	@$(BIN)/hadolint Dockerfile
	@$(SCAN)/bin/checkov --quiet --compact --skip-download --framework dockerfile --file Dockerfile
	@$(BIN)/python .ci/audit.py

format: $(VENV)/.dev ## Format the code and mend what the linter can mend.
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format .

lock: $(VENV)/.dev ## Lock the dependencies of pyproject.toml; LOCK_ARGS=--upgrade takes newer ones.
	$(LOCK) pyproject.toml -o requirements.txt
	$(LOCK) --group acme -c requirements.txt -o requirements-acme.txt
	$(LOCK) --group deploy -c requirements.txt -o requirements-deploy.txt
	$(LOCK) --group dev -c requirements.txt -c requirements-deploy.txt -o requirements-dev.txt
	$(LOCK) --group scan -o requirements-scan.txt
	$(LOCK) pyproject.toml --group bench -c requirements.txt -o requirements-bench.txt

update-images: ## Pin the images to what their tags have now, as a commit; ARGS="nginx" chooses.
	@$(PYTHON) deploy/update_images.py $(ARGS)

openapi: $(VENV)/.dev ## Write the API's document, service/web/openapi.json, from the code.
	@$(BIN)/python -m service.openapi

vendor: ## Fetch the scripts of others for the console anew, with npm; vendor.json has the versions.
	@$(PYTHON) service/console/vendor.py

lab: ## Prepare a Docker engine, a browser and the images that the tests need.
	@tests/lab/lab.sh

bench: $(VENV)/.run $(BENCH)/.done ## Measure the service beside its peers. QUICK=1 takes under three minutes.
	@bench/packages.sh
	@$(BENCH)/bin/python -m bench $(if $(QUICK),--quick) $(ARGS)

clean: ## Remove the environment and the caches; the database in instance/ stays.
	rm -rf $(VENV) .hypothesis .mypy_cache .pytest_cache .ruff_cache

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "make: $(PYTHON) is older than Python 3.11; name a newer one: make PYTHON=python3.13"; \
	  exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.run: requirements.txt | $(VENV)/bin/python
	@echo "Installing the service's requirements into $(VENV) ..."
	@$(PIP_INSTALL) --require-hashes -r requirements.txt
	@touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.run
	@echo "Installing the development requirements into $(VENV) ..."
	@$(PIP_INSTALL) --require-hashes -r requirements-dev.txt
	@touch $@

# $(SCAN) and $(BENCH): environments of their own.
$(VENV)/%/.done: requirements-%.txt | $(VENV)/bin/python
	@echo "Installing $< into $(@D) ..."
	@$(PYTHON) -m venv $(@D)
	@$(@D)/bin/python -m pip --disable-pip-version-check -qq install --require-hashes -r $<
	@touch $@
