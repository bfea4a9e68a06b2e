"""Score the forecasts of vanishing classes: ``python -m studies.forecast`` prints the score and writes result.json."""

from __future__ import annotations

import sys

from pipeline.core import records
from studies.forecast import running, table


def main() -> None:
    """Run all recursions, print the score and write it."""
    result = running.run()
    records.write(table.RESULT, result)
    sys.stdout.write(table.text(result))


if __name__ == "__main__":
    main()
