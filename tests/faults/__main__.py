"""All faults: ``python -m tests.faults``."""

import sys

import pytest

if __name__ == "__main__":
    sys.exit(pytest.main(["tests/faults", "--all-faults", "--numprocesses=0", "--log-cli-level=INFO", *sys.argv[1:]]))
