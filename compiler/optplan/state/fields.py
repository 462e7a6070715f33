"""What state an optimizer has of a parameter: the names, shapes and conditions of `torch.optim`'s classes.

    like     of the parameter's shape
    number   one number: a tensor of no dimension in PyTorch, in SparseAdam a plain one
    row      of the parameter's shape with 1 for the last extent; where there are two dimensions or more
    column   of the parameter's shape with 1 for the one before the last; as above
    flat     like, where there are fewer than two
    whole    of all parameters together, kept with the first: any form

Source: the `step` functions of `torch.optim`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from optplan.setting import Plain

Shape = tuple[int, ...]
Form = Literal["like", "number", "row", "column", "flat", "whole"]


class Field(NamedTuple):
    """One field; `when` is the setting that must be above 0 or true for it to be there.

    One that is `late` begins with what the first update makes, and is not there before.
    """

    name: str
    form: Form = "like"
    when: str | None = None
    late: bool = False


_STEP = Field("step", "number")
_ADAM = (_STEP, Field("exp_avg"), Field("exp_avg_sq"), Field("max_exp_avg_sq", when="amsgrad"))
_LBFGS = ("d", "t", "old_dirs", "old_stps", "ro", "H_diag", "prev_flat_grad", "prev_loss", "func_evals", "n_iter", "al")

FIELDS: Mapping[str, tuple[Field, ...]] = {
    "sgd": (Field("momentum_buffer", when="momentum", late=True),),
    "adam": _ADAM,
    "adamw": _ADAM,
    "adamax": (_STEP, Field("exp_avg"), Field("exp_inf")),
    "nadam": (_STEP, Field("mu_product", "number"), Field("exp_avg"), Field("exp_avg_sq")),
    "radam": (_STEP, Field("exp_avg"), Field("exp_avg_sq")),
    "adagrad": (_STEP, Field("sum")),
    "adadelta": (_STEP, Field("square_avg"), Field("acc_delta")),
    "rmsprop": (
        _STEP,
        Field("square_avg"),
        Field("momentum_buffer", when="momentum"),
        Field("grad_avg", when="centered"),
    ),
    "rprop": (_STEP, Field("prev"), Field("step_size")),
    "asgd": (_STEP, Field("eta", "number"), Field("mu", "number"), Field("ax")),
    "adafactor": (_STEP, Field("row_var", "row"), Field("col_var", "column"), Field("variance", "flat")),
    "muon": (Field("momentum_buffer"),),
    "sparse_adam": (_STEP, Field("exp_avg"), Field("exp_avg_sq")),
    "lbfgs": tuple(Field(name, "whole") for name in _LBFGS),
}

# Whose buffers are sparse under sparse gradients
HOLDS_SPARSE = frozenset({"sgd"})

_ALIKE = (frozenset({"adam", "adamw"}),)


def alike(one: str, other: str) -> bool:
    """Whether two optimizers have the same state of a parameter, with the same meaning."""
    return one == other or any({one, other} <= each for each in _ALIKE)


def shape_of(form: Form, shape: Shape) -> Shape | None:
    """The shape that a field has of a parameter of `shape`; None where it has none of that parameter."""
    factored = len(shape) >= 2
    if form == "number":
        return ()
    if form in ("row", "column"):
        if not factored:
            return None
        return (*shape[:-1], 1) if form == "row" else (*shape[:-2], 1, shape[-1])
    return None if form == "flat" and factored else shape


def fields_of(
    optimizer: str, settings: Mapping[str, Plain], scheduled: Container[str], shape: Shape
) -> tuple[dict[str, Shape | None], frozenset[str]] | None:
    """The fields of a parameter after an update, with their shapes, and which of these need not be there.

    The shape is None where it may be any.  None for an optimizer that is registered, of which nothing is known.
    """
    if optimizer not in FIELDS:
        return None
    found: dict[str, Shape | None] = {}
    optional = set()
    for each in FIELDS[optimizer]:
        # What changes from update to update may have been above 0 before, or be so later.
        changes = each.when is not None and each.when in scheduled
        if each.when is not None and not changes and not settings.get(each.when):
            continue
        if each.form == "whole":
            found[each.name] = None
            optional.add(each.name)
        elif (of := shape_of(each.form, shape)) is not None:
            found[each.name] = of
            if changes:
                optional.add(each.name)
    return found, frozenset(optional)


def is_late(optimizer: str, field: str) -> bool:
    """Whether a field that is not there is made by the next update."""
    return any(each.late for each in FIELDS.get(optimizer, ()) if each.name == field)
