"""PP-OCR by the package rapidocr, whose models come in wheels: nothing is downloaded."""

from __future__ import annotations

import importlib.util
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmres.lab.readers.base import Box, Pixels

# The package that has the models, and the models' files.
_MODELS = {
    "pp-ocrv6": ("rapidocr", "PP-OCRv6_det_small.onnx", "PP-OCRv6_rec_small.onnx"),
    "pp-ocrv4": ("rapidocr_onnxruntime", "ch_PP-OCRv4_det_infer.onnx", "ch_PP-OCRv4_rec_infer.onnx"),
}
_INSTALL = {
    "rapidocr": "pip install 'vlmres[lab]'",
    "rapidocr_onnxruntime": "pip install --no-deps rapidocr-onnxruntime==1.4.4",
}
# A page of more pixels is made smaller before lines are sought: the detector's time is proportional to them.
_MOST_FOUND = 1_600_000
# Neither half a letter nor a picture is a line.
_LEAST_SIDE = 6


class RapidReader:
    """PP-OCRv6 small, or PP-OCRv4 mobile: recognition of lines in one thread, and detection of lines.

    Args:
        model: "pp-ocrv6" or "pp-ocrv4".

    Raises:
        ModuleNotFoundError: A package is missing.
    """

    def __init__(self, model: str = "pp-ocrv6") -> None:
        self.name = model
        package, detector, recogniser = _MODELS[model]
        for needed in dict.fromkeys(("rapidocr", "onnxruntime", package)):
            if importlib.util.find_spec(needed) is None:
                how = _INSTALL.get(needed, _INSTALL["rapidocr"])
                raise ModuleNotFoundError(f"the reader {model} needs {needed}: {how}", name=needed)
        spec = importlib.util.find_spec(package)
        assert spec is not None
        assert spec.origin is not None
        folder = Path(spec.origin).parent / "models"
        # Given as paths, models are never sought on the network.
        self._paths = (folder / detector, folder / recogniser)
        for path in self._paths:
            if not path.is_file():
                raise ModuleNotFoundError(f"{package} is installed without {path.name}: {_INSTALL[package]}")
        self._own = threading.local()

    def read(self, lines: Sequence[Pixels]) -> list[str]:
        """The text of each line."""
        from rapidocr.ch_ppocr_rec.typings import TextRecInput

        if not lines:
            return []
        blue_first = [np.ascontiguousarray(line[..., ::-1]) for line in lines]
        found = self._engine()._load_rec_model()(TextRecInput(img=blue_first, return_word_box=False))
        return list(found.txts)

    def find(self, page: Pixels) -> list[Box]:
        """Boxes of upright lines."""
        import cv2

        height, width = page.shape[:2]
        shrink = min(1.0, (_MOST_FOUND / (width * height)) ** 0.5)
        blue_first = np.ascontiguousarray(page[..., ::-1])
        if shrink < 1:
            size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
            blue_first = cv2.resize(blue_first, size, interpolation=cv2.INTER_AREA)
        found = self._engine()._load_det_model()(blue_first).boxes
        boxes: list[Box] = []
        for corners in [] if found is None else np.asarray(found, dtype=np.float64) / shrink:
            x0, y0 = corners.min(axis=0)
            x1, y1 = corners.max(axis=0)
            upright = abs(corners[1][1] - corners[0][1]) <= 0.25 * (y1 - y0)
            if upright and x1 - x0 > y1 - y0 >= _LEAST_SIDE:
                boxes.append((float(x0), float(y0), float(x1), float(y1)))
        return boxes

    def _engine(self) -> Any:
        """One for each thread: rapidocr's objects keep state between calls."""
        if not hasattr(self._own, "engine"):
            from rapidocr import RapidOCR

            detector, recogniser = self._paths
            self._own.engine = RapidOCR(
                params={
                    "Global.log_level": "error",
                    "Global.use_cls": False,
                    "Det.model_path": str(detector),
                    "Rec.model_path": str(recogniser),
                    "EngineConfig.onnxruntime.intra_op_num_threads": 1,
                }
            )
        return self._own.engine
