"""Real networks in small: the architectures of transformers, built from configurations on the meta device.

Nothing is downloaded and no number is computed.  Where an architecture repeats a block there are more than ten of
them, so that `layers.1` and `layers.10` can be told apart and the order of layers is that of numbers.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import torch
import transformers

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

# Settings that a configuration takes for its base class are none that a type checker knows.
_LABELS: dict[str, Any] = {"num_labels": 10}
_TRANSFORMER: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 12,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}


def vit() -> nn.Module:
    """A vision transformer: class token and positions are bare parameters of one module."""
    return transformers.ViTForImageClassification(
        transformers.ViTConfig(**_TRANSFORMER, image_size=32, patch_size=8, **_LABELS)
    )


def bert() -> nn.Module:
    """A text encoder with a pooler and a classifier."""
    return transformers.BertForSequenceClassification(transformers.BertConfig(**_TRANSFORMER, vocab_size=100))


def gpt2() -> nn.Module:
    """A decoder whose head is tied to its embeddings and whose linear layers store (in, out)."""
    config = transformers.GPT2Config(
        vocab_size=100, n_positions=24, n_embd=16, n_layer=11, n_head=2, bos_token_id=0, eos_token_id=0
    )
    return transformers.GPT2LMHeadModel(config)


def llama() -> nn.Module:
    """A decoder without biases, with RMS norms and grouped queries; its head is not tied."""
    return transformers.LlamaForCausalLM(
        transformers.LlamaConfig(**_TRANSFORMER, num_key_value_heads=1, vocab_size=100, tie_word_embeddings=False)
    )


def convnext() -> nn.Module:
    """A convolutional network with depthwise convolutions and layer scales."""
    config = transformers.ConvNextConfig(depths=[1, 1, 3, 1], hidden_sizes=[8, 16, 24, 32], **_LABELS)
    return transformers.ConvNextForImageClassification(config)


def swin() -> nn.Module:
    """A windowed transformer with tables of relative positions and absolute positions besides."""
    config = transformers.SwinConfig(
        image_size=32,
        patch_size=2,
        embed_dim=8,
        depths=[2, 11],
        num_heads=[2, 4],
        window_size=4,
        use_absolute_embeddings=True,
        **_LABELS,
    )
    return transformers.SwinForImageClassification(config)


def resnet() -> nn.Module:
    """A residual network of bottlenecks; batch norms keep their statistics in buffers."""
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16, 24, 32], depths=[1, 2, 2, 1], layer_type="bottleneck", **_LABELS
    )
    return transformers.ResNetForImageClassification(config)


def detr() -> nn.Module:
    """A detector on a residual network, whose norms are frozen ones: buffers only."""
    features: dict[str, Any] = {"out_features": ["stage4"]}
    native: dict[str, Any] = {"use_timm_backbone": False, "use_pretrained_backbone": False}
    config = transformers.DetrConfig(
        backbone_config=transformers.ResNetConfig(
            embedding_size=8, hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1], layer_type="basic", **features
        ),
        d_model=16,
        encoder_layers=2,
        decoder_layers=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        num_queries=5,
        **native,
    )
    return transformers.DetrForObjectDetection(config)


def t5() -> nn.Module:
    """An encoder and a decoder that share one embedding with each other and with the head: four names."""
    config = transformers.T5Config(vocab_size=100, d_model=16, d_kv=8, d_ff=32, num_layers=11, num_heads=2)
    return transformers.T5ForConditionalGeneration(config)


BUILDERS: dict[str, Callable[[], nn.Module]] = {
    "vit": vit,
    "bert": bert,
    "gpt2": gpt2,
    "llama": llama,
    "convnext": convnext,
    "swin": swin,
    "resnet": resnet,
    "detr": detr,
    "t5": t5,
}


@cache
def build(architecture: str) -> nn.Module:
    """The network on the meta device; always the same one, which no test may change."""
    with torch.device("meta"):
        return BUILDERS[architecture]()


def names_of(network: nn.Module) -> dict[str, list[str]]:
    """First name -> all names of each parameter, in order."""
    names: dict[int, list[str]] = {}
    for name, parameter in network.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    return {each[0]: each for each in names.values()}


def owners_of(network: nn.Module) -> dict[str, nn.Module]:
    """The module that holds each parameter, by every name of the parameter."""
    modules = dict(network.named_modules(remove_duplicate=False))
    every = (name for name, _ in network.named_parameters(remove_duplicate=False))
    return {name: modules[name.rpartition(".")[0]] for name in every}
