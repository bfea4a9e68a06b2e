"""The procedure as a whole on simulated detectors: how often it errs, what it costs, and when a level ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from pipeline.core import ratio_judging, ratio_search
from pipeline.core.comparisons import Side
from pipeline.core.errors import UserError
from pipeline.core.ratio_judging import Judgement, Rule
from pipeline.core.ratio_search import Tried

LEVELS = 7
RULE = Rule(min_seeds=2, max_seeds=4, map_margin=0.05, recall_margin=0.1, alpha=0.1, levels=LEVELS)
IMAGES, REPLICATES = 200, 60
Losses = Sequence[float]
Numbers = npt.NDArray[np.float64]


@dataclass(slots=True)
class World:
    """Detectors whose true losses are known, on test images whose luck all of them share.

    Attributes:
        losses: of mAP50-95 at each level, from the highest share down; twice that of recall.
        rng: of all chance.
        luck: standard error of a loss over test images.
        trained: standard deviation between trainings.
        boxes: of the rare class, each on an image of its own.
        trainings: that were asked for, of levels.
    """

    losses: Losses
    rng: np.random.Generator
    luck: float = 0.006
    trained: float = 0.012
    boxes: int = 0
    trainings: int = 0

    def search(self, rule: Rule = RULE) -> list[Tried]:
        """Search as the command does."""
        offsets = self.rng.normal(size=len(self.losses)) * self.luck
        hard = self.rng.random(self.boxes)  # how easy a box is, for every detector
        references = [self._side(0.0, 0.0, hard) for _ in range(rule.max_seeds)]
        rare = {1: "rare"} if self.boxes else {}
        tried: list[Tried] = []
        while (found := ratio_search.following(len(self.losses), tried, alpha=rule.alpha)) is not None:
            loss = self.losses[found.position]

            def pair(seed: int, loss: float = loss, offset: float = offsets[found.position]) -> tuple[Side, Side]:
                self.trainings += 1
                return references[seed - 1], self._side(loss, offset, hard)

            judgement, *_ = ratio_judging.judge_level(pair, rare, rule, alpha=found.alpha)
            tried.append(Tried(position=found.position, outcome=judgement.outcome))
        return tried

    def _side(self, loss: float, offset: float, hard: Numbers) -> Side:
        value = 0.7 - loss - offset + self.trained * self.rng.normal()
        drawn = value + self.luck / np.sqrt(2) * np.random.default_rng(int(1e6 * (1 + loss))).normal(size=REPLICATES)
        skill = 0.9 - 2 * loss + 0.02 * self.rng.normal()
        hit = (0.8 * hard + 0.2 * self.rng.random(self.boxes) < skill)[:, None]
        return side(value, drawn, hit)


def side(
    value: float,
    drawn: np.ndarray[tuple[int], np.dtype[np.float64]],
    hit: np.ndarray[tuple[int, int], np.dtype[np.bool_]],
) -> Side:
    """One training, with the boxes of one rare class."""
    count = len(hit)
    names = {"image_id": [f"{n:04}" for n in range(count)], "box": range(count), "class_id": np.ones(count, dtype=int)}
    return Side(name="a", boxes=pd.DataFrame(names), found=hit, replicates=drawn[:, None], maps=(value,), images=IMAGES)


def errs(tried: Sequence[Tried], losses: Losses) -> bool:
    """Whether a level whose loss is the margin or more was called non-inferior."""
    return any(one.outcome == "non-inferior" and losses[one.position] >= RULE.map_margin - 1e-9 for one in tried)


@pytest.mark.parametrize(
    ("luck", "trained"),
    [pytest.param(0.0005, 0.012, id="trainings differ"), pytest.param(0.006, 0.012, id="both"),
     pytest.param(0.012, 0.002, id="images differ")],
)  # fmt: skip
@pytest.mark.parametrize("good", [0, 3], ids=["no level suffices", "some suffice"])
def test_error_rate(good: int, luck: float, trained: float) -> None:
    """A level that loses just the margin is called non-inferior with alpha at most, over the whole search."""
    losses = [0.0] * good + [RULE.map_margin] * (LEVELS - good)
    rng = np.random.default_rng(3)
    runs = 100
    wrong = sum(errs(World(losses, rng, luck=luck, trained=trained).search(), losses) for _ in range(runs))
    assert wrong / runs <= RULE.alpha + 2 * np.sqrt(RULE.alpha * (1 - RULE.alpha) / runs)


@pytest.mark.slow
@pytest.mark.parametrize("good", [0, 2, 5])
def test_error_rate_of_rare_classes(good: int) -> None:
    """The same where a rare class loses just its margin while mAP50-95 loses nothing that matters."""
    rule = replace(RULE, map_margin=0.4)
    losses = [0.0] * good + [RULE.recall_margin / 2] * (LEVELS - good)  # recall loses twice that
    rng = np.random.default_rng(4)
    runs = 400
    wrong = sum(errs(World(losses, rng, boxes=150).search(rule), losses) for _ in range(runs))
    assert wrong / runs <= RULE.alpha + 2 * np.sqrt(RULE.alpha * (1 - RULE.alpha) / runs)


def test_the_answer_and_its_cost() -> None:
    """On a response with a knee the level above the knee is found, with a fraction of the grid's trainings."""
    losses = [0.0, 0.0, 0.0, 0.0, 0.12, 0.2, 0.3]
    rng, runs, found, spent = np.random.default_rng(5), 40, 0, 0
    for _ in range(runs):
        world = World(losses, rng)
        found += ratio_search.smallest(world.search()) == 3
        spent += world.trainings
    assert found / runs > 0.8
    assert spent / runs < 0.5 * LEVELS * RULE.max_seeds


def judged(
    losses: Mapping[int, float], *, rule: Rule = RULE, boxes: tuple[int, int, int] = (0, 0, 0)
) -> tuple[Judgement, list[int]]:
    """Judge one level whose trainings lose this much with each seed; of the boxes some are lost, some gained."""
    asked: list[int] = []
    total, lost, gained = boxes
    before = np.arange(total) >= gained
    after = np.arange(total) < total - lost
    noise = 0.003 * np.random.default_rng(1).normal(size=REPLICATES)
    other = 0.003 * np.random.default_rng(2).normal(size=REPLICATES)

    def pair(seed: int) -> tuple[Side, Side]:
        asked.append(seed)
        value = 0.7 - losses[seed]
        return side(0.7, 0.7 + noise, before[:, None]), side(value, value + other, after[:, None])

    return ratio_judging.judge_level(pair, {1: "rare"} if total else {}, rule, alpha=0.1)[0], asked


@pytest.mark.parametrize(
    ("losses", "outcome", "seeds", "why"),
    [
        pytest.param((0.0, 0.001), "non-inferior", 2, "ruled out in every figure", id="clear after two"),
        pytest.param((0.4, 0.401), "inferior", 2, "is shown: mAP50-95", id="clearly worse"),
        pytest.param((0.045, 0.055), "open", 2, "given up after 2 seeds", id="not worth another seed"),
        pytest.param((0.0, 0.05, 0.01, 0.05), "open", 4, "neither ruled out nor shown", id="never clear"),
    ],
)
def test_when_a_level_ends(losses: tuple[float, ...], outcome: str, seeds: int, why: str) -> None:
    """A level ends when its verdict is clear, when it cannot become clear, or with the last seed."""
    found, asked = judged(dict(enumerate(losses, start=1)))
    assert (found.outcome, found.seeds, asked) == (outcome, seeds, list(range(1, seeds + 1)))
    assert why in found.why


@pytest.mark.parametrize(
    ("boxes", "outcome"),
    [
        pytest.param((200, 0, 0), "non-inferior", id="none is lost"),
        pytest.param((200, 100, 0), "inferior", id="half are lost"),
        pytest.param((9, 0, 0), "open", id="too few boxes, though none is lost"),
    ],
)
def test_a_rare_class_decides(boxes: tuple[int, int, int], outcome: str) -> None:
    """Where mAP50-95 loses nothing, the rare class decides; nine boxes rule nothing out."""
    found, _ = judged({1: 0.0, 2: 0.001, 3: 0.0, 4: 0.001}, boxes=boxes)
    assert found.outcome == outcome
    assert found.figures[1].samples == boxes[0]


def test_boxes_needed() -> None:
    """The number is the smallest with which a class without a lost box is non-inferior."""
    needed = ratio_judging.boxes_needed(RULE, alpha=0.1)
    steady = dict.fromkeys(range(1, 5), 0.0)
    assert judged(steady, boxes=(needed, 0, 0))[0].outcome == "non-inferior"
    assert judged(steady, boxes=(needed - 1, 0, 0))[0].outcome == "open"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"map_margin": 0.0}, "the margin of map is 0, wanted a number in"),
        ({"recall_margin": -0.1}, "the margin of recall is -0.1"),
        ({"alpha": 0.5}, "alpha is 0.5"),
        ({"min_seeds": 1}, "1 to 4 seeds, wanted 2 or more"),
        ({"max_seeds": 1}, "2 to 1 seeds"),
    ],
    ids=["no margin", "a margin under 0", "alpha", "one seed", "fewer than the least"],
)
def test_no_rule(change: dict[str, float], said: str) -> None:
    """What no test can be made of is refused, and it is said what to set."""
    with pytest.raises(UserError, match=said):
        replace(RULE, **change)  # type: ignore[arg-type]
