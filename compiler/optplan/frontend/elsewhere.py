"""Keys that a document or other programs have in another place or form: what to write for one, and where.

Only for help with a key that is not known where it stands.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from optplan.catalog import ELSEWHERE
from optplan.frontend.grammar import shown
from optplan.frontend.namesakes import KEYS
from optplan.frontend.nodes import Scalar

if TYPE_CHECKING:
    from collections.abc import Collection

    from optplan.catalog import Catalog
    from optplan.frontend.nodes import Node

Place = Literal["document", "optimizer", "rule", "horizon"]

# Parts of `horizon`, in small letters.
_LENGTHS = {
    **dict.fromkeys(
        (
            *("steps", "max_steps", "num_steps", "total_steps", "train_steps", "num_training_steps", "max_iters"),
            *("total_iters", "num_iters", "iterations", "updates", "num_updates"),
        ),
        "steps",
    ),
    **dict.fromkeys(("epochs", "max_epochs", "num_epochs", "total_epochs", "num_train_epochs"), "epochs"),
    "steps_per_epoch": "steps_per_epoch",
    "samples_per_step": "samples_per_step",
    "tokens_per_step": "tokens_per_step",
}

# Limits of gradients, by the form of `clip` that has them; a `_` at the end is left out.
_LIMITS = {
    **dict.fromkeys(
        (
            *("clip_grad", "clip_grad_norm", "clip_norm", "gradient_clip_val", "gradient_clipping", "grad_clip"),
            *("max_grad_norm", "max_norm"),
        ),
        "norm",
    ),
    **dict.fromkeys(("clip_grad_value", "clip_value", "max_grad_value"), "value"),
}

_PRECISIONS = frozenset({"amp", "autocast", "bf16", "dtype", "fp16", "half", "mixed_precision", "precision"})

# How long the rate rises, in what a phase is told.
_WARMUPS = {
    **dict.fromkeys(
        ("warmup", "warmup_fraction", "warmup_iters", "warmup_ratio", "warmup_steps", "num_warmup_steps"), "{}"
    ),
    **dict.fromkeys(("warmup_epochs", "num_warmup_epochs"), "{} epochs"),
}

_FREEZING = frozenset({"freeze", "frozen", "requires_grad", "trainable"})
# Factors of the learning rate: in a rule they are ratios.
_FACTORS = frozenset({"lr_mult", "lr_scale"})


def elsewhere(name: str, node: Node | None, place: Place, known: Collection[str], catalog: Catalog) -> str | None:
    """What to write for the key `name`, which holds `node`; None where it is the key of no other place.

    `known` are the keys of the `place` where it stands.
    """
    word = name.lower().rstrip("_")
    text = _number(node)
    if place == "horizon":
        return f"did you mean `{_LENGTHS[word]}`?" if word in _LENGTHS else None
    at_top = "" if place == "document" else ", at the top of the document"
    if place == "rule" and name in _FACTORS:
        return f"write `lr: {text or '0.1'}x`"
    if word in _LENGTHS:
        return f"write `horizon: {{{_LENGTHS[word]}: {text or '...'}}}`{at_top}"
    if word in _LIMITS and text:
        return f"write `clip: {_LIMITS[word]}({text})`{at_top}"
    if word in _PRECISIONS:
        return f"precision stays in the program (`autocast`); `loss_scale: dynamic()`{at_top[1:]} scales the loss"
    if word in KEYS and KEYS[word] not in known:
        return f"write `{KEYS[word]}: ...`{at_top}"
    if word in KEYS:
        return f"did you mean `{KEYS[word]}`?"
    if name in catalog.document["properties"] and name not in known:
        return "it is a key of the whole document: write it at the top"
    if word in _FREEZING:
        return _freezing(word, node, place)
    if place == "document" and (name == "type" or name in catalog.all_settings or name in ELSEWHERE):
        return f"write {f'`{ELSEWHERE.get(name, name)}: {text}`' if text else 'it'} under `optimizer`"
    if name not in catalog.all_settings and (word in _WARMUPS or name in catalog.policies):
        return f"write `schedule: {{lr: {_policy(word, text)}}}`{at_top}"
    return None


def as_horizon(value: object) -> str | None:
    """The cure for a horizon that is no mapping: `100`, `5 epochs`; None where it is not known what is meant."""
    said = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", str(value).strip().lower())
    if isinstance(value, bool) or said is None:
        return None
    unit = next((_LENGTHS[each] for each in (said[2], f"{said[2]}s") if each in _LENGTHS), None)
    return f"write `horizon: {{{unit or 'steps'}: {said[1]}}}`" if unit or not said[2] else None


def _number(node: Node | None) -> str | None:
    """The text of a number that is written out; None of anything else."""
    number = isinstance(node, Scalar) and type(node.value) in (int, float)
    return node.text.value if isinstance(node, Scalar) and number else None


def _freezing(word: str, node: Node | None, place: Place) -> str:
    if place == "rule":
        said = node.value if isinstance(node, Scalar) else None
        trained = said is (word not in ("freeze", "frozen"))
        return f"write `freeze: {'false' if trained else 'true'}`"
    what = shown(node.text.value) if isinstance(node, Scalar) and isinstance(node.value, str) else "..."
    return f"write it in a rule: `rules: [{{where: {what}, freeze: true}}]`"


def _policy(word: str, text: str | None) -> str:
    if word not in _WARMUPS:
        return f"{word}(...)"
    if text and _WARMUPS[word] == "{}" and 0 < float(text) < 1:
        text = f"{round(float(text) * 100, 6):g}%"
    return f"warmup({_WARMUPS[word].format(text or '...')}) -> cosine()"
