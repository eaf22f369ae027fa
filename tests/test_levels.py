"""Every instruction set of this machine gives the same tensors."""

import json
import os
import subprocess
import sys

import vlmres

SCRIPT = """
import hashlib, json
import numpy as np
import vlmres
from tests.images import image
try:
    pictures = [image(700, 500, "smooth"), image(333, 1200), image(1, 40), image(1500, 60)]
    digest = hashlib.sha256()
    for recipe in ("llava-1.5", "llava-next", "internvl2", "qwen2-vl", "qwen3-vl", "deepseek-ocr-gundam"):
        for arithmetic in ("pillow", "torch"):
            for layout, dtype in (("hf", "float32"), ("hf", "bfloat16"), ("packed", "float16"), ("packed", "uint8")):
                batch = vlmres.Processor(recipe, layout, dtype, arithmetic)(pictures)
                for key, array in batch.items():
                    digest.update(array.tobytes())
    print(json.dumps([vlmres.build_info()["simd"], digest.hexdigest()]))
except vlmres.VlmresError as error:
    print(json.dumps(["error", str(error)]))
"""


def run(level: str) -> tuple[str, str]:
    environment = {**os.environ, "VLMRES_FORCE_LEVEL": level}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=True, timeout=250
    )
    name, result = json.loads(done.stdout)
    return name, result


def test_forced_levels_give_the_same_tensors() -> None:
    best = vlmres.build_info()["simd"]
    results = {}
    for level in ("scalar", "avx2", "avx512", "neon"):
        name, result = run(level)
        if name == "error":
            assert "VLMRES_FORCE_LEVEL" in result
        else:
            assert name == level
            results[name] = result
    assert {"scalar", best} <= set(results)
    assert len(set(results.values())) == 1


def test_an_unknown_level_is_an_error_that_names_the_known() -> None:
    name, message = run("mmx")
    assert name == "error"
    assert all(word in message for word in ("mmx", "scalar", "VLMRES_FORCE_LEVEL"))
