"""Who may import whom: the map of the rooms as a table, held against the imports in the code.

An import counts wherever it stands: at the top of a module, inside a function, under TYPE_CHECKING.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).parents[2] / "compiler" / "optplan"

# room: the rooms that it may import; those after a bar for types only, under TYPE_CHECKING
ROOMS = {
    "source": "",
    "setting": "",
    "diagnostics": "source",
    "requirement": "| setting",
    "policy_type": "",
    "form_type": "| setting",
    "catalog": "setting requirement policy_type form_type diagnostics",
    "registry": "diagnostics setting catalog | source",  # optimizers and policies of one's own
    "filter": "| source",  # nodes carry their places, and never look at the text there
    "expression": "filter | source",
    "counterparts": "",  # schedulers of frameworks, and the policies that they are
    "api_map": "counterparts | catalog setting",  # names of each framework, and what they are in the other one
    "config": "diagnostics setting catalog filter expression | source",
    "frontend": "source diagnostics setting catalog counterparts registry filter expression config",
    "resolve": "diagnostics setting catalog registry filter expression config | source",  # never sees text
    "readers": "diagnostics resolve",
    "step": "",
    "weights": "diagnostics | resolve",  # what is loaded into a network, by names of either framework
    "compiled": "state weights | diagnostics resolve step",
    "targets": "",
    "targets.choose": "diagnostics setting catalog resolve",  # a target sees a Plan, never a Config
    "targets.fit": "diagnostics catalog registry resolve",
    "targets.growing": "diagnostics targets.fit | resolve",
    "targets.sharing": "| catalog resolve",
    "targets.spec": "diagnostics",
    "targets.torch": "diagnostics setting catalog resolve state step compiled targets.choose targets.fit "
    "targets.growing",
    "targets.mindspore": "diagnostics setting catalog resolve state step compiled targets.choose targets.fit "
    "targets.growing targets.sharing",
    "state": "diagnostics catalog readers resolve | setting",
    "hosts": "diagnostics resolve targets.torch | compiled binding",  # of a target only what serves every host
    "report": "source diagnostics setting catalog counterparts api_map filter expression config resolve "
    "targets.choose state compiled step",
    "binding": "diagnostics resolve compiled targets.torch targets.mindspore report",
    "api": "source diagnostics setting catalog registry filter expression config frontend resolve readers compiled "
    "targets.choose targets.torch targets.mindspore state hosts report binding",
    "__init__": "| diagnostics registry config resolve step compiled api binding",  # imports a name when asked for
    "convert": "diagnostics catalog readers resolve state targets.choose targets.sharing",  # state from file to file
    "importers": "diagnostics config api",
    "arguments": "__init__",
    "console": "arguments report __init__ | diagnostics",
    "cli": "diagnostics catalog registry resolve readers report targets.spec binding api convert importers arguments "
    "console __init__",
    "__main__": "cli",
}

# room: what it may import besides these and the standard library
LIBRARIES = {
    "frontend": {"yaml", "jsonschema", "lark", "re2"},
    "resolve": {"re2"},
    "targets.spec": {"torch", "mindspore"},  # a user's network is built on its meta device, or without values
    "targets.torch": {"torch"},
    "targets.mindspore": {"mindspore", "numpy"},  # tables are computed in double precision before they are tensors
    "hosts": {"torch", "lightning", "pytorch_lightning", "transformers", "accelerate"},
    "report": {"rich", "matplotlib"},
    "convert": {"torch"},  # where a file of its own form is written
    "binding": {"matplotlib"},  # for the type of `plan.plot()`
    "cli": {"rich"},
}

# modules that import what their caller names, which no table can foresee
BY_NAME = {
    "__init__": "the package's own names, each from its module when it is asked for",
    "registry.registration": "the user's `--import package.module`",
    "targets.fit": "the class that carries an optimizer out",
    "targets.spec": "the user's `--network package.module:callable`",
}


class Import(NamedTuple):
    """One import in the code: `importer` and `imported` are dotted names below `optplan`, or a library's name."""

    importer: str
    imported: str
    inside: bool
    for_types: bool
    line: int


def module_name(file: Path) -> str:
    """`resolve.plan` for `resolve/plan.py`, `resolve` for its `__init__`."""
    name = ".".join(file.relative_to(PACKAGE).with_suffix("").parts)
    return name.removesuffix(".__init__")


def room(module: str) -> str:
    """The room that a module below `optplan` is in."""
    first, _, rest = module.partition(".")
    return f"targets.{rest.partition('.')[0]}" if first == "targets" and rest else first


def imported_names(node: ast.AST, package: str) -> list[str]:
    """The absolute names of the modules that one statement or call imports; `?` is a name that the program computes."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
        origin = ".".join([*above, *([node.module] if node.module else [])])
        # `from optplan import config` takes a room, `from optplan import load` a name of the package itself
        inner = [f"{origin}.{alias.name}" for alias in node.names]
        return [name if name.removeprefix("optplan.") in ROOMS else origin for name in inner]
    if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in {"import_module", "__import__"}:
        name = node.args[0] if node.args else None
        return [name.value] if isinstance(name, ast.Constant) and isinstance(name.value, str) else ["?"]
    return []


def imports_of(name: str, text: str, *, is_package: bool = False) -> list[Import]:
    """Every import of the module `name` (below `optplan`) with the code `text`, in its order."""
    dotted = "optplan" if name == "__init__" else f"optplan.{name}"
    package = dotted if is_package else dotted.rpartition(".")[0]
    found: list[Import] = []

    def visit(node: ast.AST, *, for_types: bool) -> None:
        for target in imported_names(node, package):
            library, _, rest = target.partition(".")
            inside = library == "optplan"
            imported = (rest or "__init__") if inside else library
            found.append(Import(name, imported, inside, for_types, getattr(node, "lineno", 0)))
        only = node.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING" else []
        for child in ast.iter_child_nodes(node):
            visit(child, for_types=for_types or child in only)

    visit(ast.parse(text), for_types=False)
    return found


def fault(each: Import) -> str | None:
    """What is wrong with an import, in words, or None."""
    here = room(each.importer)
    if each.inside:
        always, _, for_types = ROOMS.get(here, "").partition("|")
        allowed = room(each.imported) in {here, *always.split(), *(for_types.split() if each.for_types else ())}
    elif each.imported == "?":
        allowed = each.importer in BY_NAME
    else:
        allowed = each.imported in sys.stdlib_module_names or each.imported in LIBRARIES.get(here, ())
    return None if allowed else f"{each.importer}:{each.line} imports {each.imported}"


def every_import() -> list[Import]:
    """Every import in the compiler."""
    return [
        each
        for file in sorted(PACKAGE.rglob("*.py"))
        for each in imports_of(module_name(file), file.read_text(), is_package=file.stem == "__init__")
    ]


def test_the_code_keeps_to_the_table() -> None:
    assert [said for each in every_import() if (said := fault(each))] == []


def test_every_module_has_a_room() -> None:
    assert {room(module_name(file)) for file in PACKAGE.rglob("*.py")} <= set(ROOMS)


def test_the_table_has_no_circle() -> None:
    left = {name: {*row.partition("|")[0].split()} for name, row in ROOMS.items()}
    while ready := [name for name, needs in left.items() if not needs & set(left)]:
        for name in ready:
            del left[name]
    assert left == {}


@pytest.mark.parametrize(
    ("module", "code", "refused"),
    [
        ("frontend.document", "import yaml", None),
        ("resolve.plan", "import yaml", "yaml"),
        ("resolve.plan", "def f():\n    from torch import nn", "torch"),
        ("resolve.plan", "if TYPE_CHECKING:\n    from torch import Tensor", "torch"),
        ("report.plans", "import torch.nn", "torch"),
        ("targets.choose", "import torch", "torch"),
        ("targets.torch.bind", "import torch.nn", None),
        ("targets.torch.bind", "from optplan.config import Config", "config"),
        ("targets.torch.bind", "from optplan import config", "config"),
        ("targets.torch.bind", "from ...config import Config", "config"),
        ("targets.torch.bind", "from optplan.targets import mindspore", "targets.mindspore"),
        ("targets.torch.bind", "from optplan.targets import choose", None),
        ("targets.torch.bind", "from .view import view", None),
        ("frontend.build", "from optplan.resolve.network import Network", "resolve.network"),
        ("resolve.plan", "from optplan.source import Text", "source"),
        ("resolve.plan", "if TYPE_CHECKING:\n    from optplan.source import Span", None),
        ("resolve.plan", "if TYPE_CHECKING:\n    pass\nelse:\n    import optplan.source", "source"),
        ("resolve.plan", "from optplan import load", "__init__"),
        ("readers.header", "import numpy", "numpy"),
        ("readers.header", "importlib.import_module('torch')", "torch"),
        ("readers.header", "__import__(name)", "?"),
    ],
)
def test_what_the_table_refuses(module: str, code: str, refused: str | None) -> None:
    assert [each.imported for each in imports_of(module, code) if fault(each)] == ([refused] if refused else [])
