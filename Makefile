# A fresh clone needs nothing before make repro or make test: both install first.
# ARGS goes to the command behind a target: make test ARGS="-m 'not slow'"

.POSIX:
.PHONY: help install repro test lint
unexport VIRTUAL_ENV

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

install: ## what uv.lock names, into .venv; quick when it is there
	@python=$$(sh tools/preflight) && sh tools/install "$$python"

repro: install ## the pipeline: uv run dvc repro
	tools/uv run --no-sync dvc repro $(ARGS)

test: install ## the tests: uv run pytest
	tools/uv run --no-sync pytest $(ARGS)

lint: install ## style and types: ruff, mypy
	tools/uv run --no-sync ruff check .
	tools/uv run --no-sync ruff format --check .
	tools/uv run --no-sync mypy
