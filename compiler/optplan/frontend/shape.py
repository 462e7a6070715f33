"""The shape of a document, held against the JSON Schema.

The tree of nodes becomes plain data in which every expression is its own text, whatever type YAML would give it; the
validator's findings become diagnostics at the nodes that they are about.  What is found faulty is left out of the
checked data once it is reported, so that one fault has one message.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from optplan.frontend.findings import Findings
from optplan.frontend.namesakes import as_form
from optplan.frontend.nodes import Mapping, Scalar, Sequence, expression_text, refuse
from optplan.frontend.places import FORMS, PATTERN, Checked, expected_expression, is_setting

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

    from optplan.catalog import Catalog
    from optplan.diagnostics import Collector
    from optplan.frontend.nodes import Node
    from optplan.frontend.places import Path
    from optplan.source import Span


def check_shape(root: Mapping, catalog: Catalog, collector: Collector) -> Checked:
    """Report everything in which the document `root` differs from the schema."""
    checked = Checked(root)
    _Shape(checked, catalog, collector).run()
    return checked


class _Shape:
    def __init__(self, checked: Checked, catalog: Catalog, collector: Collector) -> None:
        self._checked, self._catalog, self._collector = checked, catalog, collector
        self._nodes: dict[Path, Node] = {}
        self._keys: dict[Path, Span] = {}

    def run(self) -> None:
        data = self._data(self._checked.root, ())
        findings = Findings(self._checked, self._nodes, self._keys, self._catalog, self._collector)
        for error in _validator(self._catalog).iter_errors(data):
            findings.report(error)

    # Nodes to data

    def _data(self, node: Node, path: Path) -> Any:
        """The plain data of `node`; a part that is already reported is a member of `faulty`, and left out."""
        self._nodes[path] = node
        what = expected_expression(path)
        if what is not None and not (
            what == PATTERN and len(path) == 2 and isinstance(node, Sequence) and not node.flow
        ):
            return self._text(node, path, what)
        if isinstance(node, Scalar):
            return self._scalar(node, path)
        if isinstance(node, Sequence):
            items = [self._data(item, (*path, place)) for place, item in enumerate(node.items)]
            if any((*path, place) in self._checked.faulty for place in range(len(items))):
                self._checked.faulty.add(path)
            return items
        if isinstance(node, Mapping):
            return self._mapping(node, path)
        if is_setting(path):
            expression_text(node, self._collector, "a value")
        else:
            refuse(node, self._collector)
        self._checked.faulty.add(path)
        return None

    def _text(self, node: Node, path: Path, what: str) -> str | None:
        if what == PATTERN and isinstance(node, Sequence) and _patterns(node):
            # A list inside `layers` is one layer of several patterns, in brackets too.
            return [self._data(item, (*path, place)) for place, item in enumerate(node.items)]  # type: ignore[return-value]  # a list of texts
        cure = as_form(node, self._catalog.forms[str(path[0])]) if path[0] in FORMS else None
        text = expression_text(node, self._collector, what, cure)
        if text is None:
            self._checked.faulty.add(path)
            return None
        return text.value

    def _scalar(self, node: Scalar, path: Path) -> Any:
        if isinstance(node.value, float) and not math.isfinite(node.value):
            message = f"`{node.text.value}` is not a finite number"
            cure = "write the number that is meant"
            self._collector.error("OP107", message, node.span, help=cure)
            self._checked.faulty.add(path)
            return None
        return node.value

    def _mapping(self, node: Mapping, path: Path) -> dict[str, Any]:
        data = {}
        for entry in node.entries:
            below = (*path, entry.name)
            self._keys[below] = entry.key.span
            value = self._data(entry.value, below)
            if below not in self._checked.faulty:
                data[entry.name] = value
        return data


@lru_cache(maxsize=1)
def _validator(catalog: Catalog) -> Validator:
    from jsonschema import Draft202012Validator  # noqa: PLC0415 - a document that is no YAML needs none

    return Draft202012Validator(dict(catalog.document))


def _patterns(node: Sequence) -> bool:
    """Whether a flow list in `layers` is a list of patterns, each a text."""
    return bool(node.items) and all(isinstance(item, Scalar) for item in node.items)
