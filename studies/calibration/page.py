"""The calibration's page, `docs/calibration.md`: every number on it comes from the result."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline.core import schedules
from pipeline.core.errors import UserError
from pipeline.core.sections import Gate
from studies.calibration import draws, judging, simulation, wording
from studies.calibration.judging import AgainstBest
from studies.calibration.simulation import BOXES
from studies.calibration.summary import WITHIN, Result, Row, Share

PATH = Path("docs/calibration.md")
GOAL = {"false alarms": 0.05, "false HEALTHY": 0.05, "caught": 0.9}


def render(result: Result) -> str:
    """The page, as Markdown."""
    own = simulation.confirm_at(float(result.gate["level"]))
    parts = [
        _head(result, own),
        _goals(result, own),
        _alarms(result),
        _caught(result, own),
        _verdicts(result, own),
        _levels(result),
        _seeds(result, own),
        _weaker(result, own),
        _best(result, own),
        _method(result),
    ]
    blocks = "\n\n".join(parts).split("\n\n")
    return "\n\n".join(wording.wrapped(block) for block in blocks) + "\n"


def recommended(result: Result) -> float | None:
    """The loosest level that the gate takes and whose false alarms are within alpha for every size, intervals included.

    None if there is none.
    """
    alpha = float(result.gate["alpha"])
    fitting = [
        level
        for level in _levels_of(result)
        if _is_taken(result, level)
        and all(result.find(simulation.confirm_at(level), boxes).alarm.high <= alpha for boxes in BOXES)
    ]
    return max(fitting, default=None)


def _levels_of(result: Result) -> tuple[float, ...]:
    return simulation.levels(float(result.gate["level"]))


def _is_taken(result: Result, level: float) -> bool:
    """Whether the gate's own budget allows a level of confirmation."""
    gate = Gate(**{**result.gate, "level": level, "schedule": "confirm", "max_duplicates": 1.0})  # type: ignore[arg-type]
    try:
        schedules.require_budget(gate)
    except UserError:
        return False
    return True


def _head(result: Result, own: str) -> str:
    return f"""# How often the gate is wrong

This page is written by `{result.command}` from `studies/calibration/result.json`; do not edit it by hand.

A gate that speaks every night for a month has to be tried for a month, thousands of times. Here
{result.schedules:,} healthy months of {draws.NIGHTS} nights are judged by the gate's own code for each number of test
boxes, and as many with each true loss. They are put together out of {result.table["trainings"]:g} real trainings of the
default project's base run, which differ in nothing but the seed: what the gate sees on a healthy night is the luck of
training and of the test images, as they really are.

Shares are followed by their 95 % interval. **The rule in use** is `{own}` (`gate.schedule`, `gate.level`), with
`train.seeds: 1` unless a table says otherwise. A loss is **sudden** (there in full from a random night on) or **slow**
(grows evenly over the {draws.NIGHTS} nights). The margin of recall is
{100 * float(result.gate["recall_margin"]):g} points."""


def _goals(result: Result, own: str) -> str:
    healthy = [result.find(own, boxes) for boxes in BOXES]
    worst = max(healthy, key=lambda row: row.alarm.value)
    false = [
        row
        for row in result.rows
        if row.rule == own and (row.seeds, row.iou, row.against_best) == (1, worst.iou, "confirmed")
    ]
    blind = max((row for row in false if row.false_healthy), key=lambda row: wording.value(row.false_healthy))
    caught = result.find(own, 60, 0.2, "sudden")
    within = caught.within[3] if caught.within else None
    goals = [
        ("false alarms in a healthy month, worst size", "at most", GOAL["false alarms"], worst.alarm, worst),
        ("nights said HEALTHY although the loss is the margin or more, worst case", "at most", GOAL["false HEALTHY"],
         blind.false_healthy, blind),
        ("a sudden loss of 20 points in a class of 60 boxes caught within 3 nights", "at least", GOAL["caught"],
         within, caught),
    ]  # fmt: skip
    rows = []
    for text, side, goal, got, row in goals:
        value = wording.value(got)
        met = value <= goal if side == "at most" else value >= goal
        where = f"{row.boxes} boxes" + (f", {100 * row.points:g} points, {row.pace}" if row.points else "")
        rows.append([text, f"{side} {100 * goal:g} %", wording.share(got), where, "yes" if met else "**no**"])
    return (
        "## The goals\n\n"
        + wording.table(["wanted", "goal", "got", "where", "met"], rows)
        + "\n\n"
        + _wanting(result, own)
    )


def _wanting(result: Result, own: str) -> str:
    """What the data cannot give, and what would."""
    few, some, many = (wording.share(wording.window(result.find(own, boxes, 0.2, "sudden"), 3)) for boxes in BOXES)
    ten = [wording.share(wording.window(result.find(own, boxes, 0.1, "sudden"), 3)) for boxes in BOXES]
    weak_iou = max(row.iou for row in result.rows)
    weak = [max(_weak(result, own, weak_iou, seeds), key=wording.value) for seeds in (1, 3)]
    return (
        f"What the data cannot give: of 20 points lost in a class of {BOXES[0]} boxes, {few} is caught within 3 nights;"
        f" with {BOXES[1]} boxes {some}, with {BOXES[2]} {many}. A loss of 10 points, the margin itself, is caught"
        f" within 3 nights in {ten[0]}, {ten[1]} and {ten[2]}. More test boxes of the class are what helps;"
        " `tailwatch plan` says how many. With a detector that is less sure of its boxes (see below) false alarms"
        f" are up to {wording.share(weak[0])} a month with one training a run;"
        f" with three they are {wording.share(weak[1])}."
    )


def _weak(result: Result, own: str, iou: float, seeds: int) -> list[Share]:
    return [result.find(own, boxes, seeds=seeds, iou=iou).alarm for boxes in BOXES]


def _everyone(result: Result) -> list[str]:
    level = float(result.gate["level"])
    return [simulation.confirm_at(level), *simulation.PLAIN, simulation.FIXED, simulation.UNCORRECTED]


def _alarms(result: Result) -> str:
    rows = [
        [wording.named(rule), *(wording.share(result.find(rule, boxes).alarm) for boxes in BOXES)]
        for rule in _everyone(result)
    ]
    return (
        "## False alarms\n\nHealthy months in which at least one night is called COLLAPSING.\n\n"
        + wording.table(["rule", *(f"{boxes} boxes" for boxes in BOXES)], rows)
        + f"\n\nThe fixed margin fails a night when mAP50-95 is more than {judging.MAP_DROP:g} under the base's, as"
        f" checks in CI do. The uncorrected test is McNemar's on each rare class and night, at {judging.UNCORRECTED:g}."
        " `none` is the gate with Holm's correction within a night and none between nights."
    )


def _caught(result: Result, own: str) -> str:
    rows = []
    for boxes in BOXES:
        for loss in simulation.LOSSES:
            row = result.find(own, boxes, loss.points, loss.pace)
            windows = [wording.share(row.within[nights]) if row.within else "-" for nights in WITHIN]
            rows.append([str(boxes), f"{100 * loss.points:g}", loss.pace, *windows, wording.share(row.alarm)])
    others = [
        [
            wording.named(rule),
            *(wording.share(wording.window(result.find(rule, boxes, 0.2, "sudden"), 3)) for boxes in BOXES),
        ]
        for rule in _everyone(result)
    ]
    return (
        "## Losses caught\n\nMonths in which the rule in use says COLLAPSING within so many nights: of a sudden loss,"
        " from the night that brings it; of a slow one, from the night on which it reaches the margin (an alarm on the"
        " way there counts too). The last column: by the end of the month. A loss of 5 points is under the margin;"
        " nothing has to be said of it.\n\n"
        + wording.table(["boxes", "points", "pace", *(f"within {n}" for n in WITHIN), "at all"], rows)
        + "\n\nThe same beside the other rules, for a sudden loss of 20 points, within 3 nights; read it with their"
        " false alarms.\n\n" + wording.table(["rule", *(f"{boxes} boxes" for boxes in BOXES)], others)
    )


def _verdicts(result: Result, own: str) -> str:
    rows = []
    for boxes in BOXES:
        for points, pace in [(0.0, ""), *((loss.points, loss.pace) for loss in simulation.LOSSES)]:
            row = result.find(own, boxes, points, pace)
            rows.append([
                str(boxes), f"{100 * points:g}" if points else "none", pace or "-", wording.share(row.healthy),
                wording.share(row.inconclusive), wording.share(row.false_healthy),
                wording.share(row.false_healthy_soon),
            ])  # fmt: skip
    head = ["boxes", "points", "pace", "HEALTHY", "INCONCLUSIVE", "false HEALTHY", "false HEALTHY in 3 nights"]
    return (
        "## HEALTHY and INCONCLUSIVE\n\nShares of nights (of those with the loss, where there is one). False HEALTHY:"
        " of the nights whose true loss is the margin or more, those said HEALTHY; the last column: months in which one"
        " of the first three such nights is said HEALTHY.\n\n" + wording.table(head, rows)
    )


def _levels(result: Result) -> str:
    rows = []
    for level in _levels_of(result):
        rule = simulation.confirm_at(level)
        alarms = [wording.share(result.find(rule, boxes).alarm) for boxes in BOXES]
        caught = [wording.share(wording.window(result.find(rule, boxes, 0.2, "sudden"), 3)) for boxes in BOXES]
        rows.append([f"{level:g}", *alarms, *caught])
    head = ["level", *(f"false alarms, {n} boxes" for n in BOXES), *(f"caught, {n} boxes" for n in BOXES)]
    best = recommended(result)
    refused = [f"{level:g}" for level in _levels_of(result) if not _is_taken(result, level)]
    alpha = 100 * float(result.gate["alpha"])
    advice = (
        f"No level keeps the false alarms within {alpha:g} % with the whole interval."
        if best is None
        else f"The loosest level that the gate takes and that keeps the false alarms within {alpha:g} %, the whole"
        f" interval included, is **{best:g}**."
    )
    advice += f" {' and '.join(refused)}: refused by the gate, as two such levels a night overdraw its budget." * bool(
        refused
    )
    return (
        "## The level of confirmation\n\nFalse alarms in a healthy month, and sudden losses of 20 points caught within"
        f" 3 nights, by `gate.level`.\n\n{wording.table(head, rows)}\n\n{advice}"
    )


def _parts(rows: Sequence[tuple[str, Row, Row, Row]]) -> str:
    table = [
        [name, str(healthy.boxes), wording.share(healthy.alarm), wording.share(wording.window(ten, 3)),
         wording.share(wording.window(twenty, 3)),
         wording.share(healthy.inconclusive), wording.share(ten.false_healthy)]
        for name, healthy, ten, twenty in rows
    ]  # fmt: skip
    head = [
        "", "boxes", "false alarms", "10 points within 3", "20 points within 3", "INCONCLUSIVE when healthy",
        "false HEALTHY, 10 points",
    ]  # fmt: skip
    return wording.table(head, table)


def _seeds(result: Result, own: str) -> str:
    rows = [
        (
            f"{seeds} training{'s' if seeds > 1 else ''}",
            result.find(own, boxes, seeds=seeds),
            result.find(own, boxes, 0.1, "sudden", seeds=seeds),
            result.find(own, boxes, 0.2, "sudden", seeds=seeds),
        )
        for boxes in BOXES
        for seeds in (1, 2, 3)
    ]
    return (
        "## More trainings a run\n\nThe rule in use with `train.seeds` of 1, 2 and 3"
        f" ({result.schedules:,} months of each kind for 1, {result.fewer:,} for more). With 2, the variance between"
        " trainings is estimated from 2 degrees of freedom, which leaves more nights open than one training that says"
        " nothing of it; with 3 fewer are.\n\n" + _parts(rows)
    )


def _ends(values: Sequence[float]) -> tuple[float, float]:
    return min(values), max(values)


def _weaker(result: Result, own: str) -> str:
    ious = sorted({row.iou for row in result.rows})
    names = [name for name in result.table if name.startswith("recall of ") and name.endswith(f"IoU {ious[-1]:g}")]
    recalls = " to ".join(f"{one:g}" for one in _ends([float(result.table[name]) for name in names]))
    rows = [
        (
            f"IoU {iou:g}" + (f", {seeds} trainings" if seeds > 1 else ""),
            result.find(own, boxes, iou=iou, seeds=seeds),
            result.find(own, boxes, 0.1, "sudden", iou=iou, seeds=seeds),
            result.find(own, boxes, 0.2, "sudden", iou=iou, seeds=seeds),
        )
        for boxes in BOXES
        for iou, seeds in ((ious[0], 1), (ious[-1], 1), (ious[-1], 3))
    ]
    return (
        "## A weaker detector\n\nThe less surely a detector finds a class, the more boxes change hands when it is"
        f" trained again. Here the same predictions count as found from IoU {ious[-1]:g} on: recall of the rare classes"
        f" is {recalls} ({result.fewer:,} months of each kind). The budget of false alarms does not hold for"
        " one training a run there: what a training loses by chance reaches the margin. Three a run put the variance"
        " between trainings into every p value.\n\n" + _parts(rows)
    )


def _best(result: Result, own: str) -> str:
    ways: dict[str, AgainstBest] = {
        "the base's second training stands in (in use)": "confirmed",
        "its first training again": "unconfirmed",
        "not held against it": "never",
    }
    rows = [
        (
            name,
            result.find(own, boxes, against_best=way),
            result.find(own, boxes, 0.1, "sudden", against_best=way),
            result.find(own, boxes, 0.2, "sudden", against_best=way),
        )
        for boxes in BOXES
        for name, way in ways.items()
    ]
    return (
        "## The best run so far\n\nA run is held against the base and against the best run so far. The best of many is"
        " one that was lucky, and the longer the month, the luckier. Trained once, it would make healthy nights look"
        " bad twice over; so the base's second training stands in for its own. Beside that: no stand-in, and no"
        f" comparison with the best at all ({result.fewer:,} months of each kind).\n\n" + _parts(rows)
    )


def _method(result: Result) -> str:
    facts = result.table
    recalls = [name for name in facts if name.startswith("recall of ") and "between" not in name]
    rows = [[name, f"{facts[name]:g}", f"{float(facts[f'{name}, between trainings']):g}"] for name in recalls]
    gate = ", ".join(f"`{name}` {one if isinstance(one, str) else f'{one:g}'}" for name, one in result.gate.items())
    checked = {name.removeprefix("check: "): one for name, one in facts.items() if name.startswith("check: ")}
    return f"""## How it is done

**Match table** (`studies/calibration/matches.npz`, by `{facts["made by"]}`): {facts["trainings"]:g} trainings of the
base run, each tested on {facts["images"]:g} pages at its own operating point, chosen on `val`. The first pages are the
project's own test split; the others are composed from the same test digits in the same way, so that a split need not
repeat its images. mAP50-95 is {facts["mAP50-95"]}, with a standard deviation between trainings of
{facts["mAP50-95, between trainings"]}.

{wording.table(["figure", "mean", "standard deviation between trainings"], rows)}

**A month.** {draws.PAGES} pages are drawn with repeats, so that one rare class, each in turn, has 20, 60 or 200 boxes;
a repeated page counts as another image. One training is the base run, another one its second training; the nights are
others, none of which comes twice before all have come. A second training is one that the night is not.

**A loss** of L points takes found boxes away from every later training, second ones included. A box is lost with a
chance that adds up to L over the class: half of it ({draws.HARDER:g}) is the same for all boxes, half grows with how
often the other trainings miss the box. Half of the boxes ({draws.SHARED:g}) share one fate in all trainings of the
month; for the other half it is drawn anew. AP of the class falls in proportion to the found boxes lost, and mAP with
it, on test and on `val`.

**mAP on a split** is the sum of what its pages add to each class's AP, which is exact on the whole pool and a first
order on a split. Held against mAP from the predictions themselves on {checked.get("splits", 0):g} splits: the
difference of two trainings correlates at {checked.get("correlation", 0):g}, with a slope of
{checked.get("slope", 0):g} and a rest of {checked.get("rest", 0):g} beside a standard deviation of
{checked.get("spread", 0):g}. The error that the gate is given is {checked.get("error_ratio", 0):g} times that of real
bootstrap replicates.

**What it cannot say.** Healthy nights here repeat the base's training data; nights of real synthetic data also differ
in that. There are {facts["trainings"]:g} trainings: with several a run, a month meets some of them again. The
classes are those of the default project. The months are drawn from one pool, so the intervals are those of the
simulation, and say nothing of other projects.

Gate: {gate}. Seed {result.seed}. Versions: {", ".join(f"{name} {one}" for name, one in result.versions.items())}."""
