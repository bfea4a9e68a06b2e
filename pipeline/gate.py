"""Give the verdict on a run: its audit against the base run's, on the same test images."""

from __future__ import annotations

import pandas as pd

from pipeline.core import audits, detections, manifest, params, paths, stage, verdicts
from pipeline.core.errors import UserError
from pipeline.core.paths import RunPaths
from pipeline.core.verdicts import Paired


def main(run: str) -> None:
    """Give the verdict on a run: its audit against the base run's, on the same test images."""
    settings = params.load()
    here, base = RunPaths(run), RunPaths(paths.BASE)
    audit, reference = audits.read(here.figures), audits.read(base.figures)
    names = manifest.read_classes(paths.REAL_CLASSES)
    both = _side_by_side(detections.read(base.boxes), detections.read(here.boxes), run)
    paired, lost = {}, {}
    for rare in audit.rare:
        chosen = both[both["class_id"] == names.index(rare.name)]
        before, after = chosen["found_base"].to_numpy(dtype=bool), chosen["found"].to_numpy(dtype=bool)
        paired[rare.name] = Paired(base=before, run=after)
        gone = chosen[before & ~after]
        lost[rare.name] = tuple(f"{one.image_id}/{one.box}" for one in gone.itertuples())
    replicates = tuple(pd.read_csv(where.replicates)["map50_95"].to_numpy(dtype=float) for where in (base, here))
    judgement = verdicts.judge(reference, audit, (replicates[0], replicates[1]), paired, lost, settings.gate)
    verdicts.write(here.gate, judgement)
    stage.report(f"gate {run}: {judgement.verdict}: {judgement.reason}")


def _side_by_side(base: pd.DataFrame, run: pd.DataFrame, name: str) -> pd.DataFrame:
    """The test boxes with what both runs found.

    Raises:
        UserError: the two audits have other test boxes.
    """
    key = ["image_id", "box", "class_id"]
    both = run.merge(base[[*key, "found"]], on=key, suffixes=("", "_base"))
    if not len(both) == len(base) == len(run):
        raise UserError(f"the audits of {paths.BASE} and {name} have other test boxes. Run `uv run dvc repro`.")
    return both


if __name__ == "__main__":
    stage.start(main)
