"""Give the verdict on a run: its audit against those of the base run and the best run so far, on the same images."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.core import audits, diagnosis, early_warnings, judgements, nights, params, paths, stage, verdicts
from pipeline.core.errors import UserError
from pipeline.core.paths import RunPaths
from pipeline.core.schema import suggestion


def main(run: str) -> None:
    """Give the verdict on a run: its audit against those of the base run and the best run so far."""
    settings = params.load()
    _require_known(settings.gate.fail_on)
    here = RunPaths(run)
    audit, base = audits.read(here.figures), audits.read(RunPaths(paths.BASE).figures)
    previous = audits.read(RunPaths(settings.run(run).previous).figures)
    nights.require_same_test(previous, audit)
    night = nights.load(base, audit, confirmed=settings.gate.schedule == "confirm")
    judgement = verdicts.judge(
        night,
        base,
        audit,
        settings.gate,
        warnings=early_warnings.warn(base, audit, neighbours=settings.audit.neighbours),
        diagnosis=diagnosis.diagnose(
            base, previous, audit, map_margin=settings.gate.map_margin, recall_margin=settings.gate.recall_margin
        ),
    )
    judgements.write(here.gate, judgement)
    stage.report(f"gate {run}: {judgement.verdict}: {judgement.reason}")


def _require_known(names: Sequence[str]) -> None:
    """Refuse a name that no early warning has: it would never fail a run."""
    for name in names:
        if name not in early_warnings.NAMES:
            known = ", ".join(early_warnings.NAMES)
            raise UserError(
                f"params.yaml gate.fail_on: there is no warning {name!r}{suggestion(name, early_warnings.NAMES)}; "
                f"there are: {known}."
            )


if __name__ == "__main__":
    stage.start(main)
