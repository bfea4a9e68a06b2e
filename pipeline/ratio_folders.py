"""The folders that `tailwatch ratio` works in: one a seed for the reference, one a level and seed for its chain."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.chains import inputs, stages, steps
from pipeline.chains.steps import Step
from pipeline.core import files, manifest, paths, rng
from pipeline.core.paths import TrainingPaths
from pipeline.core.ratio_records import Level, Question
from pipeline.ratio_plan import WORK, Plan

VERSION = 1  # of what a folder has in it; raised when runs of older ones must not be gone on with


def reference(plan: Plan, seed: int) -> Step:
    """The training on all real images with a seed, its folder made ready; every chain of `share` starts from it."""
    folder, value = WORK / f"real-{seed}", _value(plan, seed)
    steps.link(Path(), folder, ("data/real", "data/verified"))
    steps.settle(folder, value)
    step = Step(
        folder=folder, run=paths.BASE, key=_base_key(plan, value, ""), threads=plan.threads,
        what=f"all {plan.total} real images, seed {seed}",
    )  # fmt: skip
    steps.clear([step])
    return step


def chain(plan: Plan, question: Question, level: Level, seed: int) -> list[Step]:
    """The runs of a level with a seed, its folder made ready; for `share` the reference of the seed has to be done.

    A chain of `number` has a base of its own, for none of its runs may see any other real image.
    """
    folder = WORK / f"{question}-{level.real}-{seed}"
    value = _arranged(plan, level, seed)
    if question == "share":
        steps.link(Path(), folder, ("data/real", "data/verified"))
        outs = tuple(str(out) for out in stages.outs(paths.BASE).values())
        steps.link(WORK / f"real-{seed}", folder, outs)
        drawn, first = "", 1
    else:
        drawn, first = _narrow(folder, level.real, value["seed"]), 0
    steps.settle(folder, value)
    key, found = _base_key(plan, _value(plan, seed), drawn), []
    for number in range(plan.generations + 1):
        # a chain that is made longer keeps what it has
        key = (
            key if number == 0 else inputs.key(key, plan.chain_inputs, level.real, level.synthetic, plan.policy, number)
        )
        what = f"{level.real} of {plan.total} images real ({question}), seed {seed}, generation {number}"
        found.append(Step(folder=folder, run=steps.run_name(number), key=key, threads=plan.threads, what=what))
    steps.clear(found[first:])
    return found[first:]


def chosen(rows: Sequence[manifest.Row], number: int, seed: int) -> list[manifest.Row]:
    """The real images that there are at a level of `number`: of one seed, those of a lower level are among them.

    Args:
        rows: all verified real training images.
        number: of images.
        seed: of the draw.
    """
    order = rng.generator(seed, "ratio", "real images").permutation(len(rows))[:number]
    return [rows[position] for position in sorted(order.tolist())]


def _value(plan: Plan, seed: int) -> dict[str, Any]:
    """The params.yaml of a seed's reference; that of seed 1 is trained as the project's own base."""
    value = {name: dict(part) if isinstance(part, dict) else part for name, part in plan.value.items()}
    value["seed"] = plan.settings.seed + seed - 1
    return value


def _arranged(plan: Plan, level: Level, seed: int) -> dict[str, Any]:
    value = _value(plan, seed)
    value["arms"] = {plan.arm: {"policy": plan.policy, "ratio": level.synthetic / plan.total}}
    value["runs"] = steps.runs(plan.arm, plan.generations)
    return value


def _base_key(plan: Plan, value: dict[str, Any], drawn: str) -> str:
    return inputs.key(VERSION, plan.base_inputs, plan.data, plan.threads, value["seed"], drawn)


def _narrow(folder: Path, number: int, seed: int) -> str:
    """Let a folder see so many of the real training images and no other; gives the digest of which."""
    steps.link(Path(), folder, ("data/real", str(paths.VERIFIED_HELD_OUT), str(paths.VERIFIED_IMAGES)))
    source = TrainingPaths()
    rows = chosen(manifest.read(source.real), number, seed)
    (folder / source.folder).mkdir(parents=True, exist_ok=True)
    manifest.write(folder / source.real, rows)
    for path in (source.times, source.synthetic, source.row):
        files.write_bytes(folder / path, path.read_bytes())
    return inputs.key([row.image_id for row in rows])
