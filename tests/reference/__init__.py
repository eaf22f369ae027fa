"""Restatements of authors' code that is in no library. The live library's side is `vlmres.verify.references`."""

# The function here that is each recipe's reference, where no class of transformers is.
RESTATEMENTS = {
    **{
        f"deepseek-ocr-{mode}": "tests.reference.authors.deepseek_ocr"
        for mode in ("tiny", "small", "base", "large", "gundam", "gundam-m")
    },
    "deepseek-vl2": "tests.reference.authors_vl.deepseek_vl2",
    "kimi-vl": "tests.reference.authors_vl.kimi_vl",
    "mistral-common": "tests.reference.servers.mistral_common",
    "mistral-common-small-3": "tests.reference.servers.mistral_common",
    "nativeres-llava": "tests.reference.authors.nativeres_llava",
    "nvlm-d": "tests.reference.authors_vl.nvlm_d",
    "open-clip": "tests.reference.authors.open_clip",
    "ovis2.5": "tests.reference.authors_vl.ovis2_5",
    "phi-3.5-vision": "tests.reference.authors_vl.phi3_v",
    "qwen2.5-vl-utils": "tests.reference.authors.qwen2_5_vl_utils",
    "qwen3-vl-utils": "tests.reference.authors.qwen3_vl_utils",
    "step3-vl": "tests.reference.servers.step3_vl",
}
# Of these only another size of another's.
ALIKE = {"deepseek-ocr-small", "deepseek-ocr-large", "mistral-common-small-3"}
