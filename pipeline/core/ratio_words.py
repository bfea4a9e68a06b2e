"""What `tailwatch ratio` says: an answer to each question, how sure it is, what it cost, and what was not tested."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

from pipeline.core import files, ratio_search
from pipeline.core.ratio_judging import FigureFound
from pipeline.core.ratio_records import Answer, Contradiction, Level, LevelFound, Ratio

_SHARE = (
    "{total} training images in each generation, of which a share is real, drawn anew from all {total} real images by "
    "the policy {policy}; the rest is synthetic. The generator of generation 1 learns from all real images, too: this "
    "is the question of somebody who has the real images, and asks how many have to be in the mixture."
)
_NUMBER = (
    "Only so many real images exist, drawn once a seed: base detector, generator and labels have seen no other. They "
    "are all kept, and filled up to {total} with synthetic ones. This is the question of somebody who has to pay for "
    "real images and their labels."
)
_COLUMNS = ("real images", "verdict", "seeds", "level", "figure", "real alone", "here", "loss", "interval", "margin")
_LEFT = {"verdict", "figure", "interval"}
_NONE = "–"  # noqa: RUF001 - an en dash, as in the other tables
_MANY = 2  # generations that a chain has at least, for a fall to be seen


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One figure of one run: a line of trials.csv; None where it cannot be computed.

    Attributes:
        question: share or number; empty for the reference.
        share: of real images at the level.
        real: images of the run's training data.
        seed: from 1.
        generation: 0 for a training on real images alone.
        figure: ``mAP50-95``, ``mAP50`` or ``recall of NAME``.
        value: of it.
    """

    question: str
    share: float
    real: int
    seed: int
    generation: int
    figure: str
    value: float | None


def table(trials: Iterable[Trial]) -> str:
    """All runs as CSV; what is absent is an empty field."""
    names = [one.name for one in fields(Trial)]
    rows: list[list[object]] = [[_plain(getattr(trial, name)) for name in names] for trial in trials]
    head: list[object] = [*names]
    return "".join(files.csv_line(row) for row in [head, *rows])


def summary(found: Ratio) -> str:
    """The answer for a terminal."""
    lines = [sentence(found, one) for one in found.answers]
    lines += [warning(found, one) for answer in found.answers for one in answer.contradictions]
    return "\n".join([*lines, *_caveats(found), _cost(found)])


def page(found: Ratio, *, curve: str) -> str:
    """The answer as a page.

    Args:
        found: all of it.
        curve: name of the picture beside the page.
    """
    answers = [sentence(found, one) for one in found.answers]
    lines = ["# How many real images are enough", ""]
    lines += [f"- {one}" for one in [*answers, *_caveats(found), _cost(found)]]
    lines += ["", f"![Loss against real images alone, by the real images of a level]({curve})", ""]
    for answer in found.answers:
        lines += [*_of_question(found, answer), ""]
    lines += ["## How to read this", "", *_method(found), "", "## What was not tested", ""]
    lines += [f"- {one}" for one in untested(found)]
    return "\n".join(lines) + "\n"


def sentence(found: Ratio, answer: Answer) -> str:
    """The answer to one question."""
    smallest, worse = answer.smallest, answer.largest_inferior
    name = "Smallest share" if answer.question == "share" else "Smallest number"
    figures = f"mAP50-95 and in the recall of {_listed(found.rare)}" if found.rare else "mAP50-95"
    if smallest is None:
        if not answer.tried:
            return f"{name} of real images: not known; no level was tried to its end."
        tried = ", ".join(_dose(one.level, answer) for one in answer.tried)
        return (
            f"{name} of real images: NONE below all {found.total} was shown non-inferior in {figures}; tried: {tried}."
            f"{_unfinished(answer)}"
        )
    low = "not bounded below: no level was shown inferior"
    if worse:
        low = f"above {_dose(worse, answer)}, which is shown inferior"
    return (
        f"{name} of real images: {_dose(smallest, answer)} of {found.total} is non-inferior in {figures}. The smallest "
        f"that suffices is at most that, and {low} ({1 - 2 * found.alpha:.0%} interval).{_unfinished(answer)}"
    )


def warning(found: Ratio, one: Contradiction) -> str:
    """A contradiction to monotony."""
    return (
        f"WARNING: {one.figure} is lower by {one.loss:.3f} at the share {one.higher:.3g} than at {one.lower:.3g} "
        f"(p = {one.p_value:.2g}, at {found.alpha:g}): a larger share did worse, so that the search may have gone "
        "wrong. Try more levels with --shares."
    )


def untested(found: Ratio) -> list[str]:
    """What the answer says nothing of."""
    lines = [
        f"Recall of the rare class {name}: {boxes} test boxes, wanted {found.needed} or more for a loss of "
        f"{found.recall_margin:g} to be ruled out."
        for name, boxes in found.untestable.items()
    ]
    for answer in found.answers:
        tried = [one.level for one in answer.tried]
        left = ", ".join(_dose(one, answer) for one in answer.levels if one not in tried)
        if left:
            lines.append(f"Question {answer.question}: the levels {left}. What is said of them follows from monotony.")
        if answer.levels:
            least = _dose(answer.levels[-1], answer)
            lines.append(f"Question {answer.question}: anything under {least}, or between the levels.")
    others = f"Other generators than {found.generator}, other labels than `{found.labels}`, other policies than"
    return [
        *lines,
        f"Chains of more than {_generations(found)}: what is lost slowly is lost later.",
        f"{others} {found.policy}.",
        f"Other sizes of the training data than {found.total} images, another detector, more training steps.",
        "Classes that are not rare, each by itself: they count in mAP50-95 only.",
        "Other test images: losses are those on images such as the test split has.",
    ]


def _of_question(found: Ratio, answer: Answer) -> list[str]:
    title, what = ("## The share", _SHARE) if answer.question == "share" else ("## The number", _NUMBER)
    head = [title, "", what.format(total=found.total, policy=found.policy), ""]
    if not answer.tried:
        return [*head, "No level was tried to its end."]
    rules = ["---" if one in _LEFT else "---:" for one in _COLUMNS]
    lines = [*head, f"| {' | '.join(_COLUMNS)} |", f"| {' | '.join(rules)} |"]
    for one in sorted(answer.tried, key=lambda one: -one.level.share):
        lines += [_row(one, answer, figure, first=not number) for number, figure in enumerate(one.judgement.figures)]
    lines += ["", *(f"- {_dose(one.level, answer)}: {one.judgement.why}." for one in answer.tried)]
    lines += [
        f"- {_dose(one.level, answer)} without any synthetic image: mAP50-95 {_shown(one.alone[0].value)}, a loss of "
        f"{_shown(one.alone[0].loss)} ({_span(one.alone[0])})."
        for one in answer.tried
        if one.alone
    ]
    if answer.contradictions:
        return [*lines, *(f"- {warning(found, one)}" for one in answer.contradictions)]
    if answer.pairs:
        lines.append(f"- Pairs of levels checked for monotony: {answer.pairs}. None speaks against it; no proof of it.")
    return lines


def _row(one: LevelFound, answer: Answer, figure: FigureFound, *, first: bool) -> str:
    head = [_dose(one.level, answer), one.judgement.outcome, str(one.judgement.seeds), f"{one.alpha:.2g}"]
    mark = " ✗" if figure.shown else "" if figure.excluded else " ?"
    values = [_shown(value) for value in (figure.reference, figure.value, figure.loss)]
    cells = [*(head if first else [""] * len(head)), figure.figure + mark, *values, _span(figure), f"{figure.margin:g}"]
    return f"| {' | '.join(cells)} |"


def _method(found: Ratio) -> list[str]:
    tests = max((ratio_search.most_tests(len(one.levels)) for one in found.answers), default=0)
    reference = (
        f"Each level is held against a training on all {found.total} real images with the same seeds and steps, on the "
        f"same test images, after {_generations(found)}. *Non-inferior*: a loss of {found.map_margin:g} of mAP50-95, "
        f"and of {found.recall_margin:g} of recall, is ruled out in every figure. *Inferior*: one is shown. *Open*: "
        "neither; `?` marks what was not ruled out, ✗ what was shown."
    )
    error = (
        f"The chance that a level is called non-inferior though it is not is at most {found.alpha:g} for each "
        f"question, over all its levels and looks. At most {tests} levels of a question are tried, each in the middle "
        "of what is left."
    )
    lines = [
        reference,
        error,
        f"The intervals are at {1 - 2 * found.alpha:.0%}, each by itself; they hold whenever a level was ended.",
        "Assumed: if a number of real images suffices, every larger one does.",
    ]
    if found.plans:
        asked = f"These data were asked before with other settings ({len(found.plans)}): {'; '.join(found.plans)}."
        lines.append(f"{asked} Whoever asks until an answer pleases has no error probability.")
    return [f"- {one}" for one in lines]


def _caveats(found: Ratio) -> list[str]:
    lines = [
        f"NOT TESTED: the rare class {name} has {boxes} test boxes, a test needs {found.needed}."
        for name, boxes in found.untestable.items()
    ]
    if found.stopped:
        lines.append(f"Stopped before the end: {found.stopped}. The same command goes on.")
    if found.generations < _MANY:
        lines.append("One generation is no chain: what is lost from generation to generation is not in this answer.")
    return lines


def _cost(found: Ratio) -> str:
    cost = found.cost
    return (
        f"{cost.trainings} trainings, {cost.seconds / 60:.0f} minutes together ({cost.new} of them in this call); the "
        f"whole grid with all seeds takes {cost.grid}."
    )


def _unfinished(answer: Answer) -> str:
    return "" if answer.finished else " The search is not finished."


def _generations(found: Ratio) -> str:
    return "one generation" if found.generations == 1 else f"{found.generations} generations"


def _dose(level: Level, answer: Answer) -> str:
    return f"{level.share:.3g} ({level.real} images)" if answer.question == "share" else f"{level.real}"


def _plain(value: object) -> object:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else value


def _shown(value: float | None) -> str:
    return _NONE if value is None else f"{value:.3f}"


def _span(figure: FigureFound) -> str:
    return _NONE if figure.low is None or figure.high is None else f"{figure.low:.3f} to {figure.high:.3f}"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
