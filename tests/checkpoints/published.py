"""Configuration files of published checkpoints, as their authors wrote them: no weights, and only what tells how images are
prepared."""

# ruff: noqa: E501
from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

Json = dict[str, Any]

HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
CLIP = {"image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711]}
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
STEPS = {"do_normalize": True, "do_rescale": True, "do_resize": True, "rescale_factor": 0.00392156862745098}


@dataclass(frozen=True)
class Folder:
    """A checkpoint's files, and what they ask for."""

    recipe: str
    """The recipe's name."""
    image: Json | None = None
    """`preprocessor_config.json`."""
    model: Json | None = None
    """`config.json`."""
    processor: Json | None = None
    """`processor_config.json`."""
    video: Json | None = None
    """`video_preprocessor_config.json`."""
    others: dict[str, Json] = field(default_factory=dict)
    """Further files by name."""
    params: Json = field(default_factory=dict)
    """Parameters that the files say."""
    tokens: int | None = None
    """Of an image of 640x480."""

    def write(self, path: Path) -> Path:
        """The folder on disk."""
        files = {
            "preprocessor_config.json": self.image,
            "config.json": self.model,
            "processor_config.json": self.processor,
            "video_preprocessor_config.json": self.video,
            **self.others,
        }
        for name, content in files.items():
            if content is not None:
                (path / name).write_text(json.dumps(content))
        return path


def model(kind: str, architecture: str, **keys: Any) -> Json:
    """`config.json` of a model."""
    return {"model_type": kind, "architectures": [architecture], "torch_dtype": "bfloat16", **keys}


def remote(module: str, processor: str = "") -> Json:
    """`auto_map` of the checkpoint's own image processor."""
    return {"auto_map": {"AutoImageProcessor": module, **({"AutoProcessor": processor} if processor else {})}}


def siglip(side: int, **keys: Any) -> Json:
    """The file of SigLIP's class."""
    size = {"height": side, "width": side}
    return {**STEPS, **HALF, "image_processor_type": "SiglipImageProcessor", "resample": 3, "size": size, **keys}


def clip(side: int, **keys: Any) -> Json:
    """The file of CLIP's class."""
    crop = {"crop_size": {"height": side, "width": side}, "size": {"shortest_edge": side}, "do_center_crop": True}
    return {**STEPS, **CLIP, **crop, "image_processor_type": "CLIPImageProcessor", "resample": 3, **keys}


def old_clip(side: int, **keys: Any) -> Json:
    """The file of CLIP's class as transformers 4.0 wrote it."""
    crop = {"crop_size": side, "size": side, "do_center_crop": True}
    steps = {"do_normalize": True, "do_resize": True, "feature_extractor_type": "CLIPFeatureExtractor", "resample": 3}
    return {**steps, **CLIP, **crop, **keys}


def qwen(patch: int = 14, **keys: Any) -> Json:
    """The file of Qwen2-VL's class."""
    patches = {"patch_size": patch, "temporal_patch_size": 2, "merge_size": 2}
    return {**CLIP, **patches, "image_processor_type": "Qwen2VLImageProcessor", **keys}


def got_ocr(side: int, **keys: Any) -> Json:
    """The file of GOT-OCR 2's class, as transformers 4.52 wrote it."""
    idle = dict.fromkeys(
        ("crop_size", "device", "disable_grouping", "do_center_crop", "input_data_format", "return_tensors")
    )
    tiles = {"min_patches": 1, "max_patches": 12, "size": {"height": side, "width": side}}
    kind = {
        "image_processor_type": "GotOcr2ImageProcessorFast",
        "data_format": "channels_first",
        "default_to_square": True,
    }
    return {**idle, **STEPS, **tiles, **kind, "do_convert_rgb": True, "resample": 3, **keys}


SOUND: Json = {
    "chunk_length": 300, "dither": 0.0, "feature_extractor_type": "WhisperFeatureExtractor", "feature_size": 128, "hop_length": 160,
    "n_fft": 400, "n_samples": 4800000, "nb_max_frames": 30000, "padding_side": "right", "padding_value": 0.0,
    "return_attention_mask": True, "sampling_rate": 16000,
}  # fmt: skip

LLAVA = {
    "mm_hidden_size": 1024, "mm_projector_type": "mlp2x_gelu", "mm_use_im_patch_token": False, "mm_use_im_start_end": False,
    "mm_vision_select_feature": "patch", "mm_vision_select_layer": -2, "mm_vision_tower": "openai/clip-vit-large-patch14-336",
}  # fmt: skip

PINPOINTS = [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]]

PUBLISHED: dict[str, Folder] = {
    "clip-vit-base-patch32": Folder(
        "clip",
        old_clip(224),
        model("clip", "CLIPModel", vision_config={"model_type": "clip_vision_model", "image_size": 224, "patch_size": 32}),
        params={"patch_size": 32, "shortest_edge": 224},
        tokens=49,
    ),
    "clip-vit-large-patch14-336": Folder(
        "clip",
        old_clip(336),
        model("clip", "CLIPModel", vision_config={"model_type": "clip_vision_model", "image_size": 336, "patch_size": 14}),
        params={"patch_size": 14, "shortest_edge": 336},
        tokens=576,
    ),
    "siglip-so400m-patch14-384": Folder(
        "siglip",
        siglip(384, processor_class="SiglipProcessor"),
        model("siglip", "SiglipModel", vision_config={"model_type": "siglip_vision_model", "image_size": 384, "patch_size": 14}),
        params={"patch_size": 14, "image_width": 384},
        tokens=729,
    ),
    "siglip2-so400m-patch16-naflex": Folder(
        "siglip2-naflex",
        {**STEPS, **HALF, "image_processor_type": "Siglip2ImageProcessor", "max_num_patches": 256, "patch_size": 16,
         "processor_class": "Siglip2Processor", "resample": 2, "do_convert_rgb": None},
        model("siglip2", "Siglip2Model", vision_config={"model_type": "siglip2_vision_model", "patch_size": 16}),
    ),
    "paligemma-3b-pt-448": Folder(
        "paligemma",
        siglip(448, processor_class="PaliGemmaProcessor", image_seq_length=1024, do_convert_rgb=None,
               _valid_processor_keys=["images", "do_resize", "size"]),
        model("paligemma", "PaliGemmaForConditionalGeneration",
              vision_config={"model_type": "siglip_vision_model", "image_size": 448, "patch_size": 14}),
        params={"patch_size": 14, "image_width": 448},
        tokens=1024,
    ),
    "llava-1.5-7b-hf": Folder(
        "llava-1.5",
        clip(336, processor_class="LlavaProcessor", do_convert_rgb=True),
        model("llava", "LlavaForConditionalGeneration",
              vision_config={"model_type": "clip_vision_model", "image_size": 336, "patch_size": 14}),
        {"image_token": "<image>", "num_additional_image_tokens": 1, "patch_size": 14, "processor_class": "LlavaProcessor",
         "vision_feature_select_strategy": "default"},
        params={"shortest_edge": 336, "patch_size": 14},
        tokens=576,
    ),
    "llava with siglip": Folder(
        "siglip",
        siglip(384, processor_class="LlavaProcessor"),
        model("llava", "LlavaForConditionalGeneration",
              vision_config={"model_type": "siglip_vision_model", "image_size": 384, "patch_size": 14}),
        tokens=729,
    ),
    "llava-v1.6-mistral-7b-hf": Folder(
        "llava-next",
        {**clip(336, processor_class="LlavaNextProcessor"), "image_processor_type": "LlavaNextImageProcessor", "do_pad": True,
         "aspect_ratio_setting": "anyres", "image_grid_pinpoints": PINPOINTS},
        model("llava_next", "LlavaNextForConditionalGeneration", image_grid_pinpoints=PINPOINTS,
              vision_config={"model_type": "clip_vision_model", "image_size": 336, "patch_size": 14}),
        params={"image_size": 336, "image_grid_pinpoints": PINPOINTS},
    ),
    "llava-v1.5-7b of the authors": Folder(
        "llava-1.5-pad",
        model=model("llava", "LlavaLlamaForCausalLM", image_aspect_ratio="pad", image_grid_pinpoints=None, **LLAVA),
        params={"arithmetic": "pillow", "shortest_edge": 336},
        tokens=576,
    ),
    "llava-v1 of the authors": Folder(
        "llava-1.5",
        model=model("llava_llama", "LlavaLlamaForCausalLM", image_aspect_ratio="square", **LLAVA),
        params={"arithmetic": "pillow", "shortest_edge": 336},
    ),
    "llava-v1.6-vicuna-7b of the authors": Folder(
        "llava-next",
        model=model("llava_llama", "LlavaLlamaForCausalLM", image_aspect_ratio="anyres", image_crop_resolution=224,
                    image_split_resolution=224, mm_patch_merge_type="spatial_unpad", image_grid_pinpoints=PINPOINTS, **LLAVA),
        params={"image_grid_pinpoints": [[672, 336], [336, 672], [672, 672], [336, 1008], [1008, 336]]},
    ),
    "InternVL2_5-8B of the authors": Folder(
        "internvl2",
        old_clip(448, **IMAGENET),
        model("internvl_chat", "InternVLChatModel", force_image_size=448, downsample_ratio=0.5, dynamic_image_size=True,
              max_dynamic_patch=12, min_dynamic_patch=1, use_thumbnail=True, ps_version="v2",
              vision_config={"model_type": "intern_vit_6b", "image_size": 448, "patch_size": 14},
              auto_map={"AutoConfig": "configuration_internvl_chat.InternVLChatConfig",
                        "AutoModel": "modeling_internvl_chat.InternVLChatModel"}),
        params={"arithmetic": "pillow", "image_size": 448, "max_tiles": 12, **IMAGENET},
        tokens=3330,
    ),
    "Skywork-R1V": Folder(
        "internvl2",
        old_clip(448, **IMAGENET),
        model("skywork_chat", "SkyworkR1VChatModel", force_image_size=448, dynamic_image_size=True, max_dynamic_patch=12, min_dynamic_patch=1,
              use_thumbnail=True),
        params={"image_size": 448},
        tokens=3330,
    ),
    "InternVL3-8B-hf": Folder(
        "internvl2",
        got_ocr(448, crop_to_patches=False, processor_class="InternVLProcessor", **IMAGENET),
        model("internvl", "InternVLForConditionalGeneration", downsample_ratio=0.5, image_seq_length=256,
              vision_config={"model_type": "internvl_vision", "image_size": [448, 448], "patch_size": [14, 14]}),
        {"image_seq_length": 256, "processor_class": "InternVLProcessor"},
        params={"image_size": 448},
        tokens=3330,
    ),
    "Qianfan-OCR": Folder(
        "internvl2",
        got_ocr(448, crop_to_patches=False, processor_class="QianfanOCRProcessor", **IMAGENET),
        tokens=3330,
    ),
    "Intern-S1": Folder(
        "internvl2",
        got_ocr(448, crop_to_patches=False, processor_class="InternS1Processor", **IMAGENET),
        model("interns1", "InternS1ForConditionalGeneration",
              auto_map={"AutoConfig": "configuration_interns1.InternS1Config"}),
        tokens=3330,
    ),
    "Intern-S1 without a processor": Folder(
        "internvl2",
        got_ocr(448, crop_to_patches=False, **IMAGENET),
        model("interns1", "InternS1ForConditionalGeneration"),
        tokens=3330,
    ),
    "GOT-OCR-2.0-hf": Folder(
        "got-ocr2",
        got_ocr(1024, crop_to_patches=False, processor_class="GotOcr2Processor", **CLIP),
        model("got_ocr2", "GotOcr2ForConditionalGeneration", vision_config={"image_size": 1024, "patch_size": 16}),
    ),
    "aya-vision-8b": Folder(
        "aya-vision",
        got_ocr(364, crop_to_patches=True, processor_class="AyaVisionProcessor", **HALF),
        model("aya_vision", "AyaVisionForConditionalGeneration"),
    ),
    "NVLM-D-72B": Folder(
        "nvlm-d",
        old_clip(448, **IMAGENET),
        model("NVLM_D", "NVLM_D_Model", force_image_size=448, dynamic_image_size=True, max_dynamic_patch=6, min_dynamic_patch=1,
              use_thumbnail=True),
        params={"max_tiles": 6},
    ),
    "Qwen2-VL-7B-Instruct": Folder(
        "qwen2-vl",
        qwen(min_pixels=3136, max_pixels=12845056, processor_class="Qwen2VLProcessor"),
        model("qwen2_vl", "Qwen2VLForConditionalGeneration",
              vision_config={"model_type": "qwen2_vl", "patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2}),
        params={"max_pixels": 12845056},
        tokens=391,
    ),
    "Qwen2.5-VL-7B-Instruct": Folder(
        "qwen2.5-vl",
        qwen(min_pixels=3136, max_pixels=12845056, processor_class="Qwen2_5_VLProcessor"),
        model("qwen2_5_vl", "Qwen2_5_VLForConditionalGeneration", vision_config={"model_type": "qwen2_5_vl", "spatial_patch_size": 14}),
        tokens=391,
    ),
    "Qwen2.5-VL by its first name": Folder(
        "qwen2.5-vl",
        {**qwen(min_pixels=3136, max_pixels=12845056, processor_class="Qwen2_5_VLProcessor"),
         "image_processor_type": "Qwen2_5_VLImageProcessor"},
        model("qwen2_5_vl", "Qwen2_5_VLForConditionalGeneration"),
        tokens=391,
    ),
    "Qwen3-VL-8B-Instruct": Folder(
        "qwen3-vl",
        {**qwen(16, **HALF, size={"longest_edge": 16777216, "shortest_edge": 65536}, processor_class="Qwen3VLProcessor"),
         "image_processor_type": "Qwen2VLImageProcessorFast"},
        model("qwen3_vl", "Qwen3VLForConditionalGeneration",
              vision_config={"model_type": "qwen3_vl", "patch_size": 16, "spatial_merge_size": 2, "temporal_patch_size": 2}),
        video={**HALF, "patch_size": 16, "temporal_patch_size": 2, "merge_size": 2, "processor_class": "Qwen3VLProcessor",
               "size": {"longest_edge": 25165824, "shortest_edge": 4096}, "video_processor_type": "Qwen3VLVideoProcessor"},
        params={"max_pixels": 16777216, "video_max_pixels": 25165824},
        tokens=300,
    ),
    "Qwen3.5": Folder(
        "qwen3.5-vl",
        qwen(16, **HALF, size={"longest_edge": 16777216, "shortest_edge": 65536}, processor_class="Qwen3VLProcessor"),
        model("qwen3_5", "Qwen3_5ForConditionalGeneration", vision_config={"patch_size": 16}),
        tokens=300,
    ),
    "Qwen2.5-Omni-7B": Folder(
        "qwen2-vl",
        qwen(min_pixels=3136, max_pixels=12845056, processor_class="Qwen2_5OmniProcessor", **SOUND),
        model("qwen2_5_omni", "Qwen2_5OmniModel"),
        tokens=391,
    ),
    "dots.ocr": Folder(
        "dots.ocr",
        {**qwen(min_pixels=3136, max_pixels=11289600, processor_class="DotsVLProcessor"), "temporal_patch_size": 1},
        model("dots_ocr", "DotsOCRForCausalLM", vision_config={"patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 1}),
        tokens=391,
    ),
    "Ovis2.5-9B": Folder("ovis2.5", siglip(512), model("ovis2_5", "Ovis2_5", vit_config={"patch_size": 16, "hidden_stride": 2}), tokens=302),
    "Ovis2.6-30B-A3B": Folder(
        "ovis2.5", siglip(512), model("ovis2_6_moe", "Ovis2_6_MoeForCausalLM", vit_config={"patch_size": 16, "hidden_stride": 2}), tokens=302
    ),
    "Ovis2.6": Folder("ovis2.5", siglip(512), model("ovis2_6", "Ovis2_6ForCausalLM"), tokens=302),
    "PaddleOCR-VL": Folder(
        "paddleocr-vl",
        {**STEPS, **HALF, **remote("image_processing_paddleocr_vl.PaddleOCRVLImageProcessor", "processing_paddleocr_vl.PaddleOCRVLProcessor"),
         "image_processor_type": "PaddleOCRVLImageProcessor", "processor_class": "PaddleOCRVLProcessor", "min_pixels": 147384,
         "max_pixels": 2822400, "merge_size": 2, "patch_size": 14, "temporal_patch_size": 1, "resample": 3, "do_convert_rgb": True},
        model("paddleocr_vl", "PaddleOCRVLForConditionalGeneration", vision_config={"patch_size": 14, "spatial_merge_size": 2}),
        params={"min_pixels": 147384, "max_pixels": 2822400},
        tokens=391,
    ),
    "PaddleOCR-VL at first": Folder(
        "paddleocr-vl",
        {**STEPS, **HALF, **remote("image_processing.SiglipImageProcessor"), "image_processor_type": "SiglipImageProcessor",
         "processor_class": "PaddleOCRVLProcessor", "min_pixels": 147384, "max_pixels": 2822400, "merge_size": 2, "patch_size": 14,
         "temporal_patch_size": 1, "resample": 3, "do_convert_rgb": True},
        model("paddleocr_vl", "PaddleOCRVLForConditionalGeneration"),
        params={"min_pixels": 147384, "arithmetic": "pillow"},
        tokens=391,
    ),
    "Kimi-VL-A3B": Folder(
        "kimi-vl",
        {**HALF, **remote("image_processing_kimi_vl.KimiVLImageProcessor", "processing_kimi_vl.KimiVLProcessor"),
         "in_token_limit": 4096, "num_pooled_tokens": 1024, "pad_input": True, "patch_size": 14, "merge_kernel_size": [2, 2]},
        model("kimi_vl", "KimiVLForConditionalGeneration", vision_config={"model_type": "moonvit", "patch_size": 14}),
        params={"max_patches": 4096, "merge_size": 2},
        tokens=414,
    ),
    "Kimi-VL-A3B saved again": Folder(
        "kimi-vl",
        {**HALF, "image_processor_type": "KimiVLImageProcessor", "in_token_limit": 4096, "num_pooled_tokens": 1024,
         "pad_input": True, "patch_size": 14, "merge_kernel_size": [2, 2], "processor_class": "KimiVLProcessor"},
        model("kimi_vl", "KimiVLForConditionalGeneration"),
        tokens=414,
    ),
    "Kimi-K2.5 of the authors": Folder(
        "kimi-k2.5",
        {**remote("kimi_k25_vision_processing.KimiK25VisionProcessor", "kimi_k25_processor.KimiK25Processor"),
         "media_proc_cfg": {"in_patch_limit": 16384, "patch_size": 14, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5],
                            "merge_kernel_size": 2, "fixed_output_tokens": None, "patch_limit_on_one_side": 512,
                            "in_patch_limit_each_frame": 4096, "in_patch_limit_video": None, "sample_fps": 2.0,
                            "max_num_frames_each_video": None, "temporal_merge_kernel_size": 4, "timestamp_mode": "hh:mm:ss.fff",
                            "config_type": "media_proc.processors.moonvit.MoonViTMediaProcessorConfig"}},
        model("kimi_k25", "KimiK25ForConditionalGeneration"),
        params={"arithmetic": "pillow", "max_patches": 16384, "max_side_patches": 512, "merge_size": 2},
        tokens=414,
    ),
    "Molmo2-8B": Folder(
        "molmo2",
        {**STEPS, **HALF, **remote("image_processing_molmo2.Molmo2ImageProcessor", "processing_molmo2.Molmo2Processor"),
         "image_processor_type": "Molmo2ImageProcessor", "processor_class": "Molmo2Processor", "size": {"height": 378, "width": 378},
         "max_crops": 8, "overlap_margins": [4, 4], "patch_size": 14, "pooling_size": [2, 2], "resample": 2, "do_convert_rgb": True},
        model("molmo2", "Molmo2ForConditionalGeneration"),
    ),
    "Phi-3.5-vision-instruct": Folder(
        "phi-3.5-vision",
        {**CLIP, **remote("processing_phi3_v.Phi3VImageProcessor", "processing_phi3_v.Phi3VProcessor"), "num_crops": 4,
         "num_img_tokens": 144, "image_processor_type": "Phi3VImageProcessor", "processor_class": "Phi3VProcessor"},
        model("phi3_v", "Phi3VForCausalLM"),
        params={"max_tiles": 4},
    ),
    "deepseek-vl2": Folder(
        "deepseek-vl2",
        processor={**HALF, "candidate_resolutions": [[384, 384], [768, 384], [384, 768]], "downsample_ratio": 2, "normalize": True,
                   "patch_size": 14, "processor_class": "DeepseekVLV2Processor", "image_token": "<image>"},
        model=model("deepseek_vl_v2", "DeepseekVLV2ForCausalLM", vision_config={"patch_size": 14, "model_name": "siglip_so400m_patch14_384"}),
        params={"candidate_resolutions": [[384, 384], [768, 384], [384, 768]]},
    ),
    "DeepSeek-OCR": Folder(
        "deepseek-ocr-gundam",
        processor={**HALF, "candidate_resolutions": [[1024, 1024]], "downsample_ratio": 4, "normalize": True, "patch_size": 16,
                   "processor_class": "DeepseekVLV2Processor", "image_token": "<image>"},
        model=model("deepseek_vl_v2", "DeepseekOCRForCausalLM", candidate_resolutions=[[1024, 1024]]),
    ),
    "SmolVLM-256M-Instruct": Folder(
        "idefics3",
        {**STEPS, **HALF, "do_convert_rgb": True, "do_image_splitting": True, "do_pad": True, "image_processor_type": "Idefics3ImageProcessor",
         "max_image_size": {"longest_edge": 512}, "processor_class": "Idefics3Processor", "resample": 1, "size": {"longest_edge": 2048}},
        model("idefics3", "Idefics3ForConditionalGeneration", scale_factor=4, vision_config={"patch_size": 16}),
        params={"tile_size": 512, "longest_edge": 2048, "patch_size": 16},
    ),
    "SmolVLM2-2.2B-Instruct": Folder(
        "smolvlm",
        {**STEPS, **HALF, "do_convert_rgb": True, "do_image_splitting": True, "do_pad": True, "image_processor_type": "SmolVLMImageProcessor",
         "max_image_size": {"longest_edge": 384}, "processor_class": "SmolVLMProcessor", "resample": 1, "size": {"longest_edge": 1536},
         "video_sampling": {"fps": 1, "max_frames": 64, "video_size": {"longest_edge": 384}}},
        model("smolvlm", "SmolVLMForConditionalGeneration", scale_factor=3, vision_config={"patch_size": 14}),
        params={"tile_size": 384, "patch_size": 14},
    ),
    "gemma-3-4b-it": Folder(
        "gemma3",
        {**STEPS, **HALF, "do_convert_rgb": None, "do_pan_and_scan": None, "image_processor_type": "Gemma3ImageProcessor", "image_seq_length": 256,
         "pan_and_scan_max_num_crops": None, "processor_class": "Gemma3Processor", "resample": 2, "size": {"height": 896, "width": 896}},
        model("gemma3", "Gemma3ForConditionalGeneration", vision_config={"patch_size": 14, "image_size": 896}),
        tokens=256,
    ),
    "Mistral-Small-3.1": Folder(
        "mistral-small-3",
        {**STEPS, **CLIP, "do_convert_rgb": True, "image_processor_type": "PixtralImageProcessorFast", "patch_size": 14,
         "processor_class": "PixtralProcessor", "resample": 3, "size": {"longest_edge": 1540}},
        model("mistral3", "Mistral3ForConditionalGeneration", spatial_merge_size=2, vision_config={"patch_size": 14, "image_size": 1540}),
        {"image_token": "[IMG]", "patch_size": 14, "processor_class": "PixtralProcessor", "spatial_merge_size": 2},
        params={"patch_size": 14, "merge_size": 2, "longest_edge": 1540},
    ),
    "NativeRes-LLaVA": Folder(
        "nativeres-llava",
        model=model("llava_qwen", "LlavaQwenForCausalLM", mm_min_image_token=16, mm_max_image_token=4096),
        params={"min_tokens": 16, "max_tokens": 4096},
    ),
}  # fmt: skip
