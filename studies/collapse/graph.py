"""dvc.yaml of a study beside the first: the same stages, at its own places."""

from __future__ import annotations

import re

from pipeline.core import bounded, plain_yaml
from studies.collapse.places import HERE, Places

_OWN = re.compile(rf"\b{HERE}/(params\.yaml|cells\.yaml|made\b|results\b)")
_COMMAND = "python -m studies.collapse "
_HEAD = """\
# Written by `{command} plan`, after {first}.
# `uv run dvc repro {pipeline}` runs it one cell after another, and
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
    stages = _OWN.sub(rf"{here.here}/\1", stages).replace(_COMMAND, f"{_COMMAND}--study {here.name} ")
    stages = stages.replace('"Collapse study:', f'"Collapse study, {here.name}:')
    depth = "/".join([".."] * len(here.here.parts))
    stages = re.sub(r"(?<=wdir: ).*", depth, stages)
    return _HEAD.format(command=here.command, first=first, pipeline=here.pipeline) + stages
