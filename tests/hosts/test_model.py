"""`mindspore.train.Model`: its own checkpoints, and a stop in the middle that changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mindspore as ms
import mindspore.dataset as ds
import numpy as np
import pytest
from mindspore import nn
from mindspore.train import CheckpointConfig, Model, ModelCheckpoint

import optplan
from tests.mindspore.training import BATCH, CLASSES, WIDTH, deep, weights

if TYPE_CHECKING:
    from pathlib import Path

    from optplan.compiled import Compiled

pytestmark = pytest.mark.mindspore

EPOCHS, BATCHES = 4, 3
DOCUMENT: dict[str, Any] = {
    "optplan": 1,
    "optimizer": {"type": "adamw", "lr": 0.01},
    "optimizers": {"first": {"type": "sgd", "lr": 0.1, "momentum": 0.9}},
    "rules": [{"where": "blocks.0", "use": "first"}, {"where": "norm or bias", "weight_decay": 0}],
    "schedule": {"lr": "warmup(25%) -> cosine(to=0.01x)"},
    "horizon": {"epochs": EPOCHS, "steps_per_epoch": BATCHES},
}
ONE = {key: value for key, value in DOCUMENT.items() if key not in {"optimizers", "rules"}}


def data() -> ds.Dataset:
    """Three batches, in the same order in each epoch."""
    generator = np.random.default_rng(3)
    inputs = generator.standard_normal((BATCHES * BATCH, WIDTH)).astype(np.float32)
    labels = generator.integers(0, CLASSES, BATCHES * BATCH).astype(np.int32)
    return ds.NumpySlicesDataset((inputs, labels), shuffle=False).batch(BATCH)


def train(document: dict[str, Any], epochs: int, folder: Path, *, resume: bool = False) -> tuple[nn.Cell, Compiled]:
    """Train for so many epochs, from what `Model` left in the folder with `resume`; leave what there is then."""
    network = deep()
    compiled = optplan.compile(document, network)
    if resume:
        (file,) = folder.glob("*.ckpt")
        saved = ms.load_checkpoint(str(file))
        assert ms.load_param_into_net(network, saved)[0] == []
        assert ms.load_param_into_net(compiled.optimizer, saved)[0] == []
    leave = ModelCheckpoint("net", str(folder), CheckpointConfig(save_checkpoint_steps=BATCHES, keep_checkpoint_max=1))
    model = Model(network, nn.CrossEntropyLoss(), compiled.optimizer)
    model.train(epochs, data(), callbacks=[leave], dataset_sink_mode=False)
    return network, compiled


@pytest.mark.long_in_graph
@pytest.mark.parametrize("document", [ONE, DOCUMENT], ids=["one", "several"])
def test_a_stop_changes_nothing(document: dict[str, Any], tmp_path: Path) -> None:
    whole, uninterrupted = train(document, EPOCHS, tmp_path / "whole")
    train(document, 2, tmp_path / "parts")
    network, compiled = train(document, EPOCHS - 2, tmp_path / "parts", resume=True)
    assert compiled.lr() == uninterrupted.lr()
    for one, other in zip(weights(network), weights(whole), strict=True):
        np.testing.assert_array_equal(one, other)


def test_lightning_trains_other_networks() -> None:
    with pytest.raises(TypeError, match="Lightning trains networks of PyTorch"):
        optplan.compile(ONE, deep()).lightning()
