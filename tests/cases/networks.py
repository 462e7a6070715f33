"""The networks that cases are planned for: small, on the meta device, and made once."""

from __future__ import annotations

import json
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

import optplan

if TYPE_CHECKING:
    from optplan.resolve.network import Network


class Embeddings(nn.Module):
    """Two tables and a norm: 4 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.word = nn.Embedding(11, 4)
        self.position = nn.Embedding(5, 4)
        self.norm = nn.LayerNorm(4)


class Attention(nn.Module):
    """Three projections: 6 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Linear(4, 4)
        self.key = nn.Linear(4, 4)
        self.value = nn.Linear(4, 4)


class Mlp(nn.Module):
    """Up and down: 4 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Linear(4, 8)
        self.down = nn.Linear(8, 4)


class Block(nn.Module):
    """A layer of the encoder: 12 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = Attention()
        self.norm = nn.LayerNorm(4)
        self.mlp = Mlp()


class Encoder(nn.Module):
    """Three layers: 36 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Block() for _ in range(3))


class Small(nn.Module):
    """Embeddings, encoder, classifier: 4 + 36 + 2 = 42 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.embeddings = Embeddings()
        self.encoder = Encoder()
        self.classifier = nn.Linear(4, 3)


class Tied(nn.Module):
    """`head.weight` is `embed.weight`: 6 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(7, 4)
        self.norm = nn.LayerNorm(4)
        self.body = nn.Linear(4, 4, bias=False)
        self.head = nn.Linear(4, 7)
        self.head.weight = self.embed.weight


class Patches(nn.Module):
    """A patch embedding, its norm, two layers of an encoder and a head: 4 + 24 + 2 = 30 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.embeddings = nn.ModuleDict({"patch": nn.Conv2d(3, 4, 2), "norm": nn.LayerNorm(4)})
        self.encoder = nn.ModuleDict({"layers": nn.ModuleList(Block() for _ in range(2))})
        self.head = nn.Linear(4, 3)


@cache
def patches() -> Network:
    """`Patches`, all of it trained."""
    with torch.device("meta"):
        return optplan.network(Patches())


@cache
def small() -> Network:
    """`Small`, all of it trained."""
    with torch.device("meta"):
        return optplan.network(Small())


@cache
def frozen() -> Network:
    """`Small` with its embeddings frozen."""
    with torch.device("meta"):
        model = Small()
    model.embeddings.requires_grad_(requires_grad=False)
    return optplan.network(model)


@cache
def tied() -> Network:
    """`Tied`."""
    with torch.device("meta"):
        return optplan.network(Tied())


@cache
def matrices() -> Network:
    """Two layers without biases, `0.weight` and `1.weight`."""
    with torch.device("meta"):
        return optplan.network(nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 3, bias=False)))


@cache
def header() -> Network:
    """What the header of a checkpoint tells of a layer: names, shapes, types, and no modules."""
    tensors = {
        "layer.weight": {"dtype": "F32", "shape": [4, 4], "data_offsets": [0, 64]},
        "layer.bias": {"dtype": "F32", "shape": [4], "data_offsets": [64, 80]},
    }
    head = json.dumps(tensors).encode()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "layer.safetensors")
        path.write_bytes(len(head).to_bytes(8, "little") + head + bytes(80))
        return optplan.network(str(path))
