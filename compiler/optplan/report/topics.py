"""What `optplan help TOPIC` says: one text for each code, key, optimizer, class, policy, predicate and attribute.

Everything but the explanations of codes comes from the catalog, so an optimizer that is registered has its page too.  A
word with several meanings (`linear` is a predicate and a phase) gets a page for each.
"""

from __future__ import annotations

from textwrap import dedent, fill, indent
from typing import TYPE_CHECKING

from optplan.diagnostics import CODES
from optplan.report.codes_meaning import EXPLANATIONS as MEANING
from optplan.report.codes_reading import EXPLANATIONS as READING
from optplan.report.notation import aligned, written

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from optplan.catalog import ArgumentType, Catalog, OptimizerType, PolicyType
    from optplan.setting import Setting

EXPLANATIONS = READING | MEANING
LISTS = ("codes", "optimizers", "policies", "predicates", "attributes", "keys")

_WIDTH = 88


def topic_text(topic: str, catalog: Catalog) -> str | None:
    """All that there is to say of `topic`; None if it is unknown."""
    pages = [page for page in _pages(topic.strip(), catalog) if page]
    return "\n\n".join(pages) or None


def topics_text(catalog: Catalog) -> str:
    """The topics there are."""
    rows = [
        ("codes", "every diagnostic, or one: `OP203`"),
        ("optimizers", ", ".join(catalog.optimizers)),
        ("policies", ", ".join(name for name, policy in catalog.policies.items() if policy.supported)),
        ("predicates", ", ".join(catalog.predicates)),
        ("attributes", ", ".join(catalog.attributes)),
        ("keys", "every key, or one: `rules.where`, `optimizer.adamw.betas`, `betas`"),
        ("a class", "the name that it has here: `torch.optim.SGD`"),
    ]
    return "optplan help TOPIC, where TOPIC is one of these or a name among them:\n\n" + _table(rows)


def known_topics(catalog: Catalog) -> list[str]:
    """Every word that `topic_text` knows."""
    words = [*LISTS, *CODES, *catalog.optimizers, *catalog.policies, *catalog.predicates, *catalog.attributes]
    words += [key for key in catalog.keys if key not in words]
    words += [each.class_name for kind in catalog.optimizers.values() for each in kind.lowerings.values()]
    return list(dict.fromkeys([*words, *catalog.all_settings]))


def _pages(topic: str, catalog: Catalog) -> Iterator[str]:
    word = topic.lower()
    if topic.upper() in CODES:
        yield _code(topic.upper())
    if word in LISTS:
        yield _list(word, catalog)
    if word in catalog.optimizers:
        yield _optimizer(catalog.optimizers[word])
    if word in catalog.policies:
        yield _policy(catalog.policies[word])
    if word in catalog.predicates:
        yield f"predicate `{word}`\n\n{_prose(catalog.predicates[word])}"
    if word in catalog.attributes:
        yield f"attribute `{word}`\n\n{_prose(catalog.attributes[word])}"
    yield from _classes(topic, catalog)
    yield _keys(word, catalog)


def _code(code: str) -> str:
    page = [f"{code}: {CODES[code]}"]
    if code in EXPLANATIONS:
        text, example = EXPLANATIONS[code]
        page += [_prose(text), "for example:", indent(dedent(example), "    ")]
    return "\n\n".join(page)


def _list(word: str, catalog: Catalog) -> str:
    if word == "optimizers":
        return _table((name, _sentence(kind.description)) for name, kind in catalog.optimizers.items())
    if word == "policies":
        return _table(
            (name, _sentence(policy.description) + ("" if policy.supported else " Not supported yet."))
            for name, policy in catalog.policies.items()
        )
    tables: Mapping[str, Mapping[str, str]] = {
        "codes": CODES,
        "predicates": catalog.predicates,
        "attributes": catalog.attributes,
        "keys": _general_keys(catalog),
    }
    return _table(tables[word].items())


def _general_keys(catalog: Catalog) -> dict[str, str]:
    """The keys less the settings of optimizers, which are many."""
    settings = {f"rules.{key}" for key in catalog.all_settings}
    keys = {
        key: _sentence(text)
        for key, text in catalog.keys.items()
        if key not in settings and (not key.startswith("optimizer.") or key == "optimizer.type")
    }
    return keys | {"optimizer.TYPE.KEY": "A setting: `optplan help optimizers` lists the types."}


def _optimizer(kind: OptimizerType) -> str:
    page = [f"optimizer `{kind.name}`", _prose(kind.description), "settings"]
    page[-1] += "\n" + _table((setting.name, _about(setting)) for setting in kind.settings.values())
    page.append(f"may be scheduled\n  {', '.join(kind.scheduled)}")
    for target, each in kind.lowerings.items():
        options = f"; options: {', '.join(each.options)}" if each.options else ""
        page.append(f"{target}\n{_prose(f'{each.class_name}: {each.reason}{options}', '  ')}")
    needs = kind.requirements
    asks = [f"only parameters with {condition}" for condition in needs.parameters]
    asks += ["only sparse gradients"] if needs.gradients == "sparse" else []
    asks += ["all its parameters in one group"] if needs.one_group else []
    asks += ["no other optimizer beside it"] if needs.alone else []
    asks += [constraint.message for constraint in needs.together]
    if asks:
        page.append("asks for\n" + "\n".join(_prose(each, "  ") for each in asks))
    return "\n\n".join(page)


def _about(setting: Setting) -> str:
    """Default, what may stand there, and what it does."""
    return f"{written(setting.default)} if left out; {setting.expects}. {setting.description}"


def _policy(policy: PolicyType) -> str:
    called = ", ".join(_argument(each) for each in policy.arguments.values())
    page = [f"policy `{policy.name}({called})`", _prose(policy.description)]
    if policy.arguments:
        page.append(_table((each.name, _about_argument(each)) for each in policy.arguments.values()))
    if policy.last:
        page.append("Nothing may follow it.")
    if not policy.supported:
        page.append("This release knows its name only, and does not support it yet.")
    return "\n\n".join(page)


def _argument(argument: ArgumentType) -> str:
    if argument.required or argument.default is None or " " in argument.default:
        return argument.name
    return f"{argument.name}={argument.default}"


def _about_argument(argument: ArgumentType) -> str:
    default = "required" if argument.required else f"{argument.default or 'nothing'} if left out"
    kind = " or ".join(argument.words) if argument.words else f"a {argument.kind}"
    return f"{default}; {kind}. {argument.description}"


def _classes(topic: str, catalog: Catalog) -> Iterator[str]:
    """The optimizer that a class of a framework is, by its full name or by its last part."""
    for kind in catalog.optimizers.values():
        for each in kind.lowerings.values():
            last = each.class_name.rpartition(".")[2]
            # `adamw` is the canonical name already, `AdamW` the class
            if topic == each.class_name or (topic == last and topic not in catalog.optimizers):
                options = f" Options, under `{each.target}:`, are {', '.join(each.options)}." if each.options else ""
                names = ", ".join(kind.settings)
                text = f"It is written `type: {kind.name}`. Its arguments have the same names there: {names}."
                yield f"class `{each.class_name}`\n\n{_prose(text + options)}"
                if topic.lower() not in catalog.optimizers:
                    yield _optimizer(kind)


def _keys(word: str, catalog: Catalog) -> str:
    """What is known of a key: the whole path, or its last part, which many optimizers may share."""
    if word in catalog.keys:
        return f"key `{word}`\n\n{_key(word, catalog)}"
    found: dict[str, list[str]] = {}
    for name, kind in catalog.optimizers.items():
        setting = kind.setting(word)
        if setting is not None:
            found.setdefault(_about(setting), []).append(name)
    if found:
        rows = [(", ".join(names), text) for text, names in found.items()]
        return f"setting `{word}`\n\n" + "\n\n".join(f"{_prose(names)}\n{_prose(text, '  ')}" for names, text in rows)
    # an optimizer has a page of its own
    ends = [key for key in catalog.keys if key.endswith(f".{word}") and word not in catalog.optimizers]
    return "\n\n".join(f"key `{key}`\n\n{_key(key, catalog)}" for key in ends)


def _key(key: str, catalog: Catalog) -> str:
    parts = key.split(".", 2)
    kind = catalog.optimizers.get(parts[1]) if len(parts) == 3 and parts[0] == "optimizer" else None
    setting = kind.setting(parts[2]) if kind is not None else None
    if setting is not None:
        return _prose(_about(setting))
    option = catalog.options.get(parts[0], {}).get(parts[-1]) if len(parts) == 2 else None
    text = _prose(catalog.keys[key])
    takers = ", ".join(catalog.optimizers_with_option(parts[0], parts[-1]))
    return text if option is None else f"{text}\n\n{_prose(f'taken by {takers}')}"


def _sentence(text: str) -> str:
    """The first sentence of a description."""
    return text.partition(". ")[0].rstrip(".") + "."


def _prose(text: str, margin: str = "") -> str:
    return fill(
        " ".join(text.split()),
        _WIDTH,
        initial_indent=margin,
        subsequent_indent=margin,
        break_on_hyphens=False,
        break_long_words=False,
    )


def _table(rows: Iterable[tuple[str, str]]) -> str:
    """Names, and beside each its text, folded."""
    pairs = list(rows)
    width = max(len(name) for name, _ in pairs) + 4
    names = aligned([(f"  {name}", "") for name, _ in pairs])
    lines = []
    for name, (_, text) in zip(names, pairs, strict=True):
        lines.append(_prose(text, " " * width))
        lines[-1] = name.ljust(width) + lines[-1][width:]
    return "\n".join(lines)
