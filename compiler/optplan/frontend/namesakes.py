"""What frameworks and other programs call what a document says about one training step.

For help with names that are not known where they stand, and with mappings that stand where a form is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    **dict.fromkeys(("clip_grad", "grad_norm", "gradient_clip_val", "gradient_clipping", "max_grad_norm"), "clip"),
    **dict.fromkeys(("amp", "fp16", "grad_scaler", "loss_scale_manager", "mixed_precision"), "loss_scale"),
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
