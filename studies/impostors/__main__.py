"""Measure what is caught: ``python -m studies.impostors`` prints the rates and writes result.json.

It takes the photographs of BCCD in VOC form: ``python -m studies.impostors PATH``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import yaml

from pipeline.core import paths, records
from studies.impostors import datasets, measuring, table

COPIES, SYNTHETIC = 300, 500  # of each change; of each generator


def main() -> None:
    """Measure on pages of digits and on photographs, print the rates and write them."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("bccd", type=Path, help="folder of BCCD: Annotations, ImageSets and JPEGImages")
    bccd = parser.parse_args().bccd.resolve()
    measured = []
    for name, source in (("digits", {}), ("BCCD", {"source": "voc", "path": str(bccd)})):
        settings = yaml.safe_load(paths.PARAMS.read_text())
        settings["ingest"].update(source)
        with tempfile.TemporaryDirectory() as folder:
            data = datasets.read(name, Path(folder), settings=settings, synthetic=SYNTHETIC)
            measured.append(measuring.measure(data, copies=COPIES))
    result = table.Result(datasets=tuple(measured))
    records.write(table.RESULT, result)
    sys.stdout.write(table.text(result))


if __name__ == "__main__":
    main()
