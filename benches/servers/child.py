"""A process that holds vLLM and answers requests, one line of JSON each."""

from __future__ import annotations

import functools
import hashlib
import importlib
import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any

_MARK = "answer: "
_OWN = "vllm.transformers_utils.processors"
# Where vLLM enters a class that prepares images; those of transformers by their common base.
_ENTRIES = {
    "InternVLImageProcessor": (f"{_OWN}.internvl", "InternVLImageProcessor", "__call__"),
    "H2OVLImageProcessor": (f"{_OWN}.internvl", "InternVLImageProcessor", "__call__"),
    "LlamaNemotronNanoVLImageProcessor": (f"{_OWN}.internvl", "InternVLImageProcessor", "__call__"),
    "OvisProcessor": (f"{_OWN}.ovis", "OvisProcessor", "preprocess_image"),
    "Ovis2_5Processor": (f"{_OWN}.ovis2_5", "Ovis2_5Processor", "preprocess_multidata"),
    "Step3VLImageProcessor": (f"{_OWN}.step3_vl", "Step3VLImageProcessor", "__call__"),
    "DeepseekOCRProcessor": (f"{_OWN}.deepseek_ocr", "DeepseekOCRProcessor", "tokenize_with_images"),
    "DeepseekVLV2Processor": (f"{_OWN}.deepseek_vl2", "DeepseekVLV2Processor", "tokenize_with_images"),
    "KimiK25FusedVisionProcessor": (f"{_OWN}.kimi_k25_vision_fused", "KimiK25FusedVisionProcessor", "preprocess"),
}
_COMMON = ("transformers.image_processing_utils", "BaseImageProcessor", "__call__")
# Of the images that threads ask for: a page of 150 dots an inch.
_PAGE, _MAX_PIXELS = (1275, 1650), 3_145_728


class Child:
    """Such a process, seen from its parent."""

    def __init__(self, *, vlmres: bool) -> None:
        # A thread of torch that waits does not spin, which would count as its work.
        waits = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}
        settings = {**waits, "VLMRES_VLLM": str(int(vlmres)), "VLLM_LOGGING_LEVEL": "ERROR", "HF_HUB_OFFLINE": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benches.servers.child"],
            env={**os.environ, **settings},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def ask(self, **request: Any) -> dict[str, Any]:
        """The answer to a request."""
        self.send(**request)
        return self.receive()

    def send(self, **request: Any) -> None:
        """Asks, and does not wait."""
        assert self._process.stdin is not None
        print(json.dumps(request), file=self._process.stdin, flush=True)

    def receive(self) -> dict[str, Any]:
        """The answer to the oldest request without one.

        Raises:
            RuntimeError: The process failed.
        """
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(_MARK):
                answer: dict[str, Any] = json.loads(line.removeprefix(_MARK))
                if "error" in answer:
                    raise RuntimeError(answer["error"])
                return answer
        raise RuntimeError("the process with vLLM ended")

    def close(self) -> None:
        """Ends it."""
        self._process.kill()
        self._process.wait()


class _Inside:
    """Time within the class that prepares images."""

    def __init__(self) -> None:
        self.cpu = self.wall = 0.0
        self._depth = 0

    def watch(self, module: str, cls: str, method: str) -> None:
        """Counts calls of the method from now on; a call within such a call counts once."""
        owner: Any = getattr(importlib.import_module(module), cls)
        original = getattr(owner, method)
        if hasattr(original, "_watched"):
            return

        @functools.wraps(original)
        def watched(*args: Any, **kwargs: Any) -> Any:
            cpu, wall = time.process_time(), time.perf_counter()
            self._depth += 1
            try:
                return original(*args, **kwargs)
            finally:
                self._depth -= 1
                if not self._depth:
                    self.cpu += time.process_time() - cpu
                    self.wall += time.perf_counter() - wall

        watched._watched = True  # type: ignore[attr-defined]
        setattr(owner, method, watched)


def _photo(size: tuple[int, int]) -> bytes:
    """A photograph of this size, as a JPEG file."""
    from tests.images import real

    with BytesIO() as file:
        real("photo.jpg").resize(size).save(file, "JPEG", quality=90)
        return file.getvalue()


def _page() -> bytes:
    from tests.images import real

    with BytesIO() as file:
        real("page.png").resize(_PAGE).save(file, "PNG")
        return file.getvalue()


class _Server:
    """vLLM's loader of images and its processors, made once each."""

    def __init__(self) -> None:
        from benches.servers.__main__ import cases
        from vllm.multimodal.media.image import ImageMediaIO

        self.cases = cases()
        self.inside = _Inside()
        self.loader: Any = ImageMediaIO()
        self.processors: dict[tuple[str, bool], Any] = {}
        self.photo = functools.lru_cache(_photo)
        self.page = functools.lru_cache(_page)

    def processor(self, name: str, folder: str, *, limited: bool = False) -> Any:
        """The multimodal processor of a checkpoint, `limited` in pixels."""
        from vllm.config import ModelConfig
        from vllm.multimodal import MULTIMODAL_REGISTRY

        if (name, limited) not in self.processors:
            case = self.cases[name]
            limits: Any = {"mm_processor_kwargs": {"max_pixels": _MAX_PIXELS}} if limited else {}
            config = ModelConfig(
                model=folder, tokenizer=folder, dtype="bfloat16", max_model_len=4096, enforce_eager=True, **limits
            )
            self.processors[name, limited] = MULTIMODAL_REGISTRY.create_processor(config)
            self.inside.watch(*_ENTRIES.get(case.by, _COMMON))
        return self.processors[name, limited]

    def run(self, processor: Any, name: str, image: Any) -> Any:
        """A request with an image, which has its file beside it: that is what vLLM hashes."""
        case = self.cases[name]
        items = processor.info.parse_mm_data(case.of([image]))
        return processor(case.prompt, mm_items=items)

    def one(self, case: str, folder: str, size: tuple[int, int], file: bool) -> dict[str, Any]:
        """A request with a photograph, decoded before or not."""
        processor = self.processor(case, folder)
        data = self.photo(tuple(size))
        image = self.loader.load_bytes(data)
        if not file:
            image.media.load()
        self.inside.cpu = self.inside.wall = 0.0
        cpu, wall = time.process_time(), time.perf_counter()
        made = self.run(processor, case, self.loader.load_bytes(data) if file else image)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        times = {"cpu": cpu, "wall": wall, "inside_cpu": self.inside.cpu, "inside_wall": self.inside.wall}
        return {**times, "digest": _digest(made["mm_kwargs"].get_data())}

    def many(self, case: str, folder: str, threads: int, requests: int) -> dict[str, Any]:
        """Requests with a page from several threads."""
        processor = self.processor(case, folder, limited=True)
        data = self.page()
        local = threading.local()

        def request(_: int) -> None:
            local.made = self.run(processor, case, self.loader.load_bytes(data))

        cpu, wall = time.process_time(), time.perf_counter()
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(request, range(requests)))
        return {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}

    def steadily(self, case: str, folder: str, seconds: float) -> dict[str, Any]:
        """Requests one after another, and the most threads that a call takes after the first second."""
        from vlmres.threads import usual_threads

        processor = self.processor(case, folder, limited=True)
        data = self.page()
        most, cpu, start = 0, time.process_time(), time.perf_counter()
        while (passed := time.perf_counter() - start) < seconds:
            self.run(processor, case, self.loader.load_bytes(data))
            if passed > min(2.0, seconds / 2):
                most = max(most, usual_threads())
        return {"threads": most, "cpu": time.process_time() - cpu, "wall": time.perf_counter() - start}


def _digest(data: Any) -> str:
    import torch

    found = hashlib.sha256()
    for key, value in sorted(data.items()):
        for part in value if isinstance(value, (list, tuple)) else [value]:
            tensor = torch.as_tensor(part).contiguous()
            found.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
            found.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def main() -> None:
    """Answers requests until there are none."""
    from vllm.plugins import load_general_plugins

    load_general_plugins()
    server = _Server()
    for line in sys.stdin:
        request = json.loads(line)
        kind = server.many if "threads" in request else server.steadily if "seconds" in request else server.one
        try:
            answer = kind(**request)
        except Exception as error:
            answer = {"error": f"{request}: {type(error).__name__}: {error}"}
        print(_MARK + json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
