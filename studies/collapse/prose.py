"""The words of docs/benchmark.md around its numbers."""

from __future__ import annotations

from collections.abc import Mapping

QUESTION = """\
# The collapse benchmark

This page is written by `uv run python -m studies.collapse page` from the tables in the folders called `results` of
`studies/collapse/`; no number in it is typed. A study runs again with one command, which stands below its name
([how, and how big it may get](scale.md)).

## Question

A detector's training data is made, or labelled, by the generation before it. How fast does the detector forget the real
world, what is lost first, and how much real data has to stay for it not to?
"""
PROTOCOL = """\
A *cell* is a chain of generations: each fits a generator to the training data of the one before, draws as many
synthetic images as there are real training images, labels them (`detector`: by the previous detector; `layout`: as they
were drawn), mixes them with real ones, and trains a detector from scratch. Every generation of every cell is measured
on the same real test images, which nothing was chosen on. All cells of a seed start from one base run, trained on real
images.

The **ratio** is the synthetic share of the training images; their number is fixed, so that the ratio changes what they
are and not how many. **replace** takes synthetic images of the newest generation, **accumulate** of all generations so
far. At the ratio `pool` no share is kept to: **accumulate** trains on all real and all synthetic images, a total that
grows, and **accumulate-subsample** on a draw of fixed size from them: so the literature has these policies. Real images
of a share under 1 are drawn anew in each generation.

Equal cells are run once. At the ratio 0 there is one arm, `real`, whatever policy, labels or generator: it trains on
real images alone, with another seed in each generation, and shows how far trainings differ by chance. At a ratio that
is a number, `accumulate-subsample` is the same draw as `accumulate`.
"""
INTERVALS = """\
Means over the seeds; bands and brackets are 95 % intervals by Student's t, which are wide with few seeds. Coverage: the
share of real objects with a synthetic one near them. The Vendi score counts how many objects differ, here as a fraction
of that of as many real ones. A dash is a figure that cannot be computed.
"""
PICTURES: Mapping[str, str] = {
    "map50-95.svg": "mAP50-95 over generations, a line a policy with its interval over the seeds",
    "rare-recall.svg": "Mean recall of the rare classes over generations, a line a policy",
    "ratios.svg": "Mean recall of the rare classes by synthetic share and generation, a panel a policy",
    "class-shares.svg": "Shares of the classes in the training data over generations, a panel a policy",
    "objects.svg": "Objects of the rarest class as each generation has them in its data: first real, then synthetic",
}
OUTCOMES = """\
Each statement is turned into one number that is above 0 if it holds here. *agrees*: the whole interval is above 0;
*contradicts*: below 0; *open*: it holds 0, or one seed has no interval; *not tested*: no cell of the grid bears on it.
Theory is about estimators that are fitted to their own output; a detector, its pseudo-labels and a generator are more
than that, so agreement is no proof, nor is contradiction a refutation.
"""
NO_RESULTS = """\
No results are made yet. `{command} plan` says what the grid takes.
"""
THREATS_HEAD = "## Threats to validity"
THREATS = """\
- Pages of digits are simple, small and alike; photographs have more to lose. The detector is tiny.
- Four generations say little about limits: that an error stays bounded for ever cannot be seen in them, only that it
  grows less.
- Every generation trains for the same number of steps. Under `accumulate` at the ratio `pool` the data grow, so each
  image is seen less often.
- The 0.618 of theory is a weight on fresh real data of the same size as the synthetic data; here it is a share of a
  fixed number of images, drawn from one fixed real set.
- Synthetic images of a ratio under 1 come from a generator that was fitted to real and synthetic images together.
- All arms of a seed share their base run, so they are compared in pairs; arms at different ratios are not independent.
- What a diffusion model makes of the same data is a study of its own, with its own bases.
"""
