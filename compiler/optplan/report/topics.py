"""What `optplan help TOPIC` says: one text for each code, key, optimizer, class, policy, predicate and attribute.

Everything but the explanations of codes and the schedulers of frameworks comes from the catalog, so an optimizer that
is registered has its page too.  A word with several meanings (`linear` is a predicate and a phase) gets a page for
each.
"""

from __future__ import annotations

from textwrap import dedent, indent
from typing import TYPE_CHECKING

from optplan.counterparts import CHAINS
from optplan.diagnostics import CODES
from optplan.report.codes_meaning import EXPLANATIONS as MEANING
from optplan.report.codes_reading import EXPLANATIONS as READING
from optplan.report.codes_state import EXPLANATIONS as STATE
from optplan.report.mapped import class_of, classes_and_members, mapped_pages, namesakes
from optplan.report.members import known_members, member_pages
from optplan.report.notation import written
from optplan.report.prose import prose, table
from optplan.report.spelling import meant
from optplan.report.stock import known_schedulers, scheduler_pages, schedulers_list

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from optplan.catalog import ArgumentType, Catalog, FormType, Lowering, OptimizerType, PolicyType
    from optplan.setting import Setting

EXPLANATIONS = READING | MEANING | STATE
LISTS = ("codes", "optimizers", "policies", "predicates", "attributes", "keys")


def topic_text(topic: str, catalog: Catalog) -> str | None:
    """All that there is to say of `topic`; None if it is unknown."""
    topic = topic.strip()
    pages = [page for page in _pages(topic, catalog) if page]
    own = [*member_pages(topic, alone=not pages)]
    # a word alone is first of all one of the language
    if "." in topic or not pages:
        pages += [*own, *mapped_pages(topic, catalog)]
    else:
        pages += [*filter(None, [namesakes(topic)]), *own]
    for names in () if pages else meant(topic):
        pages = pages or [text for name in names if name != topic and (text := topic_text(name, catalog))]
    return "\n\n".join(pages) or None


def topics_text(catalog: Catalog, verbs: Iterable[str] = ()) -> str:
    """The topics there are; `verbs` are those of the command line."""
    rows = [
        ("codes", "every diagnostic, or one: `OP203`"),
        ("optimizers", ", ".join(name for name in catalog.optimizers if "." not in name)),
        *(_own(target, catalog) for target in catalog.options),
        ("policies", ", ".join(name for name, policy in catalog.policies.items() if policy.supported)),
        ("predicates", ", ".join(catalog.predicates)),
        ("attributes", ", ".join(catalog.attributes)),
        ("keys", "every key, or one: `rules.where`, `optimizer.adamw.betas`, `betas`"),
        ("a class", "what it is here and in the other framework: `torch.optim.SGD`, `mindspore.nn.Momentum`"),
        ("a method", "the same: `torch.optim.Optimizer.add_param_group`, `mindspore.nn.Optimizer.get_lr`"),
        ("a result", "what `compiled` does and gives: `step`, `result`, `report`, `compiled.lr`"),
        ("a scheduler", "the policy with its values: `torch.optim.lr_scheduler.StepLR`, `cosine_with_min_lr`"),
    ]
    if named := ", ".join(f"`{verb}`" for verb in verbs):
        rows.append(("a verb", f"how it is called: {named}"))
    return "optplan help TOPIC, where TOPIC is one of these or a name among them:\n\n" + table(rows)


def _own(target: str, catalog: Catalog) -> tuple[str, str]:
    """The row of the optimizers that `target` alone has."""
    own = [name.partition(".")[2] for name in catalog.optimizers if name.startswith(f"{target}.")]
    return f"{target}.NAME", f"what {target} alone has: {', '.join(own)}"


def known_topics(catalog: Catalog) -> list[str]:
    """Every word that `topic_text` knows."""
    words = [*LISTS, *CODES, *catalog.optimizers, *catalog.policies, *catalog.predicates, *catalog.attributes]
    words += [key for key in catalog.keys if key not in words]
    words += [each.class_name for kind in catalog.optimizers.values() for each in _lowerings(kind)]
    words += [*known_schedulers(), *classes_and_members(), *CHAINS, *known_members()]
    return list(dict.fromkeys([*words, *catalog.all_settings]))


def _pages(topic: str, catalog: Catalog) -> Iterator[str]:
    word = topic.lower()
    if topic.upper() in CODES:
        yield _code(topic.upper())
    if word in LISTS:
        yield _list(word, catalog)
    if (name := _named(topic, catalog)) is not None:
        yield _optimizer(catalog.optimizers[name])
        yield class_of(catalog.optimizers[name])
    if word in catalog.policies:
        yield _policy(catalog.policies[word])
    if word in CHAINS:
        yield f"schedule `{word}`\n\nNo phase has this name; it is a chain of them:\n\n    lr: {CHAINS[word]}"
    if word in catalog.predicates:
        yield f"predicate `{word}`\n\n{prose(catalog.predicates[word])}"
    if word in catalog.attributes:
        yield f"attribute `{word}`\n\n{prose(catalog.attributes[word])}"
    yield from _classes(topic, catalog)
    if topic not in catalog.policies:
        yield from scheduler_pages(topic)
    yield _refused(topic, catalog)
    yield _keys(word, catalog)


def _named(topic: str, catalog: Catalog) -> str | None:
    """The name of the optimizer that `topic` names, in whatever letters."""
    return next((name for name in catalog.optimizers if name.lower() == topic.lower()), None)


def _code(code: str) -> str:
    page = [f"{code}: {CODES[code]}"]
    if code in EXPLANATIONS:
        text, example = EXPLANATIONS[code]
        page += [prose(text), "for example:", indent(dedent(example), "    ")]
    return "\n\n".join(page)


def _list(word: str, catalog: Catalog) -> str:
    if word == "optimizers":
        return table((name, _sentence(kind.description)) for name, kind in catalog.optimizers.items())
    if word == "policies":
        policies = table(
            (name, _sentence(policy.description) + ("" if policy.supported else " Not supported yet."))
            for name, policy in catalog.policies.items()
        )
        return f"{policies}\n\n{schedulers_list()}"
    tables: Mapping[str, Mapping[str, str]] = {
        "codes": CODES,
        "predicates": catalog.predicates,
        "attributes": catalog.attributes,
        "keys": _general_keys(catalog),
    }
    return table(tables[word].items())


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
    page = [f"optimizer `{kind.name}`", prose(kind.description), "settings"]
    page[-1] += "\n" + table((setting.name, _about(setting)) for setting in kind.settings.values())
    page.append(f"may be scheduled\n{prose(', '.join(kind.scheduled), '  ')}")
    for target, classes in kind.lowerings.items():
        said = [f"{each.class_name}: {each.reason}{_where(each, kind)}" for each in classes]
        said += [f"options: {', '.join(kind.options(target))}"] if kind.options(target) else []
        page.append("\n".join([target, *(prose(each, "  ") for each in said)]))
    for target, why in kind.refusals.items():
        page.append(f"{target}\n{prose(f'none: {why}', '  ')}")
    if kind.canonical is not None:
        near = f"`{kind.canonical}` is the nearest that every framework has"
        page.append(prose(f"Only {' and '.join(kind.lowerings)} has it; {near}."))
    needs = kind.requirements
    asks = [f"only parameters with {condition}" for condition in needs.parameters]
    asks += ["only sparse gradients"] if needs.gradients == "sparse" else []
    asks += ["all its parameters in one group"] if needs.one_group else []
    asks += ["no other optimizer beside it"] if needs.alone else []
    asks += ["a function that gives the loss anew, and so no loss scale and no `accumulate`"] if needs.closure else []
    asks += [constraint.message for constraint in needs.together]
    if asks:
        page.append("asks for\n" + "\n".join(prose(each, "  ") for each in asks))
    return "\n\n".join(page)


def _lowerings(kind: OptimizerType) -> Iterator[Lowering]:
    for classes in kind.lowerings.values():
        yield from classes


def _where(lowering: Lowering, kind: OptimizerType) -> str:
    """For which settings a class is taken, where it is not for all."""
    says = [str(each) for each in lowering.when]
    if lowering.scheduled is not None and set(lowering.scheduled) != set(kind.scheduled):
        says.append(" but of ".join(["no schedule", *filter(None, [" and ".join(lowering.scheduled)])]))
    on = f"; on {' and '.join(lowering.devices)} only" if lowering.devices else ""
    return (f" (where {' and '.join(says)})" if says else "") + on


def _about(setting: Setting) -> str:
    """Default, what may stand there, and what it does."""
    default = "required" if setting.required else f"{written(setting.default)} if left out"
    return f"{default}; {setting.expects}. {setting.description}"


def _policy(policy: PolicyType) -> str:
    called = ", ".join(_argument(each) for each in policy.arguments.values())
    page = [prose(f"policy `{policy.name}({called})`"), prose(policy.description)]
    if policy.arguments:
        page.append(table((each.name, _about_argument(each)) for each in policy.arguments.values()))
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
    """The optimizers that a class of a framework is, by its full name or by its last part."""
    wrapped = {f"mindspore.nn.{name.partition('.')[2]}": name for name in catalog.optimizers if "mindspore." in name}
    for kind in catalog.optimizers.values():
        pages: dict[str, str] = {}
        for each in _lowerings(kind):
            names = [each.class_name, *(full for full, name in wrapped.items() if name == kind.name)]
            # `adamw` is the canonical name already, `AdamW` the class; what is our own has no other name
            last = [name.rpartition(".")[2] for name in names if not name.startswith("optplan.")]
            if topic in names or (topic in last and topic not in catalog.optimizers):
                shown = topic if topic in names else next(name for name in names if not name.startswith("optplan."))
                options = f" Options, under `{each.target}:`, are {', '.join(each.options)}." if each.options else ""
                where = "" if "." in kind.name else _where(each, kind)
                text = f"It is written `type: {kind.name}`{where}. {_arguments(each, kind)}{options}"
                pages.setdefault(shown, f"class `{shown}`\n\n{prose(text)}")
        yield from pages.values()
        if pages and _named(topic, catalog) is None:
            yield _optimizer(kind)


def _arguments(lowering: Lowering, kind: OptimizerType) -> str:
    """How the arguments of a class are called in a document."""
    others: list[str] = []
    same: list[str] = []
    alike = [each for each in kind.lowerings[lowering.target] if each.class_name == lowering.class_name]
    for key in kind.settings:
        argument = next((name for each in alike if (name := each.argument(key)) is not None), None)
        if argument == key:
            same.append(key)
        elif argument is not None:
            others.append(f"{argument if isinstance(argument, str) else ' and '.join(argument)} is `{key}`")
    if not others:
        return f"Its arguments have the same names there: {', '.join(same)}."
    rest = f"; its other arguments have the same names: {', '.join(same)}" if same else ""
    return f"There {', '.join(others)}{rest}."


def _refused(topic: str, catalog: Catalog) -> str:
    """Why a class of a framework can be no optimizer of a document."""
    refused = catalog.document["$defs"]["optimizer"]["properties"]["type"]["x-optplan"]["refused"]
    for name, why in refused.items():
        framework, _, last = name.partition(".")
        if topic in (name, f"{framework}.nn.{last}", last):
            return f"class `{framework}.nn.{last}`\n\n{prose(f'It cannot be written in a document: {why}.')}"
    return ""


def _keys(word: str, catalog: Catalog) -> str:
    """What is known of a key: the whole path, or its last part, which many optimizers may share."""
    whole = next((key for key in catalog.keys if key.lower() == word), None)
    if whole is not None:
        return f"key `{whole}`\n\n{_key(whole, catalog)}"
    found: dict[str, list[str]] = {}
    for name, kind in catalog.optimizers.items():
        setting = kind.setting(word)
        if setting is not None:
            found.setdefault(_about(setting), []).append(name)
    if found:
        rows = [(", ".join(names), text) for text, names in found.items()]
        return f"setting `{word}`\n\n" + "\n\n".join(f"{prose(names)}\n{prose(text, '  ')}" for names, text in rows)
    # an optimizer has a page of its own
    # behind a type in whatever letters, `mindspore.lamb.eps`; a type alone has a page of its own
    fold = str.lower if "." in word else str
    ends = [key for key in catalog.keys if fold(key).endswith(f".{word}") and _named(word, catalog) is None]
    return "\n\n".join(f"key `{key}`\n\n{_key(key, catalog)}" for key in ends)


def _key(key: str, catalog: Catalog) -> str:
    parts = key.split(".", 2)
    owner, _, name = key.removeprefix("optimizer.").rpartition(".")
    kind = catalog.optimizers.get(owner) if key.startswith("optimizer.") else None
    setting = kind.setting(name) if kind is not None else None
    if setting is not None:
        return prose(_about(setting))
    option = catalog.options.get(parts[0], {}).get(parts[-1]) if len(parts) == 2 else None
    text = prose(catalog.keys[key])
    if parts[0] in catalog.forms:
        return _form(key, catalog)
    takers = ", ".join(catalog.optimizers_with_option(parts[0], parts[-1]))
    return text if option is None else f"{text}\n\n{prose(f'taken by {takers}')}"


def _form(key: str, catalog: Catalog) -> str:
    """What can stand under `clip` or `loss_scale`, what a form of it takes, or what an argument of that may be."""
    owner, *names = key.split(".")
    types = catalog.forms[owner].types
    if len(names) == 2:
        return prose(_about(types[names[0]].arguments[names[1]]))
    page = [prose(catalog.keys[key])]
    if not names:
        page.append(table((name, _sentence(each.description)) for name, each in types.items()))
        page.append(f"`optplan help {owner}.{list(types)[-1]}` tells what one of them takes.")
    else:
        known = types[names[0]]
        page.append(f"written `{_called(known)}`")
        page.append(table((each.name, _about(each)) for each in known.arguments.values()))
    return "\n\n".join(page)


def _called(form: FormType) -> str:
    """A form with its arguments and their defaults: `dynamic(init=65536, growth=2, backoff=0.5, every=2000)`."""
    arguments = (
        each.name if each.required else f"{each.name}={written(each.default)}" for each in form.arguments.values()
    )
    return f"{form.name}({', '.join(arguments)})"


def _sentence(text: str) -> str:
    """The first sentence of a description."""
    return text.partition(". ")[0].rstrip(".") + "."
