"""What was published for networks of language: each rule again, by the names of its own code."""

from __future__ import annotations

from math import ceil, cos, floor, pi, sqrt
from typing import TYPE_CHECKING, Any

import transformers
from torch import nn
from torch.optim import AdamW, Muon

from tests.recipes.recipe import Parts, Recipe, Seen

if TYPE_CHECKING:
    from tests.recipes.recipe import Settings, Values

_SMALL: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "intermediate_size": 32,
    "vocab_size": 100,
}


# nanoGPT


def gpt2(depth: int = 12) -> nn.Module:
    sizes: dict[str, Any] = {"vocab_size": 100, "n_positions": 24, "n_embd": 16, "n_layer": depth, "n_head": 2}
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes, bos_token_id=0, eos_token_id=0))


def nanogpt_settings(seen: Seen) -> Settings:
    return AdamW, {"lr": 6e-4, "betas": (0.9, 0.95), "weight_decay": 0.1 if seen.ndim >= 2 else 0.0}


def nanogpt_values(_: Seen, t: int) -> Values:
    if t < 2000:
        return {"lr": 6e-4 * (t + 1) / 2001}
    if t > 600_000:
        return {"lr": 6e-5}
    progress = (t - 2000) / (600_000 - 2000)
    return {"lr": 6e-5 + 0.5 * (1 + cos(pi * progress)) * (6e-4 - 6e-5)}


# Muon by its author, and as Moonlight uses it


def llama() -> nn.Module:
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**_SMALL, tie_word_embeddings=False))


def qwen2() -> nn.Module:
    return transformers.Qwen2ForCausalLM(transformers.Qwen2Config(**_SMALL, tie_word_embeddings=True))


def hidden_matrix(seen: Seen) -> bool:
    return seen.ndim >= 2 and "embed_tokens" not in seen.name and "lm_head" not in seen.name


def muon_settings(seen: Seen) -> Settings:
    if hidden_matrix(seen):
        return Muon, {"lr": 0.02, "momentum": 0.95, "weight_decay": 0.01}
    return AdamW, {"lr": 3e-4, "betas": (0.9, 0.95), "eps": 1e-10, "weight_decay": 0.01}


def muon_values(seen: Seen, _: int) -> Values:
    return {"lr": 0.02 if hidden_matrix(seen) else 3e-4}


def moonlight_settings(seen: Seen) -> Settings:
    if hidden_matrix(seen):
        return Muon, {"lr": 1e-3, "weight_decay": 0.1, "momentum": 0.95, "adjust_lr_fn": "match_rms_adamw"}
    return AdamW, {"lr": 1e-3, "betas": (0.9, 0.95), "weight_decay": 0.1}


def cosine_with_warmup(t: int, warm: int, total: int) -> float:
    """The schedule that transformers gives by this name."""
    if t < warm:
        return t / max(1, warm)
    return max(0.0, 0.5 * (1 + cos(pi * min((t - warm) / max(1, total - warm), 1.0))))


def moonlight_values(_: Seen, t: int) -> Values:
    return {"lr": 1e-3 * cosine_with_warmup(t, 100, 10_000)}


# LLaVA-1.5 by adapters


def llava(depth: int = 12) -> nn.Module:
    """The adapters beside frozen matrices, with the names that peft gives, and the projector."""

    def adapted() -> nn.Module:
        frozen = nn.Linear(8, 8, bias=False).requires_grad_(requires_grad=False)
        one, two = nn.Linear(8, 2, bias=False), nn.Linear(2, 8, bias=False)
        return Parts(base_layer=frozen, lora_A=nn.ModuleDict({"default": one}), lora_B=nn.ModuleDict({"default": two}))

    layers = [
        Parts(self_attn=Parts(q_proj=adapted(), v_proj=adapted()), mlp=Parts(up_proj=adapted())) for _ in range(depth)
    ]
    projector = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 8))
    inner = Parts(layers=nn.ModuleList(layers), mm_projector=projector)
    return Parts(base_model=Parts(model=Parts(model=inner)))


def llava_rate(seen: Seen) -> float:
    return 2e-5 if "mm_projector" in seen.name else 2e-4


def llava_settings(seen: Seen) -> Settings:
    return AdamW, {"lr": llava_rate(seen), "weight_decay": 0.0}


def llava_values(seen: Seen, t: int) -> Values:
    return {"lr": llava_rate(seen) * cosine_with_warmup(t, ceil(0.03 * 5198), 5198)}


def llava_plus_ratio(seen: Seen) -> float:
    return 16.0 if ".lora_B." in seen.name else 1.0


def llava_plus_settings(seen: Seen) -> Settings:
    return AdamW, {"lr": llava_plus_ratio(seen) * llava_rate(seen), "weight_decay": 0.0}


def llava_plus_values(seen: Seen, t: int) -> Values:
    return {"lr": llava_plus_ratio(seen) * llava_values(seen, t)["lr"]}


# Warm-up, stable, decay


def wsd_settings(seen: Seen) -> Settings:
    return AdamW, {"lr": 0.01, "betas": (0.9, 0.95), "weight_decay": 0.1 if seen.ndim >= 2 else 0.0}


_WARM, _STABLE, _TOTAL = 2000, 180_000, 200_000


def wsd(t: int, fall: float) -> Values:
    if t < _WARM:
        return {"lr": 0.01 * t / _WARM}
    return {"lr": 0.01 if t < _STABLE else 0.01 * fall}


def progress(t: int) -> float:
    """Of the last phase, from 0 to 1."""
    return min(max(t - _STABLE, 0), _TOTAL - _STABLE) / (_TOTAL - _STABLE)


# ULMFiT


def awd_lstm() -> nn.Module:
    rnns = nn.ModuleList(nn.LSTM(4, 4) for _ in range(3))
    classifier = nn.Sequential(nn.BatchNorm1d(12), nn.Linear(12, 5), nn.ReLU(), nn.Linear(5, 2))
    return Parts(encoder=nn.Embedding(20, 4), rnns=rnns, classifier=classifier)


def ulmfit_depth(seen: Seen) -> int:
    """How many layers are above that of the parameter."""
    if seen.name.startswith("classifier"):
        return 0
    return 4 if seen.name.startswith("encoder") else 3 - int(seen.name.split(".")[1])


def ulmfit_settings(seen: Seen) -> Settings:
    return AdamW, {"lr": 0.01 / 2.6 ** ulmfit_depth(seen), "betas": (0.7, 0.99), "weight_decay": 0.0}


def ulmfit_values(seen: Seen, t: int) -> Values:
    """Equation 3 of the paper; a layer below the last k + 1 is not yet thawed in epoch k."""
    total, share, ratio, epoch = 2500, 0.1, 32, 250
    cut = floor(total * share)
    p = t / cut if t < cut else 1 - (t - cut) / (cut * (1 / share - 1))
    rate = 0.01 * (1 + p * (ratio - 1)) / ratio
    return {"lr": rate / 2.6 ** ulmfit_depth(seen) if ulmfit_depth(seen) <= t // epoch else 0.0}


_WSD_UPDATES = (0, 1, 1999, 2000, 2001, 100_000, 179_999, 180_000, 180_001, 185_000, 190_000, 195_000, 199_999, 200_000)

LANGUAGE = {
    "nanogpt": Recipe(
        gpt2, nanogpt_settings, nanogpt_values, (0, 1, 1999, 2000, 2001, 301_000, 599_999, 600_000, 600_001)
    ),
    "muon": Recipe(llama, muon_settings, muon_values, (0, 1, 1000)),
    "moonlight": Recipe(qwen2, moonlight_settings, moonlight_values, (0, 1, 99, 100, 101, 5050, 9999, 10_000)),
    "llava_lora": Recipe(llava, llava_settings, llava_values, (0, 1, 155, 156, 157, 2677, 5197, 5198)),
    "llava_lora_plus": Recipe(llava, llava_plus_settings, llava_plus_values, (0, 1, 155, 156, 157, 2677, 5197, 5198)),
    "wsd": Recipe(llama, wsd_settings, lambda _, t: wsd(t, 0.5 ** ((t - _STABLE) / 5000)), _WSD_UPDATES),
    "wsd_linear": Recipe(llama, wsd_settings, lambda _, t: wsd(t, 1 - progress(t)), _WSD_UPDATES),
    "wsd_cosine": Recipe(llama, wsd_settings, lambda _, t: wsd(t, (1 + cos(pi * progress(t))) / 2), _WSD_UPDATES),
    "wsd_sqrt": Recipe(llama, wsd_settings, lambda _, t: wsd(t, 1 - sqrt(progress(t))), _WSD_UPDATES),
    "ulmfit": Recipe(
        awd_lstm, ulmfit_settings, ulmfit_values, (0, 1, 249, 250, 251, 499, 500, 749, 750, 999, 1000, 1700, 2499)
    ),
}
