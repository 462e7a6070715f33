"""Muon by PyTorch's formula, its bfloat16 iteration in float32.

    b = lerp(b, g, 1 - momentum)
    u = lerp(g, b, momentum) with nesterov, else b
    X = u / max(|u|, eps), transposed where it has more rows than columns
    ns_steps times, with (k0, k1, k2) = ns_coefficients:   A = X X';  B = k1 * A + k2 * A A;  X = k0 * X + B X
    parameter = (1 - lr * weight_decay) * parameter - lr * ratio * X, transposed back

where PyTorch has u, its norm, eps, A, B and each X in bfloat16, every operation summing in float32 and rounding once.
There are no bfloat16 kernels on CPU, so here each result is a float32 that is rounded to eight bits, which is the same.
What remains is the order of sums, which turns a last bit of some elements in ten thousand, each time; a gradient that
differs in its own last bit does as much to PyTorch.

Matrices of one shape, or of one and its transpose, go through the iteration together: a graph of one iteration for each
shape compiles in a fraction of the time that one for each matrix takes, and a batch of products is faster than as many
single ones.

Source: `torch.optim.Muon`; Jordan et al., Muon: An optimizer for hidden layers in neural networks, 2024.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from mindspore import Tensor, jit, ops
from mindspore import dtype as mstype
from mindspore.ops.composite import MultitypeFuncGraph

from optplan.targets.mindspore.table import cell
from optplan.targets.mindspore.update import Tensors, Update, picked

if TYPE_CHECKING:
    from optplan.targets.mindspore.table import Number

_average = MultitypeFuncGraph("average")
_ahead = MultitypeFuncGraph("ahead")
_joined = MultitypeFuncGraph("joined")
_orthogonal = MultitypeFuncGraph("orthogonal")
_move = MultitypeFuncGraph("move")
_concat = ops.Concat()
_gather = ops.Gather()
_product = ops.BatchMatMul()
_gram = ops.BatchMatMul(transpose_b=True)


def _stored(tensor: Tensor) -> Tensor:
    """What bfloat16 keeps of float32, as float32: any number, ties to even."""
    return ops.cast(ops.cast(tensor, mstype.bfloat16), mstype.float32)


def _rounded(tensor: Tensor) -> Tensor:
    """The same for numbers between 1e-33 and 1e33 in size, ten times faster than to cast to and fro.

    The product's last bit is worth the bit to round at, and the difference leaves what was rounded there (Dekker 1971).
    """
    product = tensor * 65537.0
    return product - (product - tensor)


def _turned(update: Tensor) -> Tensor:
    """What is to be made orthogonal, (1, rows, cols), turned to have at least as many columns as rows."""
    if update.shape[0] > update.shape[1]:
        update = ops.transpose(update, (1, 0))
    return ops.expand_dims(update, 0)


@_average.register(*["Tensor"] * 4)
def _average_of(momentum: Tensor, rest: Tensor, average: Tensor, gradient: Tensor) -> Tensor:
    update = momentum * average + rest * gradient
    ops.assign(average, update)
    return _turned(update)


@_ahead.register(*["Tensor"] * 4)
def _ahead_of(momentum: Tensor, rest: Tensor, average: Tensor, gradient: Tensor) -> Tensor:
    update = momentum * average + rest * gradient
    ops.assign(average, update)
    return _turned(rest * gradient + momentum * update)


@_joined.register("Tensor", "Tensor")
def _join(some: Tensor, more: Tensor) -> Tensor:
    return _concat((some, more))


@_orthogonal.register(*["Tensor"] * 5, "Number")
def _orthogonal_matrices(k0: Tensor, k1: Tensor, k2: Tensor, eps: Tensor, matrices: Tensor, ns_steps: int) -> Tensor:
    """Matrices (n, rows, cols), each nearly orthogonal."""
    x = _stored(matrices)
    norm = _stored(ops.sqrt(ops.sum(ops.sum(ops.square(x), -1, True), -2, True)))
    # `ops.maximum` gives the second of two where one is nan, and so hands it on.
    x = _rounded(x / ops.maximum(_stored(eps), norm))
    for _ in range(ns_steps):
        a = _rounded(_gram(x, x))
        b = _rounded(k1 * a + k2 * _product(a, a))
        x = _rounded(k0 * x + _product(b, x))
    return x


@_move.register(*["Tensor"] * 7)
def _move_matrix(
    unscaled: Tensor, rate: Tensor, decay: Tensor, ratio: Tensor, parameter: Tensor, batch: Tensor, place: Tensor
) -> bool:
    direction = _gather(batch, place, 0)
    if parameter.shape[0] > parameter.shape[1]:
        direction = ops.transpose(direction, (1, 0))
    ops.assign(parameter, parameter * (1.0 - rate * (decay * unscaled)) - (rate * ratio) * direction)
    return True


def _ratio(adjust_lr_fn: str | None, rows: int, cols: int) -> float:
    """What the learning rate of a matrix is multiplied by."""
    if adjust_lr_fn == "match_rms_adamw":
        return 0.2 * math.sqrt(max(rows, cols))
    return math.sqrt(max(1.0, rows / cols))


class Muon(Update):
    """`torch.optim.Muon`: arguments as there, `learning_rate` for lr; each number may be a `Table`.

    State: `momentum_buffer` in the shapes of the parameters, which are matrices, and `global_step`.
    """

    def __init__(
        self,
        params: Any,
        learning_rate: Number = 1e-3,
        weight_decay: Number = 0.1,
        momentum: Number = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[Number, Number, Number] = (3.4445, -4.775, 2.0315),
        eps: Number = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
        loss_scale: float = 1.0,
    ) -> None:
        super().__init__(learning_rate, params, weight_decay, loss_scale)
        self.nesterov, self.ns_steps = nesterov, ns_steps
        self.momentum_at, self.rest_at, self.eps_at = cell(momentum), cell(momentum, lambda m: 1.0 - m), cell(eps)
        self.k0_at, self.k1_at, self.k2_at = map(cell, ns_coefficients)
        self.ratios = tuple(Tensor(_ratio(adjust_lr_fn, *each.shape), mstype.float32) for each in self._parameters)
        self.momentum_buffer = self._parameters.clone(prefix="momentum_buffer", init="zeros")
        shapes: dict[tuple[int, ...], list[int]] = {}
        for place, each in enumerate(self._parameters):
            shapes.setdefault(tuple(sorted(each.shape)), []).append(place)
        self.batches = tuple(map(tuple, shapes.values()))
        # Of each parameter, its batch and its place therein.
        found = {place: (n, at) for n, batch in enumerate(self.batches) for at, place in enumerate(batch)}
        self.batch_of = tuple(found[place][0] for place in range(len(found)))
        self.place_in = tuple(Tensor(found[place][1], mstype.int32) for place in range(len(found)))

    @jit
    def construct(self, gradients: Tensors) -> Any:
        """One update with `gradients`, in the order of `parameters`."""
        gradients = self.plain(gradients)
        lr = self.get_lr()
        decay = self.get_weight_decay()
        now = self.global_step
        numbers = (self.momentum_at(now), self.rest_at(now))
        coefficients = (self.k0_at(now), self.k1_at(now), self.k2_at(now))
        eps = self.eps_at(now)
        self.advanced()
        update = _ahead if self.nesterov else _average
        turned = self.mapped(update, numbers, self.momentum_buffer, gradients)
        batches: Any = ()
        for batch in self.batches:
            matrices = self.stacked(picked(turned, batch))
            batches += (_orthogonal(*coefficients, eps, matrices, self.ns_steps),)
        own = (self.ratios, self._parameters, picked(batches, self.batch_of), self.place_in)
        return self.each_decayed(_move, (self.unscaled,), lr, decay, *own)

    def stacked(self, parts: Tensors) -> Tensor:
        """Tensors (1, rows, cols) along their first dimension, in their order.

        Two by two: in a step with a sparse gradient in it, nothing is known of what comes from a gradient when the
        graph is first looked at, and what takes a tuple of such does not compile.
        """
        while len(parts) > 1:
            pairs = len(parts) // 2
            parts = self.map_(_joined, parts[0 : 2 * pairs : 2], parts[1 : 2 * pairs : 2]) + parts[2 * pairs :]
        return parts[0]
