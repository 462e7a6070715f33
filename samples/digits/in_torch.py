"""The digits under PyTorch: a plain training loop's body, with what a plan is bound to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from resnet_torch import ResidualNetwork
from torch import nn
from torch.nn import functional
from vit_torch import VisionTransformer

if TYPE_CHECKING:
    from collections.abc import Callable

    from data import Images, Labels

    import optplan

torch.set_num_threads(2)  # so small a network gains nothing from more, and on a busy machine they wait for each other

NETWORKS: dict[str, Callable[[], nn.Module]] = {"vit": VisionTransformer, "resnet": ResidualNetwork}


def build(name: str, seed: int) -> nn.Module:
    """Make the network `name`, its weights drawn by `seed`."""
    torch.manual_seed(seed)
    return NETWORKS[name]()


def learner(model: nn.Module, compiled: optplan.Compiled) -> Callable[[Images, Labels], float]:
    """Return what makes one update of `model` with a batch, and gives its loss."""
    optimizer, scheduler = compiled  # an Optimizer and an LRScheduler of PyTorch's: the loop is as ever
    model.train()

    def learn(images: Images, labels: Labels) -> float:
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(torch.from_numpy(images)), torch.from_numpy(labels))
        loss.backward()  # type: ignore[no-untyped-call]  # PyTorch leaves it untyped
        optimizer.step()
        if scheduler is not None:  # a file without a `schedule` needs none
            scheduler.step()
        return loss.item()

    return learn


@torch.no_grad()
def accuracy(model: nn.Module, images: Images, labels: Labels) -> float:
    """Return the share of `images` that `model` reads right, in percent."""
    model.eval()
    hits = model(torch.from_numpy(images)).argmax(dim=1) == torch.from_numpy(labels)
    return 100 * float(hits.float().mean())
