"""dvc.yaml of a study beside the first: the same stages, at its own places."""

from __future__ import annotations

import re

from pipeline.core import bounded, plain_yaml
from studies.collapse.places import Places

_UP = "../.."  # from the first study's folder to that of the project
_TEMPLATES = ".dvc/plots/"  # these paths begin where DVC works, which is the first study's folder for all
_COMMAND = "python -m studies.collapse "
_CODE = re.compile(r"(?<=- )(\w+\.py)$", re.MULTILINE)  # in the first study's folder, and of all
_HEAD = """\
# Written by `{command} plan`, after {first}.
# `{repro}` runs it one cell after another, and
# `{command} run` side by side.
"""


def text(here: Places) -> str:
    """The stages of a study in a folder of its own, with the first one's as the pattern.

    Raises:
        OSError: the first study's dvc.yaml cannot be read.
    """
    first = Places().pipeline
    pattern = bounded.text(first, most=plain_yaml.MOST)
    stages = pattern[pattern.index("vars:") :]
    stages = stages.replace(_UP, f"{_UP}/..").replace(_COMMAND, f"{_COMMAND}--study {here.name} ")
    stages = stages.replace(f"{_UP}/../{_TEMPLATES}", f"{_UP}/{_TEMPLATES}")
    stages = _CODE.sub(r"../\1", stages).replace('"Collapse study:', f'"Collapse study, {here.name}:')
    return _HEAD.format(command=here.command, first=first, repro=here.repro()) + stages
