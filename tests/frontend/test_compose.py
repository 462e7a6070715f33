"""Several files and single values as one document."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from optplan.diagnostics import Collector
from optplan.frontend.compose import TOP_KEYS, compose
from optplan.frontend.document import Mapping, Scalar, Sequence, expression_text, from_mapping, plain
from optplan.source import Source

if TYPE_CHECKING:
    from optplan.diagnostics import Diagnostic
    from optplan.frontend.compose import Composed


def written(folder: Path, files: dict[str, str]) -> Path:
    """The folder with these files in it; the first is the one to compose."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder / next(iter(files))


def composed(folder: Path, files: dict[str, str], *overrides: str) -> Composed:
    collector = Collector()
    result = compose(written(folder, files), overrides, collector)
    assert collector.diagnostics == ()
    assert result is not None
    return result


def faults(folder: Path, files: dict[str, str]) -> tuple[Diagnostic, ...]:
    collector = Collector()
    assert compose(written(folder, files), (), collector) is None
    return collector.diagnostics


def overridden(text: str, *overrides: str) -> tuple[Any, tuple[Diagnostic, ...]]:
    collector = Collector()
    result = compose(Source("f.yaml", text), overrides, collector)
    assert result is not None
    return plain(result.root), collector.diagnostics


# extends

MERGES: list[tuple[str, dict[str, str], object]] = [
    ("nothing to extend", {"a": "optplan: 1"}, {"optplan": 1}),
    (
        "mappings merge key by key, the extending file wins",
        {"a": "extends: b\noptimizer: {lr: 2, eps: 3}", "b": "optimizer: {type: sgd, lr: 1}\nlet: {x: 1}"},
        {"optimizer": {"type": "sgd", "lr": 2, "eps": 3}, "let": {"x": 1}},
    ),
    (
        "deeply",
        {"a": "extends: b\noptimizers: {h: {lr: 2}}", "b": "optimizers: {h: {type: sgd, lr: 1}, g: {type: lion}}"},
        {"optimizers": {"h": {"type": "sgd", "lr": 2}, "g": {"type": "lion"}}},
    ),
    (
        "sequences and scalars replace, whatever stood before",
        {"a": "extends: b\nlayers: [z]\nclip: none\nlet: x", "b": "layers: [x, y]\nclip: {a: 1}\nlet: {a: 1}"},
        {"layers": ["z"], "clip": "none", "let": "x"},
    ),
    (
        "rules are appended",
        {"a": "extends: b\nrules: [{where: y}]", "b": "rules: [{where: x}]"},
        {"rules": [{"where": "x"}, {"where": "y"}]},
    ),
    (
        "a rule with the name of an earlier file's replaces it in place, whole",
        {
            "a": "extends: b\nrules: [{where: z}, {name: n, lr: 2}]",
            "b": "rules: [{name: n, where: x, eps: 1}, {where: y}]",
        },
        {"rules": [{"name": "n", "lr": 2}, {"where": "y"}, {"where": "z"}]},
    ),
    (
        "a list is read in order, later files win",
        {"a": "extends: [b, c]", "b": "let: {x: 1, y: 1}", "c": "let: {y: 2}"},
        {"let": {"x": 1, "y": 2}},
    ),
    (
        "files extend files, relative to themselves",
        {
            "a": "extends: sub/b",
            "sub/b": "extends: [deep/c, ../d]\nlet: {x: 1}",
            "sub/deep/c": "let: {y: 2}",
            "d": "let: {z: 3}",
        },
        {"let": {"x": 1, "y": 2, "z": 3}},
    ),
    (
        "a file that two files extend is read once",
        {
            "a": "extends: [b, c]\nrules: [{where: a}]",
            "b": "extends: d\nlet: {x: 2}\nrules: [{where: b}]",
            "c": "extends: d\nrules: [{where: c}]",
            "d": "let: {x: 1}\nrules: [{where: d}]",
        },
        {"let": {"x": 2}, "rules": [{"where": "d"}, {"where": "b"}, {"where": "c"}, {"where": "a"}]},
    ),
    ("an empty list of files", {"a": "extends: []\nlet: {x: 1}"}, {"let": {"x": 1}}),
]  # fmt: skip


@pytest.mark.parametrize(("files", "value"), [row[1:] for row in MERGES], ids=[row[0] for row in MERGES])
def test_files_are_merged(tmp_path: Path, files: dict[str, str], value: object) -> None:
    assert plain(composed(tmp_path, files).root) == value


def test_every_node_keeps_its_place(tmp_path: Path) -> None:
    files = {"a.yaml": "extends: sub/b.yaml\noptimizer:\n  lr: 1\n", "sub/b.yaml": "optimizer:\n  type: sgd\n"}
    result = composed(tmp_path, files)
    assert result.names == (str(tmp_path / "a.yaml"), str(tmp_path / "sub" / "b.yaml"))
    optimizer = result.root.get("optimizer")
    assert optimizer is not None
    assert isinstance(optimizer.value, Mapping)
    for name, source, line in [("type", "sub/b.yaml", 2), ("lr", "a.yaml", 3)]:
        entry = optimizer.value.get(name)
        assert entry is not None
        for span in (entry.key.span, entry.value.span):
            assert span.source.name == str(tmp_path / source)
            assert span.source.position(span.start)[0] == line


# files, code, source, line, column, what the message says
REFUSED: list[tuple[str, dict[str, str], str, str, int, int, str]] = [
    ("missing", {"a": "x: 1\nextends: no.yaml"}, "OP110", "a", 2, 10, "no such file"),
    ("outside", {"r/a": "extends: ../b", "b": "x: 1"}, "OP110", "r/a", 1, 10, "outside the first file's directory"),
    ("outside, absolute", {"r/a": "extends: /etc/hostname"}, "OP110", "r/a", 1, 10, "outside"),
    ("outside, from below", {"r/a": "extends: s/b", "r/s/b": "extends: ../../c"}, "OP110", "r/s/b", 1, 10, "outside"),
    ("itself", {"a": "extends: a"}, "OP110", "a", 1, 10, "`a` -> `a`"),
    ("loop", {"a": "extends: [b]", "b": "extends: c", "c": "extends: ./b"}, "OP110", "c", 1, 10, "`b` -> `c` -> `b`"),
    ("a folder", {"a": "extends: s", "s/b": ""}, "OP110", "a", 1, 10, "directory"),
    ("no file name", {"a": "extends: 3"}, "OP103", "a", 1, 10, "names of files"),
    ("nothing", {"a": "extends:"}, "OP103", "a", 1, 9, "names of files"),
    ("a mapping", {"a": "extends: {b: c}"}, "OP103", "a", 1, 10, "names of files"),
    ("an alias", {"a": "extends: *b.yaml"}, "OP005", "a", 1, 10, "`*b.yaml`"),
    ("a null byte", {"a": r'extends: "b\0"'}, "OP110", "a", 1, 10, "null"),
    ("a text that is not YAML", {"a": "extends: b", "b": "a: b: c"}, "OP002", "b", 1, 5, "second key"),
    ("a list", {"a": "extends: b", "b": "- a"}, "OP103", "b", 1, 1, "not a list"),
    ("an empty file", {"a": "extends: b", "b": ""}, "OP102", "b", 1, 1, "empty"),
    ("a first text that is a word", {"a": "optplan:1"}, "OP103", "a", 1, 1, "not a text"),
    ("a chain too long", {f"f{n}": f"extends: f{n + 1}" for n in range(40)}, "OP110", "f15", 1, 10, "16 files"),
    (
        "too many files",
        {"a": f"extends: [{', '.join(f'b{n}' for n in range(64))}]", **{f"b{n}": "let: {}" for n in range(64)}},
        "OP110", "a", 1, 10 + sum(len(f"b{n}, ") for n in range(63)) + 1, "64 files",
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("files", "code", "source", "line", "column", "words"),
    [row[1:] for row in REFUSED],
    ids=[row[0] for row in REFUSED],
)
def test_what_cannot_be_taken_in_is_refused(
    tmp_path: Path, files: dict[str, str], code: str, source: str, line: int, column: int, words: str
) -> None:
    [fault] = faults(tmp_path, files)
    assert (fault.code, fault.source, fault.line, fault.column) == (code, str(tmp_path / source), line, column)
    assert words in fault.message


def test_a_link_does_not_lead_outside(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("let: {x: 1}")
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "link").symlink_to(tmp_path / "secret")
    (tmp_path / "r" / "round").symlink_to(tmp_path / "r" / "round")
    for name, words in [("link", "outside"), ("round", "ound")]:
        [fault] = faults(tmp_path, {"r/a": f"extends: {name}"})
        assert (fault.code, fault.column) == ("OP110", 10)
        assert words in fault.message


def test_a_link_inside_is_followed(tmp_path: Path) -> None:
    path = written(tmp_path, {"a": "extends: link", "sub/b": "let: {x: 1}"})
    (tmp_path / "link").symlink_to(tmp_path / "sub" / "b")
    result = compose(path, (), Collector())
    assert result is not None
    assert plain(result.root) == {"let": {"x": 1}}


def test_every_file_that_cannot_be_taken_in_is_reported(tmp_path: Path) -> None:
    found = faults(tmp_path, {"a": "extends: [b, ../c, d]\na: 1\na: 2", "d": "x: *y z\nx: 1"})
    assert {item.code for item in found} == {"OP110", "OP003"}
    assert [item.code for item in found].count("OP110") == 2


def test_two_rules_of_one_name_in_one_file(tmp_path: Path) -> None:
    files = {"a": "extends: b\nrules:\n  - name: n\n", "b": "rules:\n  - name: m\n  - name: n\n  - {name: m}\n"}
    collector = Collector()
    assert compose(written(tmp_path, files), (), collector) is not None
    [fault] = collector.diagnostics
    assert (fault.code, fault.source, fault.line, fault.column) == ("OP112", str(tmp_path / "b"), 4, 12)
    assert fault.message == "two rules of this file have the name `m`"
    assert fault.notes == ("the first one stands in line 2",)


def test_a_text_extends_only_where_it_is_told_from(tmp_path: Path) -> None:
    written(tmp_path, {"b": "let: {x: 1}"})
    source = Source("<string>", "extends: b\nlet: {y: 2}")
    collector = Collector()
    assert compose(source, (), collector) is None
    [fault] = collector.diagnostics
    assert (fault.code, fault.source, fault.line, fault.column) == ("OP110", "<string>", 1, 10)
    assert "not in one" in fault.message
    result = compose(source, (), Collector(), directory=tmp_path)
    assert result is not None
    assert plain(result.root) == {"let": {"x": 1, "y": 2}}


def test_a_missing_first_file_is_a_diagnostic(tmp_path: Path) -> None:
    collector = Collector()
    assert compose(tmp_path / "none", (), collector) is None
    assert [item.code for item in collector.diagnostics] == ["OP001"]


def test_a_mapping_is_composed_like_its_text() -> None:
    data = {"optplan": 1, "optimizer": {"type": "sgd", "lr": 0.1}}
    result = compose(from_mapping(data), ["optimizer.lr=0.2"], Collector())
    assert result is not None
    assert plain(result.root) == {"optplan": 1, "optimizer": {"type": "sgd", "lr": 0.2}}


# --set

BASE = """optplan: 1
let: {batch: 8}
optimizer: {type: adamw, lr: 1, betas: [0.9, 0.999]}
layers: [a, [b, c]]
rules:
  - where: x
  - {name: depth, where: y, "betas[0]": 0.5}
horizon:
"""

APPLIED: list[tuple[str, list[Any], object]] = [
    ("optimizer.lr=3e-4", ["optimizer", "lr"], 3e-4),
    (" optimizer.lr = 3e-4 ", ["optimizer", "lr"], 3e-4),
    ("rules.depth.lr=0.5x", ["rules", 1, "lr"], "0.5x"),
    ("rules.0.lr=0.1", ["rules", 0, "lr"], 0.1),
    ("rules.depth.where=norm or bias", ["rules", 1, "where"], "norm or bias"),
    ("rules.depth.betas[0]=0.7", ["rules", 1, "betas[0]"], 0.7),
    ("rules.0.betas[1]=0.7", ["rules", 0, "betas[1]"], 0.7),
    ("rules.0.schedule.lr=warmup(5%) -> hold()", ["rules", 0, "schedule", "lr"], "warmup(5%) -> hold()"),
    ("schedule.lr=cosine(to=0x, for=3)", ["schedule", "lr"], "cosine(to=0x, for=3)"),
    ("schedule.betas[0]=linear(to=1)", ["schedule", "betas[0]"], "linear(to=1)"),
    ("optimizer.betas[0]=0.95", ["optimizer", "betas"], [0.95, 0.999]),
    ("optimizer.betas.1=0.95", ["optimizer", "betas"], [0.9, 0.95]),
    ("optimizer.betas=[0.9, 0.95]", ["optimizer", "betas"], [0.9, 0.95]),
    ("optimizer.nesterov=true", ["optimizer", "nesterov"], True),
    ("optimizer.foreach=null", ["optimizer", "foreach"], None),
    ("optimizer.lr='1e-3'", ["optimizer", "lr"], "1e-3"),
    ('optimizer.lr="a b"', ["optimizer", "lr"], "a b"),
    ("let.batch=256", ["let", "batch"], 256),
    ("let.new=2 * batch", ["let", "new"], "2 * batch"),
    ("horizon.steps=100", ["horizon"], {"steps": 100}),
    ("horizon={steps: 100, epochs: 2}", ["horizon"], {"steps": 100, "epochs": 2}),
    ("torch.foreach=no", ["torch"], {"foreach": "no"}),
    ("sets.wd=*.bias", ["sets", "wd"], "*.bias"),
    ("sets.wd=*a", ["sets", "wd"], "*a"),
    ("sets.wd=!x y", ["sets", "wd"], "!x y"),
    ("sets.wd=[ab].*", ["sets", "wd"], "[ab].*"),
    ("sets.wd={a,b}.c", ["sets", "wd"], "{a,b}.c"),
    ("sets.wd=a: b", ["sets", "wd"], "a: b"),
    ("sets.wd=- a", ["sets", "wd"], "- a"),
    ("sets.wd=a # b", ["sets", "wd"], "a # b"),
    ("sets.wd=%a", ["sets", "wd"], "%a"),
    ("sets.wd=a=b", ["sets", "wd"], "a=b"),
    ("sets.wd='a' or b", ["sets", "wd"], "'a' or b"),
    ("sets.wd=&a b", ["sets", "wd"], "&a b"),
    ("sets.wd=> a", ["sets", "wd"], "> a"),
    ("layers.0=d", ["layers"], ["d", ["b", "c"]]),
    ("layers.1.1=d", ["layers"], ["a", ["b", "d"]]),
    ("layers[1]=d", ["layers"], ["a", "d"]),
    ("clip=norm(1.0)", ["clip"], "norm(1.0)"),
]


@pytest.mark.parametrize(("override", "path", "value"), APPLIED, ids=[row[0] for row in APPLIED])
def test_an_override_sets_one_value(override: str, path: list[Any], value: object) -> None:
    before, _ = overridden(BASE)
    after, found = overridden(BASE, override)
    assert found == ()
    expected = before
    for step in path[:-1]:
        if isinstance(expected, dict):
            expected.setdefault(step, {})
        expected = expected[step]
    expected[path[-1]] = value
    assert after == before


def test_later_overrides_win() -> None:
    value, _ = overridden(BASE, "optimizer.lr=2", "let.a=1", "optimizer.lr=3", "let.a=2")
    assert (value["optimizer"]["lr"], value["let"]["a"]) == (3, 2)


def test_overrides_come_after_files(tmp_path: Path) -> None:
    files = {
        "a": "extends: b\nrules: [{name: n, lr: 1}]",
        "b": "optimizer: {lr: 1}\nrules: [{lr: 1}, {name: m, lr: 1}]",
    }
    result = composed(tmp_path, files, "optimizer.lr=2", "rules.m.lr=2", "rules.2.lr=3")
    assert plain(result.root) == {
        "optimizer": {"lr": 2},
        "rules": [{"lr": 1}, {"name": "m", "lr": 2}, {"name": "n", "lr": 3}],
    }


def test_an_override_is_a_text_to_point_at() -> None:
    collector = Collector()
    overrides = ["rules.depth.lr = min(1,\t2)", "optimizer={lr: f(a, b=1), lr: 2}"]
    result = compose(Source("f.yaml", BASE), overrides, collector)
    assert result is not None
    rules = result.root.get("rules")
    assert rules is not None
    assert isinstance(rules.value, Sequence)
    rule = rules.value.items[1]
    assert isinstance(rule, Mapping)
    entry = rule.get("lr")
    assert entry is not None
    assert isinstance(entry.value, Scalar)
    span = entry.value.text.span(4, 5)
    assert (span.source, span.start) == (Source("--set", overrides[0]), overrides[0].index("1"))
    assert (entry.key.span.text, entry.key.span.start) == ("lr", 12)
    [fault] = collector.diagnostics
    assert (fault.code, fault.source, fault.column) == ("OP003", "--set", 27)
    optimizer = result.root.get("optimizer")
    assert optimizer is not None
    assert isinstance(optimizer.value, Mapping)
    assert expression_text(optimizer.value.entries[0].value, collector, "a value") is None
    assert collector.diagnostics[0].help == 'write it in quotes: `lr: "f(a, b=1)"`'


# override, column, message, help
FAULTY = [
    ("optimizer.lr", 1, "without `=`", "`key=value`"),
    ("", 1, "without `=`", "`key=value`"),
    ("optimizer.lr=", 13, "without a value", "`optimizer.lr=null`"),
    ("optimizer.lr=  ", 13, "without a value", "`optimizer.lr=null`"),
    ("=3", 1, "empty key", "`key=value`"),
    ("optimizer..lr=3", 11, "empty key", "`key=value`"),
    ("optimizer.l r=3", 11, "`l r` is no key", "`key=value`"),
    ("optimizer.betas[x]=3", 11, "`betas[x]` is no key", ""),
    ("optimzer.lr=3", 1, "no `optimzer`", "`optimizer`"),
    ("extends=b", 1, "no `extends`", "in the file"),
    ("0=b", 1, "no `0`", ""),
    ("lr=1e-4", 1, "no `lr`", "`optimizer.lr`"),
    ("rules.dept.lr=3", 7, "no rule has the name `dept`", "`depth`"),
    ("rules.zzz.lr=3", 7, "no rule has the name `zzz`", "index"),
    ("rules.2.lr=3", 7, "there is no item 2: the list has 2 items", "from 0"),
    ("rules.99999999999999999999.lr=3", 7, "there is no item", ""),
    ("optimizer.betas[2]=3", 11, "there is no item 2", ""),
    ("optimizer.betas.x=3", 17, "`optimizer.betas` is a list", ""),
    ("optimizer.lr.x=3", 14, "`optimizer.lr` is a single value", ""),
    ("horizon.0=3", 9, "`horizon` has no items", ""),
    ("optimizer.lr=\x00", 14, "U+0000", ""),
]


@pytest.mark.parametrize(("override", "column", "message", "cure"), FAULTY, ids=[repr(row[0]) for row in FAULTY])
def test_an_override_that_cannot_be_applied(override: str, column: int, message: str, cure: str) -> None:
    value, found = overridden(BASE, override)
    assert value == overridden(BASE)[0]
    [fault] = found
    assert fault.code == ("OP002" if "\0" in override else "OP111")
    assert (fault.source, fault.line, fault.column) == ("--set", 1, column)
    assert message in fault.message
    assert cure in (fault.help or "")


def test_every_faulty_override_is_reported() -> None:
    assert len(overridden(BASE, "a=1", "b=2", "let.x=1", "rules.q.lr=1")[1]) == 3


def test_what_may_be_set_is_what_the_schema_has() -> None:
    schema = json.loads((Path(__file__).parents[2] / "schema" / "optplan-1.schema.json").read_text(encoding="utf-8"))
    assert {*TOP_KEYS, "extends"} == set(schema["properties"])
