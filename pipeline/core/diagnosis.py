"""Name what the evidence supports: collapse, overfitting, forgetting, mode collapse; more than one, or none.

All four lower the figures on test, and people mix them up. They differ in where the cause is: collapse in data that
is fed back, overfitting in too little data, forgetting in data that was taken away, mode collapse in the generator. So
each finding asks for its own cause in the data, and for the harm that it does. The rules: ``docs/diagnosis.md``.

Source: collapse: Shumailov et al. 2024, Nature 631:755-759; Alemohammad et al. 2023, arXiv 2307.01850; forgetting in
detectors: Shmelkov et al. 2017, ICCV, arXiv 1708.06977; overfitting: Hastie et al. 2009, The Elements of Statistical
Learning, chapter 7; mode collapse: Goodfellow 2016, arXiv 1701.00160, section 5.1; Srivastava et al. 2017, NeurIPS,
arXiv 1705.07761.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.core import contrasts, narrowing, symptoms
from pipeline.core.audits import Audit
from pipeline.core.contrasts import Contrast
from pipeline.core.figures import Figure
from pipeline.core.judgements import Finding
from pipeline.core.report_numbers import counted, listed
from pipeline.core.symptoms import ClassChange

Name = Literal["collapse", "overfitting", "forgetting", "mode collapse"]

_ADVICE: dict[Name, str] = {
    "collapse": "Keep the human-verified real images in every generation (policy accumulate, a ratio under 0.5) and do "
    "not replace them; go back to the last healthy generation; more training will not bring back what is lost.",
    "overfitting": "Train on more verified images, or for fewer steps (train.steps, for every run), or with stronger "
    "augmentation; synthetic data is not the cause.",
    "forgetting": "Put verified images of the lost classes back into every training (mix.total: all-real, or a higher "
    "mix.min_real_a_class); new data is to be added to the old, not to take its place.",
    "mode collapse": "Do not train on these images: look at the near-duplicate groups, then mend the generator (more "
    "varied data to fit it to, more clusters, another seed) and draw anew.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Claim:
    """One thing that a diagnosis asks for: whether it holds, and the figures that say so, as sentences."""

    holds: bool
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """The audits that are looked at, and the losses that matter."""

    base: Audit
    previous: Audit
    run: Audit
    changes: tuple[ClassChange, ...]
    map_margin: float
    recall_margin: float

    @property
    def fed_back(self) -> bool:
        """Whether most of the training images are synthetic."""
        return symptoms.synthetic_share(self.run) > 0.5  # noqa: PLR2004 - the word is "most"

    @property
    def lost(self) -> list[ClassChange]:
        """The classes whose recall is shown to have fallen, by the margin or more."""
        return [one for one in self.changes if one.loss and one.loss.reaches(self.recall_margin)]


def diagnose(
    base: Audit, previous: Audit, run: Audit, *, map_margin: float = 0.05, recall_margin: float = 0.1
) -> tuple[Finding, ...]:
    """Say of each of the four whether the evidence supports it.

    A difference counts when its 95 % interval leaves out nought and its estimate reaches the margin. A figure that
    cannot be computed supports nothing. The variance between trainings is in none of these intervals: another seed is
    the way to see whether a finding holds.

    Args:
        base: audit of the base run, which trained on real images alone.
        previous: audit of the run that the run descends from; the base itself in generation 1.
        run: audit of the run.
        map_margin: loss of mAP50-95 that matters, in (0, 1).
        recall_margin: loss of recall or of AP50 that matters, in (0, 1).

    Returns:
        Collapse, overfitting, forgetting and mode collapse, in this order.

    Raises:
        UserError: the audits are of other classes.
    """
    case = _Case(
        base=base,
        previous=previous,
        run=run,
        changes=symptoms.class_changes(base, run),
        map_margin=map_margin,
        recall_margin=recall_margin,
    )
    return (
        _finding("collapse", _collapse(case)),
        _finding("overfitting", _overfitting(case)),
        _finding("forgetting", _forgetting(case)),
        _finding("mode collapse", _mode_collapse(case)),
    )


def _finding(name: Name, claims: Sequence[_Claim]) -> Finding:
    return Finding(
        name=name,
        supported=all(one.holds for one in claims),
        evidence=tuple(text for one in claims for text in one.texts),
        advice=_ADVICE[name],
    )


def _collapse(case: _Case) -> list[_Claim]:
    """Most of the data is fed back, accuracy on real images is lost, and the data has become narrower."""
    found = [
        *narrowing.of_classes(case.changes),
        *narrowing.of_diversity(case.previous, case.run),
        *narrowing.of_pixels(case.previous, case.run),
    ]
    texts = tuple(found) or ("Nothing shows that the training data has become narrower than real data.",)
    return [_origin(case, wanted="synthetic"), _loss(case), _Claim(holds=bool(found), texts=texts)]


def _overfitting(case: _Case) -> list[_Claim]:
    """The data is real and whole, the run fits what it saw, and does worse than the base on what it never saw."""
    gap = symptoms.gap(case.base, case.run)
    if gap is None:
        absent = "The fit on training images and on test images cannot be compared: a figure is missing."
        return [_origin(case, wanted="real"), _whole(case), _Claim(holds=False, texts=(absent,))]
    growth, loss = gap.growth, contrasts.difference(gap.base_test, gap.test)
    text = (
        f"Between its training images and test images it loses {_span(gap.after)} of AP50 (mean of "
        f"{_counted_classes(gap.classes)}), the base run {_span(gap.before)}; that gap grew by {_span(growth)}."
    )
    unseen = f"On test images it has {_shown(gap.test)}, the base run {_shown(gap.base_test)}{_on_val(case)}."
    return [
        _origin(case, wanted="real"),
        _whole(case),
        _fits(case, gap.base_train, gap.train),
        _Claim(holds=growth is not None and growth.reaches(case.recall_margin), texts=(text,)),
        _Claim(holds=loss is not None and loss.reaches(case.recall_margin), texts=(unseen,)),
    ]


def _forgetting(case: _Case) -> list[_Claim]:
    """Real data of some classes was taken away; they are lost, the others less so, and what is left is fitted."""
    taken = [one for one in case.changes if one.taken]
    if not taken:
        seen = "No class lost half of its share, and half of its boxes, in the training data."
        return [_origin(case, wanted="real"), _Claim(holds=False, texts=(seen,))]
    boxes = "; ".join(f"{one.name} {one.before[0]:,} of {one.before[1]:,} boxes before, "
                      f"{one.after[0]:,} of {one.after[1]:,} now" for one in taken)  # fmt: skip
    lost = [one for one in case.lost if one.taken]
    recalls = _recalls(lost) or f"The recall of {listed([one.name for one in taken])} is not shown to have fallen."
    return [
        _origin(case, wanted="real"),
        _Claim(holds=True, texts=(f"Classes taken out of the training data: {boxes}.",)),
        _Claim(holds=bool(lost), texts=(recalls,)),
        _spared(case),
        _fits(case, case.base.fit.train_map50, case.run.fit.train_map50),
    ]


def _mode_collapse(case: _Case) -> list[_Claim]:
    """The run trains on images of its generator, and those repeat one another more than real ones do."""
    used = case.run.synthetic_images
    claim = _Claim(holds=used > 0, texts=(f"It trains on {counted(used, 'synthetic image')}.",))
    if not used:
        return [claim]
    repeats = narrowing.repeats(case.run)
    return [claim, _Claim(holds=any(one.shown for one in repeats), texts=tuple(one.text for one in repeats))]


def _origin(case: _Case, *, wanted: Literal["real", "synthetic"]) -> _Claim:
    """Which kind of image makes up most of the training data."""
    run = case.run
    total = run.real_images + run.synthetic_images
    deep = f", of lineage depth up to {symptoms.deepest(run)}" if run.synthetic_images else ""
    base = f"; the base run had {case.base.real_images:,} real ones"
    return _Claim(
        holds=case.fed_back == (wanted == "synthetic"),
        texts=(f"{run.synthetic_images:,} of {total:,} training images are synthetic{deep}{base}.",),
    )


def _whole(case: _Case) -> _Claim:
    """Whether the run trains on all that test images show: else the gap between them is that of their contents."""
    taken = [one.name for one in case.changes if one.taken]
    if not taken:
        return _Claim(holds=True, texts=())
    text = (
        f"Test images show {listed(taken)}, which the training data has lost: what the run takes them for widens the "
        "gap between training and test images, so that it is no measure of overfitting."
    )
    return _Claim(holds=False, texts=(text,))


def _loss(case: _Case) -> _Claim:
    """Whether accuracy on the real test images is lost: mAP50-95, or the recall of a class."""
    loss = contrasts.difference(case.base.map50_95, case.run.map50_95)
    whole = (
        f"mAP50-95 on test images is {_shown(case.run.map50_95)}, that of the base run {_shown(case.base.map50_95)}: "
        f"a loss of {_span(loss)}."
    )
    recalls = _recalls(case.lost) or f"No class is shown to have lost {case.recall_margin:g} of recall."
    return _Claim(holds=bool(case.lost) or (loss is not None and loss.reaches(case.map_margin)), texts=(whole, recalls))


def _fits(case: _Case, before: Figure, now: Figure) -> _Claim:
    """Whether the run does about as well on its own training images as the base did on its own."""
    worse = contrasts.difference(before, now)
    text = (
        f"On its own training images it has AP50 {_shown(now)}, the base run on its own {_shown(before)}"
        f"{_last_loss(case)}."
    )
    return _Claim(holds=worse is not None and not worse.reaches(case.recall_margin), texts=(text,))


def _spared(case: _Case) -> _Claim:
    """Whether the classes that were taken out lost more recall than those that were not."""
    names = ([one.name for one in case.changes if one.taken is taken] for taken in (True, False))
    theirs, others = (symptoms.pooled_loss(case.base, case.run, some) for some in names)
    more = contrasts.difference(contrasts.as_figure(theirs), contrasts.as_figure(others))
    text = f"Recall of these classes fell by {_span(theirs)}, of the others by {_span(others)}."
    return _Claim(holds=more is not None and more.reaches(case.recall_margin), texts=(text,))


def _recalls(lost: Sequence[ClassChange]) -> str:
    told = [f"of {one.name} fell from {one.base_recall:.2f} to {one.recall:.2f}" for one in lost]
    return f"Recall {listed(told)}." if told else ""


def _on_val(case: _Case) -> str:
    val = case.run.fit.val_map50
    return "" if val.value is None else f"; its mAP50 on val images is {_shown(val)}"


def _last_loss(case: _Case) -> str:
    ends = [audit.fit.losses.get("class", ())[-1:] for audit in (case.run, case.base)]
    return f"; its class loss ended at {ends[0][0]:.2f}, the base's at {ends[1][0]:.2f}" if all(ends) else ""


def _counted_classes(number: int) -> str:
    return "1 class" if number == 1 else f"{number} classes"


def _shown(figure: Figure) -> str:
    if figure.value is None:
        return f"not known ({figure.reason})"
    span = "" if figure.low is None or figure.high is None else f" ({figure.low:.2f} to {figure.high:.2f})"
    return f"{figure.value:.2f}{span}"


def _span(contrast: Contrast | None) -> str:
    return (
        "an unknown amount" if contrast is None else f"{contrast.value:.2f} ({contrast.low:.2f} to {contrast.high:.2f})"
    )
