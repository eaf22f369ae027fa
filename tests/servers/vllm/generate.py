"""What served checkpoints say to images, as lines of JSON: python -m tests.servers.vllm.generate NAME=FOLDER ..."""

import json
import os
import sys
from typing import Any

from vllm import LLM, SamplingParams
from vllm.distributed import cleanup_dist_env_and_memory

from tests.images import image
from tests.servers.vllm.inspection import inspect_here
from tests.servers.vllm.served import SERVED
from vlmres.integrations.operations.counters import IMAGES, counters

SIZES = [(200, 130), (90, 160), (64, 64)]


def seen(_worker: Any) -> tuple[int, bool]:
    """The process of the engine, and whether vlmres is on in it."""
    from vllm.transformers_utils import processor

    return os.getpid(), hasattr(processor.get_image_processor, "_vlmres_original")


def answers(name: str, folder: str) -> dict[str, Any]:
    """The tokens of each image's answer with their log-probabilities, and what the engine is."""
    served = LLM(
        model=folder,
        tokenizer=folder,
        dtype="float32",
        max_model_len=4096,
        max_num_seqs=len(SIZES),
        enforce_eager=True,
        limit_mm_per_prompt={"image": 1, "video": 0},
        mm_processor_cache_gb=0,
    )
    requests = [{"prompt": SERVED[name].prompt, "multi_modal_data": {"image": image(*size)}} for size in SIZES]
    settings = SamplingParams(temperature=0, max_tokens=8, logprobs=0, ignore_eos=True)
    outputs: list[Any] = served.generate(requests, settings, use_tqdm=False)
    found = []
    for request in outputs:
        (output,) = request.outputs
        chosen = zip(output.token_ids, output.logprobs, strict=True)
        found.append(
            {
                "prompt": list(request.prompt_token_ids),
                "tokens": list(output.token_ids),
                "logprobs": [places[token].logprob for token, places in chosen],
            }
        )
    ((process, is_on),) = served.collective_rpc(seen)
    return {"answers": found, "engine": {"own_process": process != os.getpid(), "vlmres": is_on}}


def main() -> None:
    inspect_here()
    for argument in sys.argv[1:]:
        name, _, folder = argument.partition("=")
        counters.clear()
        try:
            result: dict[str, Any] = {"name": name, **answers(name, folder)}
        except Exception as error:
            result = {"name": name, "answers": f"{type(error).__name__}: {error}"}
        for path in ("vlmres", "original"):
            result[path] = counters.value(IMAGES, path=path)
        print(json.dumps(result), flush=True)
        cleanup_dist_env_and_memory()


if __name__ == "__main__":
    main()
