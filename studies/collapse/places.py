"""Every path of a study, once; all are relative to the project's folder.

The first study is in studies/collapse itself; another one, of other data or another grid, has a folder in there with a
params.yaml, and runs beside it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.core.paths import STATE
from pipeline.core.schema import suggestion

HERE = Path("studies/collapse")  # a DVC project of its own: that of the repository would read it with every command
PAGE = Path("docs/benchmark.md")  # a part a study
MEASURED = "measured.json"  # in the folder of a base or a cell
_PARAMS = "params.yaml"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,30}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where a study is, and where it puts what it makes.

    Attributes:
        name: of its folder in studies/collapse; empty for the study that is there itself.
    """

    name: str = ""

    @property
    def here(self) -> Path:
        """The study's own folder."""
        return HERE / self.name

    @property
    def command(self) -> str:
        """What people type for it, but for the command's name."""
        return "uv run python -m studies.collapse" + (f" --study {self.name}" if self.name else "")

    @property
    def params(self) -> Path:
        """Its settings."""
        return self.here / _PARAMS

    @property
    def cells(self) -> Path:
        """The grid, multiplied out, for dvc.yaml."""
        return self.here / "cells.yaml"

    @property
    def pipeline(self) -> Path:
        """Its stages."""
        return self.here / "dvc.yaml"

    @property
    def target(self) -> str:
        """Its stages, as the DVC project in :data:`HERE` calls them."""
        return str(self.pipeline.relative_to(HERE))

    def repro(self, stage: str = "") -> str:
        """What people type to run its stages by DVC, or one of them."""
        of_one = f"{self.target}:{stage}" if stage else self.target
        return f"uv run dvc --cd {HERE} repro" + (f" {of_one}" if self.name or stage else "")

    @property
    def made(self) -> Path:
        """What its stages hand to one another: small, kept by DVC."""
        return self.here / "made"

    def inputs(self, group: str) -> Path:
        """What the stages of a group depend on: data, base or cells."""
        return self.made / "inputs" / f"{group}.json"

    @property
    def made_data(self) -> Path:
        """What its real images are."""
        return self.made / "data.json"

    def made_base(self, seed: int) -> Path:
        """What is kept of a seed's base run."""
        return self.made / "base" / str(seed)

    @property
    def made_cells(self) -> Path:
        """What is kept of all cells."""
        return self.made / "cells"

    def made_cell(self, name: str) -> Path:
        """What is kept of a cell."""
        return self.made_cells / name

    @property
    def results(self) -> Path:
        """Tables and figures, in git."""
        return self.here / "results"

    @property
    def work(self) -> Path:
        """Images and weights: the bulk, which may be deleted at any time."""
        return STATE / (f"collapse-{self.name}" if self.name else "collapse")

    @property
    def work_data(self) -> Path:
        """Real images."""
        return self.work / "data"

    def work_base(self, seed: int) -> Path:
        """Folder of a seed's base run."""
        return self.work / "base" / str(seed)

    def work_cell(self, name: str) -> Path:
        """Folder of a cell's generations."""
        return self.work / "cells" / name

    @property
    def settle_log(self) -> Path:
        """What DVC said."""
        return self.work / "dvc.log"


def named(name: str) -> Places:
    """The study of a name; empty for the first.

    Raises:
        UserError: there is no such study.
    """
    found = Places(name=name)
    if (name and not _NAME.fullmatch(name)) or not found.params.exists():
        known = [one.name for one in present() if one.name]
        if not name:
            raise UserError(f"{found.params} is not in {Path.cwd()}; run this in the project's folder.")
        raise UserError(
            f"no study {name!r}{suggestion(name, known)}: wanted the name of a folder in {HERE} with a {_PARAMS}; "
            f"there are: {', '.join(known) or 'none'}."
        )
    return found


def present(root: Path = Path()) -> list[Places]:
    """The studies that there are, the first one first.

    Args:
        root: the project's folder.
    """
    found = sorted(one.parent.name for one in (root / HERE).glob(f"*/{_PARAMS}"))
    first = [Places()] if (root / Places().params).exists() else []
    return [*first, *(Places(name=name) for name in found if _NAME.fullmatch(name))]
