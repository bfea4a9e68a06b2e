"""Tiny pipelines of diffusers, of random numbers, saved in folders as users have them; nothing is downloaded."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

needs_diffusers = pytest.mark.skipif(
    importlib.util.find_spec("diffusers") is None, reason="diffusers is not installed: uv sync --extra diffusion"
)
SIDE = 16  # pixels at which the tiny pipelines draw
_START, _END = "<|startoftext|>", "<|endoftext|>"


def _tokenizer(folder: Path) -> Any:
    """A tokenizer of single letters, from files written here."""
    from transformers import CLIPTokenizer

    letters = [chr(code) for code in range(33, 127)]
    words = [_START, _END, *letters, *(f"{letter}</w>" for letter in letters)]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    vocabulary = json.loads((folder / "vocab.json").read_text())
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=32)


def _text_encoder(tokenizer: Any) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel

    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer), hidden_size=8, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
            max_position_embeddings=32, bos_token_id=0, eos_token_id=1, pad_token_id=1,
        )
    ).eval()  # fmt: skip


def _vae() -> Any:
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(4, 8), norm_num_groups=2, latent_channels=4, sample_size=SIDE,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
    ).eval()  # fmt: skip


def _unet(**more: Any) -> Any:
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=SIDE // 2, block_out_channels=(4, 8), layers_per_block=1, norm_num_groups=2, cross_attention_dim=8,
        attention_head_dim=2, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), **more,
    ).eval()  # fmt: skip


def stable_diffusion(folder: Path, *, gligen: bool = False, broken: bool = False) -> Path:
    """A text-to-image pipeline, or one that takes boxes; a broken one computes numbers that are none."""
    import diffusers
    import torch

    torch.manual_seed(0)
    tokenizer = _tokenizer(folder.parent / "tokenizer")
    unet = _unet(attention_type="gated") if gligen else _unet()
    if broken:
        torch.nn.init.constant_(unet.conv_out.bias, float("nan"))
    kind = "StableDiffusionGLIGENPipeline" if gligen else "StableDiffusionPipeline"
    made = getattr(diffusers, kind)(
        unet=unet, vae=_vae(), text_encoder=_text_encoder(tokenizer), tokenizer=tokenizer,
        scheduler=diffusers.DDIMScheduler(clip_sample=False, set_alpha_to_one=False, steps_offset=1),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    made.save_pretrained(folder, safe_serialization=True)
    return folder


def by_class(folder: Path, names: dict[int, str]) -> Path:
    """A pipeline that is told classes by number."""
    import torch
    from diffusers import DDIMScheduler, DiTPipeline, DiTTransformer2DModel

    torch.manual_seed(0)
    transformer = DiTTransformer2DModel(
        sample_size=SIDE // 2, num_layers=1, patch_size=4, attention_head_dim=4, num_attention_heads=2, in_channels=4,
        out_channels=8, num_embeds_ada_norm=1000,
    ).eval()  # fmt: skip
    made = DiTPipeline(transformer=transformer, vae=_vae(), scheduler=DDIMScheduler())
    made.save_pretrained(folder, safe_serialization=True)
    index = json.loads((folder / "model_index.json").read_text())
    index["id2label"] = {str(number): name for number, name in names.items()}  # as published ones have it
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def unconditional(folder: Path) -> Path:
    """A pipeline that is told nothing."""
    from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

    unet = UNet2DModel(
        sample_size=SIDE, block_out_channels=(4, 8), layers_per_block=1, norm_num_groups=2,
        down_block_types=("DownBlock2D",) * 2, up_block_types=("UpBlock2D",) * 2,
    )  # fmt: skip
    DDPMPipeline(unet=unet, scheduler=DDPMScheduler()).save_pretrained(folder, safe_serialization=True)
    return folder
