"""A detection evaluation method for FiftyOne, ``"tailwatch"``: its COCO evaluation, in bulk.

FiftyOne's own makes a document of every sample, matches in Python and saves sample by sample, which takes minutes where
seconds would do. Here one query reads all boxes, faster-coco-eval matches them (:mod:`pipeline.adapters.coco_matching`)
and one bulk write gives every label its TP, FP or FN, its IoU and the id of its match. Fields, results object and run
are those of FiftyOne's COCO evaluation, so the App's panels and whatever reads or deletes evaluations work alike.

Where FiftyOne and pycocotools differ, this keeps to pycocotools, which the audit's figures follow too:

- Detections of one class and exactly one confidence: pycocotools ranks them by image and, within it, as they stand;
  FiftyOne ranks those that found a label first, which flatters precision.
- Labels that overlap a detection equally: pycocotools takes the later one; FiftyOne takes them in its R-tree's order.
- Crowds: pycocotools offers them after all other labels; FiftyOne means to, but past about a hundred labels in an image
  its R-tree has another order, and a crowd takes detections from the labels beside it.
- A detection on a crowd counts neither way in both, but gives its confidence to recall 0 of the curve in pycocotools.
- IoU thresholds of the sweep: pycocotools has ``linspace(0.5, 0.95, 10)``, FiftyOne ``x / 100``; some differ in the
  last bit, which decides for boxes of exactly that IoU.
- Boxes are compared in pixels, rounded to a millionth, where every sample's metadata has its size, in fractions
  otherwise; FiftyOne compares fractions.

What pycocotools does not say is as in FiftyOne: at the single IoU every detection is matched, also past ``max_preds``;
an unmatched crowd is a FN; without ``classwise`` a detection matches labels of any class, and a crowd of its own.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import inspect
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import fiftyone as fo
import fiftyone.utils.eval as library
import numpy as np
from fiftyone.core import validation
from fiftyone.utils.eval import detection
from fiftyone.utils.eval.coco import COCODetectionResults, COCOEvaluation, COCOEvaluationConfig
from fiftyone.utils.eval.detection import DetectionResults

from pipeline.adapters import voxel_labels
from pipeline.adapters.coco_matching import LEVELS, Curves
from pipeline.adapters.voxel_labels import Evaluated
from pipeline.core.errors import UserError
from pipeline.core.metrics import IOU_THRESHOLDS

NAME = "tailwatch"
_UNSUPPORTED = ("use_masks", "use_boxes", "tolerance", "keypoint_sigmas")


class TailwatchEvaluationConfig(COCOEvaluationConfig):  # type: ignore[misc]  # FiftyOne has no types
    """Settings of the evaluation: those of FiftyOne's COCO evaluation, for boxes.

    ``iou``, ``classwise``, ``iscrowd``, ``compute_mAP``, ``iou_threshs``, ``max_preds`` and ``custom_metrics`` mean
    what they mean there.
    """

    def __init__(self, pred_field: str, gt_field: str, **settings: Any) -> None:
        """Take the settings.

        Args:
            pred_field: field of the predictions, of type ``Detections``.
            gt_field: field of the labels, of type ``Detections``.
            **settings: of ``COCOEvaluationConfig``.

        Raises:
            UserError: a setting is for masks, polylines or keypoints, or ``iou`` is not in (0, 1].
        """
        for name in _UNSUPPORTED:
            if settings.get(name):
                raise UserError(f"evaluation {NAME!r} got {name}={settings[name]!r}; it compares boxes only. {_OTHER}")
        super().__init__(pred_field, gt_field, **settings)
        if self.iou is not None and not 0 < self.iou <= 1:
            raise UserError(f"evaluation {NAME!r} got iou={self.iou!r}, wanted a number in (0, 1]")
        if self.compute_mAP and settings.get("iou_threshs") is None:
            self.iou_threshs = list(IOU_THRESHOLDS)

    @property
    def method(self) -> str:
        """The name that ``evaluate_detections(method=…)`` knows it by."""
        return NAME


_OTHER = "Use FiftyOne's own evaluation, method='coco', for masks, polylines, keypoints and frames of videos."


class TailwatchEvaluation(COCOEvaluation):  # type: ignore[misc]  # FiftyOne has no types
    """The evaluation; FiftyOne finds it by its name, that of the settings without ``Config``."""

    def __init__(self, config: TailwatchEvaluationConfig) -> None:
        """Take the settings."""
        super().__init__(config)
        self._evaluated: Evaluated | None = None
        self._place: dict[str, int] = {}

    def register_run(self, samples: Any, key: str | None, overwrite: bool = True, cleanup: bool = True) -> None:  # noqa: FBT001, FBT002 - FiftyOne's signature
        """Check the collection before anything of it is changed, then make the run known.

        Raises:
            UserError: a field holds something else than boxes.
        """
        _check(samples, self.config)
        self._evaluated = voxel_labels.evaluate(samples, self.config)
        self._place = {str(one): number for number, one in enumerate(self._evaluated.sample_ids)}
        super().register_run(samples, key, overwrite=overwrite, cleanup=cleanup)

    def register_samples(self, samples: Any, eval_key: str | None, dynamic: bool = True) -> None:  # noqa: FBT001, FBT002 - FiftyOne's signature
        """Declare the fields, and write the matches of all samples into them."""
        super().register_samples(samples, eval_key, dynamic=dynamic)
        if eval_key is not None:
            voxel_labels.write(samples, self._done, eval_key, fields=(self.pred_field, self.gt_field))

    def evaluate(self, sample_or_frame: Any, eval_key: str | None = None) -> list[tuple[Any, ...]]:  # noqa: ARG002 - FiftyOne's signature
        """The matches of one sample, which are made and written already."""
        return self._done.matches_of(self._place[sample_or_frame.id])

    def matches(self) -> list[tuple[Any, ...]]:
        """The matches of all samples, each as FiftyOne has it: both classes, IoU, confidence, both ids."""
        return [match for sample in range(len(self._done.sample_ids)) for match in self._done.matches_of(sample)]

    def generate_results(
        self,
        samples: Any,
        matches: Sequence[tuple[Any, ...]],
        eval_key: str | None = None,
        classes: Sequence[str] | None = None,
        missing: str | None = None,
        progress: Any = None,  # noqa: ARG002 - FiftyOne's signature
    ) -> DetectionResults:
        """FiftyOne's results object; with mAP and curves, if the settings ask for them."""
        places = {"classes": classes, "missing": missing, "backend": self}
        if not self.config.compute_mAP:
            return DetectionResults(samples, self.config, eval_key, matches, **places)
        names = self._done.classes if classes is None else list(classes)
        curves = _of_classes(self._done, names)
        return COCODetectionResults(
            samples, self.config, eval_key, matches, curves.precision, np.linspace(0, 1, LEVELS),
            self.config.iou_threshs, names, recall_sweep=curves.recall, thresholds=curves.confidence,
            missing=missing, backend=self,
        )  # fmt: skip

    @property
    def _done(self) -> Evaluated:
        if self._evaluated is None:
            raise RuntimeError("no samples yet: register_run comes first")
        return self._evaluated


def register() -> None:
    """Make the method known to FiftyOne under its name, in this process and in those that it starts.

    FiftyOne's ``evaluate_detections`` reads every sample, also for a method that needs none of them. From here on it
    leaves that out for this method; every other one goes on as before. Calling it again changes nothing.
    """
    known = fo.evaluation_config.detection_backends
    place = f"{TailwatchEvaluationConfig.__module__}.{TailwatchEvaluationConfig.__qualname__}"
    known.setdefault(NAME, {"config_cls": place})
    # what the App's server reads when it starts: the methods that are known here, and where to find this one
    os.environ["FIFTYONE_DETECTION_BACKENDS"] = ",".join(sorted(known))
    os.environ[f"FIFTYONE_DETECTION_{NAME.upper()}_CONFIG_CLS"] = place
    if not getattr(library.evaluate_detections, "in_bulk", False):
        library.evaluate_detections = _in_bulk(library.evaluate_detections)


def _in_bulk(original: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(original)

    @functools.wraps(original)
    def evaluate_detections(*args: Any, **options: Any) -> Any:
        given = signature.bind(*args, **options)
        given.apply_defaults()
        method = given.arguments["method"] or fo.evaluation_config.default_detection_backend
        ours = method == NAME or (inspect.isclass(method) and issubclass(method, TailwatchEvaluationConfig))
        if not ours:
            return original(*args, **options)
        with _collector_paused():
            return _evaluate(**given.arguments)

    evaluate_detections.in_bulk = True  # type: ignore[attr-defined]
    return evaluate_detections


@contextlib.contextmanager
def _collector_paused() -> Iterator[None]:
    """Pause Python's garbage collector: it would walk through all boxes again and again, for half of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _evaluate(
    samples: Any,
    pred_field: str,
    gt_field: str,
    eval_key: str | None,
    *,
    classes: Sequence[str] | None,
    missing: str | None,
    method: Any,
    dynamic: bool,
    progress: Any,
    kwargs: dict[str, Any],
    **settings: Any,
) -> DetectionResults:
    """The steps of FiftyOne's ``evaluate_detections``, without its loop over samples."""
    validation.validate_non_grouped_collection(samples)
    config = detection._parse_config(pred_field, gt_field, method, False, **settings, **kwargs)  # noqa: SLF001 - FiftyOne's own reading of names, classes and defaults
    run = config.build()
    run.register_run(samples, eval_key)
    run.register_samples(samples, eval_key, dynamic=dynamic)
    results = run.generate_results(
        samples, run.matches(), eval_key=eval_key, classes=classes, missing=missing, progress=progress
    )
    run.compute_custom_metrics(samples, eval_key, results)
    if eval_key is not None:
        run.save_run_results(samples, eval_key, results)
        run.add_fields_to_sidebar_group(samples, eval_key, omit_fields=(pred_field, gt_field))
    return results


def _check(samples: Any, config: TailwatchEvaluationConfig) -> None:
    if samples._is_generated:  # noqa: SLF001 - FiftyOne's word for patches, clips and frames
        raise UserError(f"evaluation {NAME!r} got patches, clips or frames, wanted images. {_OTHER}")
    for field in (config.pred_field, config.gt_field):
        if samples._is_frame_field(field):  # noqa: SLF001
            raise UserError(f"evaluation {NAME!r} got {field!r} of frames, wanted a field of images. {_OTHER}")
        try:
            kind = samples._get_label_field_type(field)  # noqa: SLF001
        except ValueError as error:
            raise UserError(f"evaluation {NAME!r} got {field!r}: {error}") from None
        if not issubclass(kind, fo.Detections):
            raise UserError(f"evaluation {NAME!r} got {field!r} with {kind.__name__}, wanted Detections. {_OTHER}")


def _of_classes(done: Evaluated, names: Sequence[str]) -> Curves:
    """The curves of these classes, in their order; those of a class that is nowhere are -1 throughout."""
    curves = done.curves
    if curves is None:
        raise RuntimeError("no curves: they are made where compute_mAP is set")
    place = {name: number for number, name in enumerate(done.classes)}
    columns = [place.get(name, len(done.classes)) for name in names]

    def pick(values: Any) -> Any:
        nowhere = np.full((values.shape[0], 1, *values.shape[2:]), -1.0)
        return np.concatenate([values, nowhere], axis=1)[:, columns]

    return Curves(precision=pick(curves.precision), confidence=pick(curves.confidence), recall=pick(curves.recall))
