"""What frameworks and other programs call optimizers, and what a document says about one training step.

For help with names that are not known where they stand, and with mappings that stand where a form is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from optplan.diagnostics import nearest, suggestion
from optplan.frontend.grammar import shown
from optplan.frontend.nodes import Mapping, Scalar, Sequence

if TYPE_CHECKING:
    from collections.abc import Collection

    from optplan.catalog import Forms
    from optplan.frontend.nodes import Node

# Keys of the document.
KEYS = {
    **dict.fromkeys(
        (
            "accumulation",
            "accumulation_steps",
            "accumulate_grad_batches",
            "accumulate_steps",
            "grad_accum",
            "grad_accumulation",
            "gradient_accumulation",
            "gradient_accumulation_steps",
        ),
        "accumulate",
    ),
    **dict.fromkeys(
        ("clip_grad", "clip_grad_norm", "grad_norm", "gradient_clip_val", "gradient_clipping", "max_grad_norm"), "clip"
    ),
    **dict.fromkeys(("grad_scaler", "loss_scale_manager"), "loss_scale"),
    **dict.fromkeys(("scheduler", "lr_scheduler"), "schedule"),
}

# Forms by the key that has them, in small letters and without `_`.
FORMS = {
    "clip": {
        **dict.fromkeys(
            ("clipnorm", "clipgradnorm", "clipbynorm", "clipbyglobalnorm", "globalnorm", "gradnorm", "l2", "maxnorm"),
            "norm",
        ),
        **dict.fromkeys(("clamp", "clipvalue", "clipgradvalue", "clipbyvalue", "maxvalue"), "value"),
    },
    "loss_scale": {
        **dict.fromkeys(
            (
                "auto",
                "dynamiclossscale",
                "dynamiclossscalemanager",
                "dynamiclossscaler",
                "dynamiclossscaleupdatecell",
                "gradscaler",
            ),
            "dynamic",
        ),
        **dict.fromkeys(
            (
                "constant",
                "fixedlossscale",
                "fixedlossscalemanager",
                "fixedlossscaleupdatecell",
                "static",
                "staticlossscaler",
            ),
            "fixed",
        ),
    },
}

# Arguments of forms.
ARGUMENTS = {
    **dict.fromkeys(("clip_norm", "clip_value", "max", "max_norm", "max_value"), ("limit",)),
    **dict.fromkeys(("init", "init_loss_scale", "init_scale", "loss_scale", "scale", "value"), ("scale", "init")),
    "scale_value": ("init", "scale"),
    "drop_overflow_update": ("drop_overflow",),
    **dict.fromkeys(("growth_factor", "scale_factor"), ("growth",)),
    "backoff_factor": ("backoff",),
    **dict.fromkeys(("growth_interval", "interval", "scale_window", "window"), ("every",)),
}

# Words for there being none.
NOTHING = frozenset({"disabled", "false", "no", "null", "off"})

_NAMING = ("type", "kind", "name", "mode")


def as_form(node: Node, forms: Forms) -> str | None:
    """The cure for a mapping or a list that says what a form says: `{norm: 1.0}` is `norm(1.0)`; None where it is none.

    A mapping without values is an expression that YAML took for one, `{norm(1.0)}`.
    """
    if isinstance(node, Sequence):
        items = [shown(item.text.value) for item in node.items if isinstance(item, Scalar)]
        if len(items) != len(node.items) or len(items) not in (1, 2):
            return None
        if items[0] in forms.types:
            return f"write `{items[0]}({', '.join(items[1:])})`"
        return f"write `{items[0]}`, without brackets" if len(items) == 1 else None
    if not isinstance(node, Mapping):
        return None
    parts = {entry.name: shown(entry.value.text.value) for entry in node.entries if isinstance(entry.value, Scalar)}
    if len(parts) < len(node.entries) or not any(parts.values()):
        return None
    named = next((parts.pop(key) for key in _NAMING if key in parts), None)
    if named is None and len(parts) == 1 and (only := next(iter(parts))) in forms.types:
        return f"write `{only}({parts[only]})`"
    # one whose own words these are before one that a framework's words may mean
    for known in sorted(forms.types.values(), key=lambda each: not parts.keys() <= each.arguments.keys()):
        arguments = {_argument(key, known.arguments): value for key, value in parts.items()}
        if named in (None, known.name) and arguments.keys() <= known.arguments.keys():
            said = [value if key == known.positional else f"{key}={value}" for key, value in arguments.items()]
            return f"write `{known.name}({', '.join(said)})`"
    return None


def _argument(key: str, known: Collection[str]) -> str:
    return key if key in known else next((each for each in ARGUMENTS.get(key, ()) if each in known), key)


def as_type(word: str, known: list[str]) -> str | None:
    """The help for an unknown optimizer, which may be the name of a class: `torch.optim.AdamW`, `nn.Momentum`."""
    if word == "momentum":
        return "did you mean `sgd`, with its setting `momentum`, or `mindspore.Momentum`?"
    last = word.rpartition(".")[2]
    own = [name for name in known if "." in name and same_class(word, name)]
    plain = [name for name in known if _folded(name) == _folded(last)]
    its_own = word.startswith("mindspore.")
    same = [*own, *plain] if its_own else [*plain, *own]
    if same:
        return f"did you mean `{same[0]}`?"
    room = [name.partition(".")[2] for name in known if its_own and name.startswith("mindspore.")]
    if close := nearest(last, room):
        return f"did you mean {' or '.join(f'`mindspore.{name}`' for name in close)}?"
    return suggestion(last, [name for name in known if "." not in name])


def same_class(word: str, name: str) -> bool:
    """Whether `word` is a way to write `mindspore.Momentum`: with `nn` in it, without `mindspore`, in other letters."""
    first, _, last = word.rpartition(".")
    framework, _, own = name.rpartition(".")
    room = first.partition(".")[0]
    return _folded(last) == _folded(own) and room in ("", "nn", "ms", "optim", framework)


def _folded(name: str) -> str:
    return name.replace("_", "").lower()
