"""Files to plan both twins by, each with the networks that it is for."""

from __future__ import annotations

from typing import NamedTuple


class File(NamedTuple):
    """A document without its first line, and the networks that it has rules for."""

    networks: tuple[str, ...]
    text: str


EVERY = ("residual", "transformer", "recurrent", "embedding")

FILES = {
    "one optimizer": File(EVERY, "optimizer: {type: sgd, lr: 0.1, momentum: 0.9, nesterov: true}\n"),
    "no decay": File(
        EVERY,
        """\
optimizer: {type: adamw, lr: 5e-4, weight_decay: 0.05}
sets: {no_decay: norm or bias or embedding}
rules:
  - {where: no_decay, weight_decay: 0}
schedule: {lr: warmup(5%) -> cosine(to=0.01x)}
""",
    ),
    "fans": File(
        EVERY,
        """\
let: {width: 64}
optimizer: {type: adam, lr: 1e-3}
rules:
  - {name: wide, where: fan_in > 0 and not embedding, lr: base * sqrt(width / fan_in)}
  - {name: out, where: fan_out > 0, eps: 1e-8 / fan_out}
  - {name: many, where: numel > 60, weight_decay: "1e-6 * numel / shape[-1] + 1e-9 * ndim"}
""",
    ),
    "depth of pictures": File(
        ("residual",),
        """\
optimizer: {type: adamw, lr: 1e-3, weight_decay: 0.05}
layers: [[stem, norm], "blocks.{i}", "**"]
rules:
  - {name: depth, where: all, lr: base * 0.75 ** (layers - 1 - layer)}
  - {name: plain, where: ndim <= 1, weight_decay: 0}
schedule: {lr: "warmup(100, shape=exp, from=0.01x) -> poly(power=2)", weight_decay: cosine(to=2x)}
""",
    ),
    "convolutions apart": File(
        ("residual",),
        """\
optimizer: {type: sgd, lr: 0.1, momentum: 0.9, weight_decay: 1e-4}
optimizers: {fine: {type: rmsprop, lr: 1e-3, momentum: 0.5}}
rules:
  - {name: thin, where: depthwise, weight_decay: 0}
  - {where: "conv and not depthwise and shape[-1] == 3", momentum: 0.95}
  - {where: type(PReLU) or scale, use: fine}
  - {where: "{up,spread}.weight", lr: 0.5x}
  - {where: "blocks.{0..1}.pointwise.bias", lr: 2x}
schedule: {lr: "step(every=100, gamma=0.5)", momentum: linear(to=0.5x)}
""",
    ),
    "native names": File(
        ("residual",),
        """\
optimizer: {type: adamw, lr: 1e-3}
rules:
  - {where: blocks.*.norm1.weight or norm.weight, lr: 0.1x, optional: true}
  - {where: .act, lr: 0.2x}
  - {where: "/norm2.(weight|gamma)$/", lr: 0.3x}
  - {where: "/norm2[.](bias|beta)$/", lr: 0.4x}
""",
    ),
    "matrices by Muon": File(
        ("transformer",),
        """\
optimizer: {type: adamw, lr: 3e-4, weight_decay: 0.1, betas: [0.9, 0.95]}
optimizers: {hidden: {type: muon, lr: 0.02, momentum: 0.95}}
layers: [[table, position, temperature], "layers.{i}", "**"]
rules:
  - {name: matrices, where: "layers and linear and ndim == 2", use: hidden}
  - {name: no_decay, where: norm or bias or position, weight_decay: 0}
  - {name: depth, where: all, lr: base * 0.8 ** (layers - 1 - layer)}
  - {name: late, where: "layer == 4", "betas[1]": 0.99, optional: true}
schedule:
  lr: warmup(10%) -> hold(50%) -> cosine(to=0.1x)
  "betas[0]": linear(to=0.8)
""",
    ),
    "attention": File(
        ("transformer",),
        """\
optimizer: {type: nadam, lr: 1e-3}
rules:
  - {where: attention and not bias, lr: 0.5x}
  - {where: attention and bias, lr: 0.25x}
  - {where: "inside(Attention) and not .{key,query}", weight_decay: 0.1}
  - {where: tied, lr: 2x}
  - {where: type(LayerNorm), eps: 1e-6}
""",
    ),
    "frozen": File(
        ("transformer",),
        """\
optimizer: {type: adagrad, lr: 1e-2}
rules:
  - {where: frozen, freeze: false}
  - {where: "layers.{0,1} or gather", freeze: true}
  - {where: layers.1.norm2, freeze: false, lr: 0.1x}
  - {where: "path(position)", lr: 3x}
""",
    ),
    "a schedule for the head": File(
        ("transformer", "recurrent", "embedding"),
        """\
optimizer: {type: radam, lr: 1e-3, weight_decay: 0.01}
rules:
  - {where: head, schedule: {lr: "warmup(50)"}}
  - {where: "norm or .decoder.bias*", schedule: {lr: hold(at=1e-5)}}
  - {where: "bias and not norm", schedule: {lr: "hold(1 epoch, at=0x) -> base", weight_decay: "hold(at=0.5x)"}}
horizon: {epochs: 10, steps_per_epoch: 50}
schedule: {lr: "cosine() per epoch"}
""",
    ),
    "recurrent": File(
        ("recurrent",),
        """\
optimizer: {type: adamax, lr: 2e-3}
optimizers: {table: {type: adadelta, lr: 0.5}}
rules:
  - {where: embedding, use: table}
  - {where: recurrent, lr: 0.5x}
  - {where: "type(LSTM) and bias", lr: 0.25x}
  - {where: "encoder.weight_hh_l[01]*", weight_decay: 1e-4}
  - {where: "/_reverse$/", lr: 0.9x}
  - {where: "conv and ndim == 3", weight_decay: 1e-3, eps: "1e-8 * fan_in * shape[1] * shape[2]"}
  - {where: depthwise, lr: 3x}
  - {where: type(Conv1d) and bias, lr: 4x}
  - {where: last and ndim == 1, lr: 5x}
schedule: {lr: "multistep(at=[100, 200], gamma=0.1)"}
""",
    ),
    "tables": File(
        ("embedding",),
        """\
optimizer: {type: adafactor, lr: 1e-2}
optimizers: {tables: {type: sgd, lr: 1}}
rules:
  - {where: "embedding and shape[0] >= 10", use: tables, lr: "base / shape[0]"}
  - {where: "type(*Norm)", weight_decay: 0.01}
  - {where: type(GroupNorm) and scale, lr: 0.1x}
  - {where: mlp.3, lr: 0.2x}
  - {where: "dtype == float32 and not mlp", d: 2}
""",
    ),
}
