"""The predictor: ultralytics' own, whose boxes do not depend on how busy the machine is, and which starts sooner.

Imported by ``adapters/yolo.py`` when images are looked at; hence a module of its own, with heavy imports at the top.
"""

from __future__ import annotations

import math
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from ultralytics.models.yolo.detect import DetectionPredictor
from ultralytics.utils import nms

from pipeline.core import cores


class Predictor(DetectionPredictor):  # type: ignore[misc]  # ultralytics has no types
    """Finds the same boxes as ultralytics' own predictor does on a machine that has nothing else to do."""

    def setup_model(self, model: Any, verbose: bool = True) -> None:  # noqa: FBT001, FBT002 - ultralytics' own
        """Load the model; on a CPU use all cores, and leave out a warm-up that only imports torchvision."""
        super().setup_model(model, verbose=verbose)
        if self.device.type == "cpu":  # ultralytics leaves one core out, half the speed of a machine with two
            torch.set_num_threads(cores.available())
            self.done_warmup = True

    def postprocess(self, preds: Any, img: Any, orig_imgs: Any, **_: Any) -> list[Any]:
        """Suppress boxes that overlap, in all images: ultralytics stops after some seconds, and loses what is left."""
        found = nms.non_max_suppression(
            preds, self.args.conf, self.args.iou, agnostic=self.args.agnostic_nms, max_det=self.args.max_det,
            end2end=self.model.end2end, max_time_img=math.inf,
        )  # fmt: skip
        return list(self.construct_results(found, img, orig_imgs))


def _use_compiled_suppression() -> None:
    """Suppress boxes by torchvision's compiled operator, without its Python.

    ultralytics takes it where torchvision has been imported, which imports torch's compiler too and takes longer than
    many an audit's images; or else a loop in Python, which gives the same and is slow.
    """
    package = find_spec("torchvision")
    folders = package.submodule_search_locations if package else None
    compiled = next((one for folder in folders or () for one in sorted(Path(folder).glob("_C*.so"))), None)
    if compiled is None:
        import torchvision  # type: ignore[import-untyped]  # noqa: F401 - ultralytics uses it from now on
    else:
        torch.ops.load_library(str(compiled))  # type: ignore[no-untyped-call]
        nms.TorchNMS.nms = staticmethod(torch.ops.torchvision.nms)


_use_compiled_suppression()
