"""Laws of reading: whatever the text, and there and back again."""

from __future__ import annotations

import math

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from optplan.diagnostics import CODES, Collector
from optplan.frontend import events
from optplan.frontend.compose import compose
from optplan.frontend.document import (
    Mapping,
    Node,
    Scalar,
    Sequence,
    expression_text,
    from_mapping,
    plain,
    read,
    refuse,
)
from optplan.source import Source

LOADERS = [yaml.SafeLoader, *([yaml.CSafeLoader] if hasattr(yaml, "CSafeLoader") else [])]

words = st.sampled_from(
    [
        *"[]{}(),:*&!|>%@`'\"#?-<=.~\\ \n\t\r",
        *("\n  ", "\n- ", ": ", ", ", " #", "a", "lr: ", "where: ", "*.x", "&a ", "*a", "<<: ", "!t ", "f(a, b=1)"),
        *("a[0]", "{i}", "---\n", "...\n", "|\n", ">-\n", "''", "\\u00e9", "1e-3", "\x00", "é", "\u2028", "\ufeff"),
        *("\ud800", "😀", "\x85", "%YAML 1.2\n", "%TAG ! x\n", "|2-\n", "\\U", "\\x4"),
    ]
)
texts = st.one_of(st.lists(words, max_size=40).map("".join), st.text(max_size=60))

finite = st.floats(allow_nan=False, allow_infinity=True)
leaves = st.one_of(st.none(), st.booleans(), st.integers(-(10**300), 10**300), finite, st.text())
data = st.recursive(
    leaves,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=6), inner, max_size=4)),
    max_leaves=20,
)


keys = st.sampled_from(["optimizer.lr", "rules.n.x", "let"])
overrides = st.one_of(st.text(max_size=30), st.builds("{}={}".format, keys, texts))


def _nodes(node: Node) -> list[Node]:
    if isinstance(node, Sequence):
        return [node, *(below for item in node.items for below in _nodes(item))]
    if isinstance(node, Mapping):
        return [node, *(below for entry in node.entries for side in (entry.key, entry.value) for below in _nodes(side))]
    return [node]


@pytest.mark.parametrize("loader", LOADERS)
@settings(max_examples=400, deadline=None)
@given(text=texts)
@example(text="a: {b: c[")
@example(text="- [*.x")
@example(text="a: [*")
@example(text="&a &[")
@example(text="&a &[\n[")
@example(text="!t *.x")
@example(text="!")
@example(text="&")
@example(text='"\\')
def test_any_text_gives_nodes_or_faults_at_their_places(loader: type, text: str) -> None:
    source = Source("f.yaml", text)
    collector = Collector()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(events, "_LOADER", loader)
        root = read(source, collector)
    if root is None:
        assert collector.failed
    else:
        for node in _nodes(root):
            assert 0 <= node.span.start <= node.span.end <= len(text)
            if isinstance(node, Scalar):
                span = node.text.span()
                assert node.span.start <= span.start <= span.end <= len(text)
                assert node.text.offsets is None or len(node.text.offsets) == len(node.text.value) + 1
            expression_text(node, Collector(), "a filter")
        refuse(root, collector)
        plain(root)
    for item in collector.diagnostics:
        assert item.code in CODES
        assert item.line >= 1
        assert item.column >= 1
        assert str(item)


@pytest.mark.skipif(len(LOADERS) < 2, reason="PyYAML without libyaml")
@settings(max_examples=400, deadline=None)
@given(text=texts)
def test_a_plain_word_means_the_same_to_both_parsers(text: str) -> None:
    """The two differ on odd texts; where both read one, they read the same scalars."""
    found = []
    for loader in LOADERS:
        collector = Collector()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(events, "_LOADER", loader)
            root = read(Source("f.yaml", text), collector)
        if root is None or collector.failed or refuse(root, collector):
            return
        found.append(repr(plain(root)))
    assert found[0] == found[1]


@settings(deadline=None)
@given(value=data)
def test_a_mapping_is_read_back_as_it_was(value: object) -> None:
    try:
        text_of_all = repr(value)
        text_of_all.encode()
    except UnicodeEncodeError:
        return
    collector = Collector()
    root = read(from_mapping(value), collector)
    assert collector.diagnostics == ()
    assert root is not None
    # `repr` tells 1 from 1.0 and True, and -0.0 from 0.0
    assert repr(plain(root)) == repr(value)


@given(value=st.floats())
def test_a_float_is_exact(value: float) -> None:
    root = read(from_mapping({"a": value}), Collector())
    assert root is not None
    found = plain(root)["a"]
    assert isinstance(found, float)
    assert found == value or (math.isnan(found) and math.isnan(value))


@settings(max_examples=300, deadline=None)
@given(
    override=st.one_of(
        st.text(max_size=30), st.builds("{}={}".format, st.sampled_from(["optimizer.lr", "rules.n.x", "let"]), texts)
    )
)
def test_any_override_is_applied_or_a_fault(override: str) -> None:
    base = Source("f.yaml", "optimizer: {lr: 1}\nrules: [{name: n}]\nlet: {a: 1}\n")
    collector = Collector()
    result = compose(base, [override], collector)
    assert result is not None
    if any(item.code == "OP111" for item in collector.diagnostics):
        assert plain(result.root) == {"optimizer": {"lr": 1}, "rules": [{"name": "n"}], "let": {"a": 1}}
    else:
        assert "=" in override
    for item in collector.diagnostics:
        assert (item.source, item.code in CODES) == ("--set", True)
