"""The calibration: months that are drawn and judged, the committed figures, and the page that shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from pipeline.core import evaluation, gating, metrics, params, trends
from pipeline.core.errors import UserError
from pipeline.core.gating import Evidence
from pipeline.core.metrics import Detections, Truth
from pipeline.core.sections import Gate
from studies.calibration import checks, draws, facts, judging, matches, page, running, shares, simulation, summary
from studies.calibration.draws import NIGHTS, Loss, Split
from studies.calibration.judging import AgainstBest, Memory, Month
from studies.calibration.matches import Bools, MatchTable
from studies.calibration.simulation import Job, Judged, Rule

SUDDEN = Loss(points=0.2, pace="sudden")


@pytest.fixture(scope="module")
def gate() -> Gate:
    """The project's gate."""
    return params.load().gate


@pytest.fixture(scope="module")
def table() -> MatchTable:
    """The committed match table."""
    return matches.read()


@pytest.fixture(scope="module")
def result() -> summary.Result:
    """The committed result."""
    return summary.read()


def make_table(*, trainings: int = 6, images: int = 200, found: Bools | None = None) -> MatchTable:
    """A small pool: two boxes an image, on every other image one of them of a rare class; all trainings alike."""
    image = np.repeat(np.arange(images), 2)
    class_id = np.tile([0, 1, 0, 0], images // 2)
    hits = np.tile(np.arange(2 * images) % 40 != 1, (trainings, 1)) if found is None else found
    rare = np.zeros((trainings, images))
    rare[:, ::2] = hits[:, class_id == 1] * 0.8
    return MatchTable(
        image=image,
        class_id=class_id,
        images=images,
        classes=("common", "rare"),
        rare=(1,),
        found={0.5: hits},
        precision=np.stack([np.full(trainings, 0.8), 2 * rare.mean(axis=1)], axis=1),
        shares=rare[:, :, None],
        common=np.zeros((trainings, images)),
        val=np.full(trainings, 0.8),
        meta={},
    )


def make_job(gate: Gate, **changes: object) -> Job:
    """A few months of 60 boxes, by the project's rule."""
    job = Job(
        boxes=60,
        losses=(SUDDEN,),
        seeds=1,
        rules=(Rule(name="own", gate=gate),),
        simple=True,
        against_best="confirmed",
        iou=0.5,
        start=0,
        count=3,
        seed=1,
    )
    return replace(job, **changes)  # type: ignore[arg-type]


def month_of(table: MatchTable, *, seeds: int = 1, seed: int = 0) -> Month:
    """A healthy month."""
    source = np.random.default_rng(seed)
    split = draws.draw_split(table, 0, boxes=60, rng=source)
    cast = draws.draw_cast(table.trainings, seeds=seeds, rng=source)
    return Month(split=split, cast=cast, seen=draws.see(table, split, judging.order(cast), iou=0.5))


def codes_of(judged: list[Judged], rule: str, loss: Loss | None) -> list[Judged]:
    """What one rule said where a loss, or none, was laid over."""
    return [one for one in judged if one.rule == rule and one.loss == loss]


class TestMonths:
    """What the simulation does to whole months."""

    def test_no_alarm_without_a_difference(self, gate: Gate) -> None:
        """Trainings that are all alike never raise an alarm, whoever judges."""
        judged = list(simulation.run(make_job(gate), make_table(), Memory()))
        healthy = [one for one in judged if one.loss is None]
        assert {one.rule for one in healthy} == {"own", simulation.FIXED, simulation.UNCORRECTED}
        assert not any((one.codes == 2).any() for one in healthy)

    def test_identical_trainings_are_healthy(self, gate: Gate) -> None:
        """With 60 boxes and not one lost, every night is HEALTHY."""
        judged = simulation.run(make_job(gate), make_table(), Memory())
        assert all((one.codes == 0).all() for one in codes_of(list(judged), "own", None))

    @pytest.mark.parametrize("schedule", ["confirm", "obrien-fleming", "uniform", "none"])
    def test_an_enormous_loss_is_seen_in_its_first_night(self, gate: Gate, schedule: str) -> None:
        """Eighty points lost make COLLAPSING from the onset on, and not a night before."""
        rule = Rule(name="own", gate=replace(gate, schedule=schedule))  # type: ignore[arg-type]
        loss = Loss(points=0.8, pace="sudden")
        job = make_job(gate, losses=(loss,), rules=(rule,), simple=False)
        for one in codes_of(list(simulation.run(job, make_table(), Memory())), "own", loss):
            assert (one.codes[: one.onset - 1] == 0).all()
            # O'Brien-Fleming's first nights have next to no level
            assert (one.codes[max(one.onset - 1, 5 if schedule == "obrien-fleming" else 0) :] == 2).all()

    def test_a_month_is_the_same_again(self, gate: Gate, table: MatchTable) -> None:
        """A schedule depends on its number and the seed only, not on the job that it is in."""
        together = list(simulation.run(make_job(gate, count=2), table, Memory()))
        alone = list(simulation.run(make_job(gate, start=1, count=1), table, Memory()))
        again = together[len(together) // 2 :]
        assert [(one.rule, one.onset, one.codes.tolist()) for one in alone] == [
            (one.rule, one.onset, one.codes.tolist()) for one in again
        ]

    @pytest.mark.parametrize("against_best", ["confirmed", "unconfirmed", "never"])
    def test_ways_to_hold_against_the_best(self, gate: Gate, table: MatchTable, against_best: AgainstBest) -> None:
        """However the best run is held against, a month has a verdict a night, and a large loss is seen in it."""
        loss = Loss(points=0.6, pace="sudden")
        job = make_job(gate, against_best=against_best, losses=(loss,), simple=False, count=1)
        for one in codes_of(list(simulation.run(job, table, Memory())), "own", loss):
            assert one.codes.shape == (NIGHTS,)
            assert (one.codes[one.onset - 1 :] == 2).all()


class TestJudging:
    """The gate's own code is asked, and its answers are remembered rightly."""

    @pytest.mark.parametrize("seeds", [1, 2])
    def test_remembered_evidence_is_that_of_the_gate(self, gate: Gate, table: MatchTable, seeds: int) -> None:
        """What is remembered by counts is, for every night and class, what the gate says of the boxes themselves."""
        memory = Memory()
        for seed in range(3):
            month = month_of(table, seeds=seeds, seed=seed)
            pairs = [(month.base(), month.run(night)) for night in range(NIGHTS)]
            pairs += [(month.run(night), month.run(night - 1)) for night in range(1, NIGHTS)]
            for evidence, (base, run) in zip(judging._families(month, pairs, gate, memory), pairs, strict=True):
                for kind, found in enumerate(evidence[1:]):
                    chosen = month.split.kind == kind
                    assert found == gating.recall(
                        month.seen.found[base][:, chosen].T,
                        month.seen.found[run][:, chosen].T,
                        month.split.image[chosen],
                        margin=gate.recall_margin,
                        alpha=gate.alpha,
                    )
        assert 0 < len(memory.recalls) < 3 * 59 * 3

    def test_other_boxes_are_another_memory(self) -> None:
        """The same boxes found among more boxes of the same images are not taken for the same evidence."""
        hits = np.ones((1, 1, 8), dtype=np.bool_)
        more = np.concatenate([hits, np.zeros((1, 1, 4), dtype=np.bool_)], axis=2)
        images = np.arange(12) % 8
        assert judging._keys(hits, hits, images[:8]) != judging._keys(more, more, images)

    def test_only_nights_that_look_bad_are_trained_again(
        self, gate: Gate, table: MatchTable, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A gate sees a second training where it asks for one itself, not where a looser one beside it does."""
        decide, trained = gating.decide, dict.fromkeys((0.4, 1e-6), 0)

        def watched(first: Sequence[Evidence], own: Gate, **given: Any) -> gating.Decision:
            bad = gating.screen(first, own, night=given["night"]).suspicious
            assert (given["second"] is not None) == (given["both"] is not None) == bad
            trained[own.level] += bad
            return decide(first, own, **given)

        monkeypatch.setattr(gating, "decide", watched)
        gates = [replace(gate, level=level, recall_margin=0.03) for level in trained]
        for seed in range(3):
            judging.judge(month_of(table, seed=seed), gates, Memory())
        assert trained[0.4] > trained[1e-6]

    def test_never_is_as_if_the_base_were_best(self, gate: Gate, table: MatchTable) -> None:
        """Not to hold a run against the best one is to have the base for the best; the best makes more nights bad."""
        strict = replace(gate, recall_margin=0.03)
        alarms = dict.fromkeys(("never", "confirmed", "unconfirmed"), 0)
        for seed in range(6):
            month = month_of(table, seed=seed)
            val = month.seen.val.copy()
            val[0] = 1.0
            base_best = replace(month, seen=replace(month.seen, val=val))
            never = judging.judge(month, [strict], Memory(), against_best="never")[0]
            assert never.tolist() == judging.judge(base_best, [strict], Memory())[0].tolist()
            for way in get_args(AgainstBest):
                alarms[way] += int((judging.judge(month, [strict], Memory(), against_best=way)[0] == 2).sum())
        assert alarms["never"] < alarms["confirmed"] < alarms["unconfirmed"]

    @pytest.mark.parametrize("alone", [False, True], ids=["shared level", "night alone"])
    def test_remembered_trends_are_those_of_the_gate(self, gate: Gate, *, alone: bool) -> None:
        """Whether a figure falls is what the gate says, night by night, whatever is remembered; ties are frequent."""
        own = replace(gate, schedule="none" if alone else "uniform")
        source, memory = np.random.default_rng(0), Memory()
        for _ in range(60):
            values = 0.9 - np.round(np.arange(NIGHTS + 1) * 0.15 + source.normal(0, 0.5, NIGHTS + 1)) / 50
            found = judging._falls(values, own, memory, figures=4, margin=0.05, alone=alone)
            said = [
                trends.fall(values[: night + 2].tolist(), own, figures=4, margin=0.05).falling
                for night in range(NIGHTS)
            ]
            assert found.tolist() == said

    def test_the_best_run_is_chosen_on_val(self, table: MatchTable) -> None:
        """The best run so far is that of the highest mAP on val before the night, of equals the oldest."""
        month = month_of(table)
        val = month.seen.val[[0, *(month.run(night)[0] for night in range(NIGHTS))]]
        for night, best in enumerate(judging._best(month)):
            assert best + 1 == int(np.flatnonzero(val[: night + 1] == val[: night + 1].max())[0])


class TestDraws:
    """Test splits, trainings and losses."""

    @pytest.mark.parametrize("boxes", simulation.BOXES)
    def test_a_split_has_the_boxes_asked_for(self, table: MatchTable, boxes: int) -> None:
        """The class has as many boxes, up to what its last image has over; each lies on its image."""
        for kind in range(len(table.rare)):
            split = draws.draw_split(table, kind, boxes=boxes, rng=np.random.default_rng(kind))
            having = split.boxes[split.boxes[:, kind] > 0, kind]
            assert having[:-1].sum() < boxes <= having.sum()
            assert split.draws.size == draws.PAGES
            assert (table.image[split.box] == split.draws[split.image]).all()
            assert (np.bincount(split.image[split.kind == kind], minlength=draws.PAGES) == split.boxes[:, kind]).all()

    def test_thirty_nights_are_thirty_trainings(self, table: MatchTable) -> None:
        """With 32 trainings no night repeats another one, nor the base; a second training is never the night's own."""
        cast = draws.draw_cast(table.trainings, seeds=1, rng=np.random.default_rng(0))
        everyone = [*cast.base.tolist(), cast.again, *cast.nights.ravel().tolist()]
        assert len(set(everyone)) == NIGHTS + 2
        assert not (cast.confirming == cast.nights[:, 0]).any()
        assert not np.isin(cast.confirming, [*cast.base, cast.again]).any()

    def test_too_few_trainings(self) -> None:
        """A cast needs trainings for the base, its second one, and a night with its second one."""
        with pytest.raises(ValueError, match="3 trainings, wanted 4 or more"):
            draws.draw_cast(3, seeds=1, rng=np.random.default_rng(0))

    @given(
        missed=st.lists(st.floats(0, 0.9), min_size=1, max_size=40),
        share=st.floats(0.01, 0.99),
    )
    @examples(max_examples=50)
    def test_a_loss_adds_up(self, missed: list[float], share: float) -> None:
        """The chances of being lost are chances, add up to the loss, and are no smaller for harder boxes."""
        rates = np.array(missed)
        loss = share * float((1 - rates).mean())
        chances = draws.hardness(rates, loss=loss)
        assert ((chances >= 0) & (chances <= 1)).all()
        assert np.mean((1 - rates) * chances) == pytest.approx(loss, rel=1e-6)
        assert (np.diff(chances[np.argsort(rates, kind="stable")]) >= 0).all()

    def test_a_loss_takes_recall_and_precision_alike(self, table: MatchTable) -> None:
        """Where half of the found boxes of a class are lost, its recall is halved and mAP falls by half of its AP."""
        month = month_of(table)
        trainings = judging.order(month.cast)
        lost = np.zeros_like(month.seen.found)
        for number, found in enumerate(month.seen.found & (month.split.kind == 0)):
            lost[number, np.flatnonzero(found)[::2]] = True
        struck = draws.lose(
            month.seen, month.split, lost, kind=0, table=table, trainings=trainings, expected=np.full(len(lost), 0.1)
        )
        share = 1 - struck.recall[:, 0] / month.seen.recall[:, 0]
        precision = table.shares[trainings][:, month.split.draws, 0].sum(axis=1) / month.split.boxes[:, 0].sum()
        assert share == pytest.approx(0.5, abs=0.02)
        assert month.seen.mean - struck.mean == pytest.approx(precision * share / len(table.classes))
        assert (struck.recall[:, 1:] == month.seen.recall[:, 1:]).all()
        assert (struck.val < month.seen.val).all()

    def test_influences_add_up_to_nought(self, table: MatchTable) -> None:
        """What images add to mAP about its mean cancels, with a loss and without."""
        month = month_of(table)
        lost = np.random.default_rng(0).random(month.seen.found.shape) < 0.3
        trainings = judging.order(month.cast)
        struck = draws.lose(
            month.seen, month.split, lost & (month.split.kind == 1), kind=1, table=table, trainings=trainings,
            expected=np.zeros(len(lost)),
        )  # fmt: skip
        for seen in (month.seen, struck):
            assert seen.influence.sum(axis=1) == pytest.approx(0, abs=1e-9)

    def test_error_is_that_of_stratified_resamples(self) -> None:
        """The error of the difference is the standard deviation that stratified bootstrap replicates tend to."""
        source = np.random.default_rng(3)
        base, run, strata = source.normal(size=40), source.normal(size=40), np.repeat([0, 1, 2], [5, 15, 20])
        base += 3 * strata
        replicates = np.zeros(20000)
        for stratum in range(3):
            members = (base - run)[strata == stratum]
            replicates += source.choice(members, size=(replicates.size, members.size)).sum(axis=1)
        error = draws.error_of_mean(base[None], run[None], strata)
        assert error == pytest.approx([replicates.std()], rel=0.02)


class TestTable:
    """The match table and what images add to AP."""

    def test_it_is_read_as_it_was_written(self, tmp_path: Path) -> None:
        """Writing and reading a table again changes nothing, and equal tables give equal bytes."""
        noise = np.random.default_rng(0).normal(size=(6, 200, 1))
        table = replace(make_table(), shares=noise, common=noise[:, :, 0])
        matches.write(tmp_path / "one.npz", table)
        again = matches.read(tmp_path / "one.npz")
        matches.write(tmp_path / "two.npz", again)
        assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
        assert all((again.found[iou] == hits).all() for iou, hits in table.found.items())
        assert again.shares == pytest.approx(table.shares, abs=1e-4 * np.abs(table.shares).max())
        assert (again.rare, again.classes, again.images, again.meta) == (
            table.rare, table.classes, table.images, table.meta,
        )  # fmt: skip

    def test_a_missing_table_says_what_to_do(self, tmp_path: Path) -> None:
        """Without a table the error names the command that makes it."""
        with pytest.raises(UserError, match=r"studies\.calibration\.tables"):
            matches.read(tmp_path / "none.npz")

    def test_the_committed_table_is_small_and_large_enough(self, table: MatchTable) -> None:
        """It stays under 1 MB, and has trainings for 30 nights, the base and its second one."""
        assert matches.PATH.stat().st_size < 1_000_000
        assert table.trainings >= NIGHTS + 2
        assert len(table.rare) >= 2

    def test_shares_add_up_to_average_precision(self) -> None:
        """Over the pool, the shares of a class are its AP times its boxes, as pycocotools' rule gives it, nearly."""
        evaluated = random_detections(seed=1)
        added = shares.of_images(evaluated)
        support = np.bincount(evaluated.truth_class, minlength=2)
        precision = metrics.average_precision(evaluated)[0].mean(axis=1)
        assert added.sum(axis=0) / support == pytest.approx(precision, abs=0.01)

    def test_shares_are_derivatives(self) -> None:
        """Each image's share is how the area times boxes changes when it counts a millionth more; they add up to it.

        Where two places tie for the envelope it has a kink, and either side of it will do.
        """
        evaluated = random_detections(seed=2)
        added = shares.of_images(evaluated)
        even = np.ones(evaluated.images)
        assert added.sum(axis=0) == pytest.approx([areas(evaluated, class_id, even) for class_id in range(2)])
        for image in range(0, evaluated.images, 7):
            more = even + 1e-6 * (np.arange(evaluated.images) == image)
            for class_id in range(2):
                change = (areas(evaluated, class_id, more) - areas(evaluated, class_id, even)) / 1e-6
                assert change == pytest.approx(added[image, class_id], abs=0.01)

    def test_the_table_follows_real_map(self, table: MatchTable) -> None:
        """What was measured when the table was made: its mAP differences are the real ones, and so are their errors."""
        checked = table.meta["checks"]
        assert isinstance(checked, dict)
        assert checked["splits"] == checks.SPLITS
        assert checked["correlation"] > 0.98
        assert checked["slope"] == pytest.approx(1, abs=0.05)
        assert checked["error_ratio"] == pytest.approx(1, abs=0.1)


def areas(found: metrics.Matches, class_id: int, weights: npt.NDArray[np.float64]) -> float:
    """Area under the precision envelope times the boxes, images weighted, mean over thresholds: by its definition."""
    ranked = found.class_id == class_id
    weight = weights[found.image[ranked]]
    areas = []
    for hits in found.matched_truth[:, ranked] >= 0:
        precision = np.cumsum(weight * hits) / np.cumsum(weight)
        areas.append(sum(weight[place] * precision[place:].max() for place in np.flatnonzero(hits)))
    return float(np.mean(areas))


def random_detections(*, seed: int, images: int = 60) -> metrics.Matches:
    """Matches of a detector that finds most boxes of two classes, with false ones among them."""
    source = np.random.default_rng(seed)
    image = np.repeat(np.arange(images), 4)
    corner = np.tile([[0.0, 0.0], [20.0, 0.0], [0.0, 20.0], [20.0, 20.0]], (images, 1))
    box = np.hstack([corner, corner + 10])
    class_id = source.integers(0, 2, size=image.size)
    kept = source.random(image.size) < 0.8
    moved = box[kept] + source.normal(0, 0.7, size=(int(kept.sum()), 1))
    false = np.tile([40.0, 40.0, 50.0, 50.0], (images, 1))
    found = Detections(
        image=np.concatenate([image[kept], np.arange(images)]),
        class_id=np.concatenate([class_id[kept], source.integers(0, 2, size=images)]),
        confidence=np.concatenate([source.random(int(kept.sum())) * 0.7 + 0.3, source.random(images) * 0.8]),
        box=np.vstack([moved, false]),
    )
    return metrics.match(found, Truth(image=image, class_id=class_id, box=box), images=images, classes=2)


class TestFigures:
    """Shares, the committed result and the page."""

    def judged(self, *nights: int, loss: Loss | None = None, onset: int = 1) -> Judged:
        """A month in which some nights, from 1, are called COLLAPSING."""
        codes = np.zeros(NIGHTS, dtype=np.int8)
        codes[[night - 1 for night in nights]] = 2
        return Judged(rule="own", loss=loss, onset=onset, codes=codes)

    def test_windows_begin_with_the_loss(self, gate: Gate) -> None:
        """An alarm before a sudden loss is not one of it; one in its third night is within 3 and not within 1."""
        months = [self.judged(2, 12, loss=SUDDEN, onset=10), self.judged(9, loss=SUDDEN, onset=10)]
        (row,) = summary.tally(months, make_job(gate))
        assert row.within is not None
        assert {nights: share.count for nights, share in row.within.items()} == {1: 0, 3: 1, 7: 1}
        assert row.alarm.count == 1
        assert row.false_healthy is not None
        assert row.false_healthy.nights == 2 * 21

    def test_a_slow_loss_counts_from_the_margin(self, gate: Gate) -> None:
        """A slow loss of 20 points reaches a margin of 10 on night 15; an alarm on the way there is one of it."""
        slow = Loss(points=0.2, pace="slow")
        months = [self.judged(5, loss=slow), self.judged(17, loss=slow), self.judged(22, loss=slow)]
        (row,) = summary.tally(months, make_job(gate))
        assert row.within is not None
        assert {nights: share.count for nights, share in row.within.items()} == {1: 1, 3: 2, 7: 2}

    def test_a_loss_under_the_margin_has_no_window(self, gate: Gate) -> None:
        """A slow loss that never reaches the margin has nothing to be seen in time, and no false HEALTHY."""
        (row,) = summary.tally([self.judged(5, loss=Loss(points=0.05, pace="slow"))], make_job(gate))
        assert (row.within, row.false_healthy, row.false_healthy_soon) == (None, None, None)

    def test_night_shares_are_ratios_of_means(self) -> None:
        """Schedules with more nights count for more, and equal schedules leave no interval."""
        assert summary.night_share([1, 6], [10, 20]).value == pytest.approx(7 / 30, abs=1e-5)
        equal = summary.night_share([3, 3], [30, 30])
        assert (equal.low, equal.value, equal.high) == (0.1, 0.1, 0.1)

    def test_the_result_is_of_this_gate(self, result: summary.Result, gate: Gate, table: MatchTable) -> None:
        """The committed figures were made with the settings of params.yaml and the committed table."""
        own = {name: getattr(gate, name) for name in result.gate}
        assert dict(result.gate) == own
        assert dict(result.table) == facts.of_table(table)

    def test_the_page_is_that_of_the_result(self, result: summary.Result) -> None:
        """Every number of docs/calibration.md comes from result.json."""
        assert page.PATH.read_text() == page.render(result)

    def test_the_plan_has_all_that_the_page_shows(self, result: summary.Result, gate: Gate, table: MatchTable) -> None:
        """Each kind of schedule of the plan has its row, with as many schedules as stated."""
        parts = running.plan(gate, schedules=result.schedules, fewer=result.fewer, ious=tuple(table.found))
        for jobs in parts:
            job = jobs[0]
            for rule in job.rules:
                row = result.find(rule.name, job.boxes, seeds=job.seeds, iou=job.iou, against_best=job.against_best)
                assert row.alarm.of == sum(one.count for one in jobs)


@pytest.mark.slow
def test_the_simulation_gives_the_committed_figures(result: summary.Result, gate: Gate, table: MatchTable) -> None:
    """The first 60 months of 60 boxes, simulated again, raise false alarms as often as the committed 1,000 say."""
    job = make_job(
        gate,
        rules=(Rule(name=simulation.confirm_at(gate.level), gate=gate),),
        losses=(SUDDEN,),
        count=60,
        seed=result.seed,
        simple=False,
    )
    healthy, struck = summary.tally(simulation.run(job, table, Memory()), job)
    for row in (healthy, struck):
        committed = result.find(row.rule, 60, row.points, row.pace)
        assert row.alarm.low <= committed.alarm.high
        assert row.alarm.high >= committed.alarm.low


@pytest.mark.slow
def test_processes_do_not_change_the_figures(gate: Gate, table: MatchTable) -> None:
    """One process and two give the same result, byte for byte."""
    one, two = (running.calibrate(table, gate, schedules=2, fewer=1, processes=number) for number in (1, 2))
    assert one == two


def test_strata_are_those_of_the_audit(table: MatchTable) -> None:
    """A split's images are exchanged by the gate's bootstrap within the strata that the audit makes of them."""
    split: Split = draws.draw_split(table, 1, boxes=20, rng=np.random.default_rng(5))
    boxes, image = draws._boxes_of(table, split.draws)
    strata = evaluation.strata(image, table.class_id[boxes], split.draws.size)
    assert sorted(np.bincount(split.strata).tolist()) == sorted(len(one) for one in strata)
