"""Forms: what `clip` or `loss_scale` holds, such as `norm(1.0)`, in; a `Form` of `optplan.expression` out.

The grammar is `form.lark` of `optplan.grammar`, which reads arguments as `value.lark` does.  Once the whole text could
be read it is held against the catalog: whether the form is known and has the arguments that it takes, each of its kind.
Numbers that are written out are held against their ranges here, the others once they have a value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from optplan.diagnostics import nearest, suggestion
from optplan.expression import Argument, Constant, Form, Listing, Name, Negative, Number, Quantity
from optplan.frontend.grammar import Fault, Language, Stop, build, fail, place, shown
from optplan.frontend.namesakes import ARGUMENTS, FORMS, NOTHING
from optplan.frontend.values import FUNCTIONS, OPERANDS, Scope, ValueBuilder, check
from optplan.frontend.values import explain as explain_value
from optplan.source import Span

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from optplan.catalog import Forms, FormType, Setting
    from optplan.diagnostics import Collector
    from optplan.expression import Value
    from optplan.source import Text

NONE = "none"

_ONE_NUMBER = "it is one number for the whole run: write it out, or name it under `let`"


def parse_form(
    text: Text, collector: Collector, *, key: str, names: Collection[str], forms: Mapping[str, Forms]
) -> Form | None:
    """The form that `text` is; None for `none`, and where a fault was reported.

    It stands under `key`, and its numbers may use `names`, which `let` defines; `forms` are those of the catalog.
    """
    kinds, written = forms[key], text.value.strip()
    whole = text.span(0, len(text.value))
    if written.lower() in ("", "null", "~"):
        found = f"`{written}`" if written else "nothing"
        collector.error("OP301", f"expected {kinds.noun}, found {found}", whole, help=_either(kinds))
        return None
    if written.lower().lstrip("+-") in (".inf", ".nan"):
        cure = "write the number that is meant"
        collector.error("OP107", f"`{written}` is not a finite number", whole, help=cure)
        return None
    node = read_form(text, collector, kinds)
    return None if node is None else _Checker(collector, key, names, forms).form(node)


def read_form(text: Text, collector: Collector, forms: Forms) -> Form | Value | None:
    """What `text` is by the grammar alone, a form or an expression; None with the fault reported."""
    language = Language("form", "OP301", forms.noun, OPERANDS | {"FORM"}, partial(_explain, forms))
    found: Form | Value | None = build(language, text, collector, _FormBuilder(text, forms=forms.types).make)
    return found


@dataclass(frozen=True, slots=True)
class _FormBuilder(ValueBuilder):
    forms: Collection[str] = ()

    def make(self, rule: str, children: Sequence[Any], begin: int, end: int) -> Any:
        span = self.text.span(begin, end)
        if rule == "form":
            return Form(str(children[0]), tuple(children[1:]), span, self.text.span(*place(children[0])))
        if rule == "argument":
            return Argument(str(children[0]) if len(children) > 1 else None, children[-1], span)
        if rule == "call" and children[0] in self.forms:
            cure = "write it without parentheses around it and operators beside it"
            fail(f"`{children[0]}` is no number: it stands by itself", place(children[0]), cure, "OP307")
        return ValueBuilder.make(self, rule, children, begin, end)


class _Checker:
    def __init__(self, collector: Collector, key: str, names: Collection[str], forms: Mapping[str, Forms]) -> None:
        self.collector, self.names = collector, names
        self.forms, self.others = forms[key], {name: kind for name, kind in forms.items() if name != key}

    def form(self, node: Form | Value) -> Form | None:
        """The sound form that `node` is; None for `none` and for what was reported."""
        if isinstance(node, Form):
            known = self.forms.types.get(node.name)
            if known is None:
                self._unknown(node)
                return None
            return node if self._arguments(node, known) else None
        if isinstance(node, Name) and (node.name == NONE or node.name not in self.names):
            if node.name != NONE:
                self._word(node)
            return None
        if isinstance(node, Constant):
            cure = _either(self.forms) if node.value is True else "write `none`"
            self._error("OP307", f"expected {self.forms.noun}, found `{node}`", node.span, cure)
            return None
        number = self.forms.number and self.forms.types[self.forms.number]
        if not number:
            cure = " or ".join(f"`{name}({shown(str(node))})`" for name in self.forms.types)
            self._error("OP307", f"a number alone is no {self.forms.word}", node.span, f"write {cure}")
            return None
        form = Form(number.name, (Argument(None, node, node.span),), node.span, node.span)
        return form if self._arguments(form, number) else None

    # The name

    def _unknown(self, form: Form) -> None:
        """Report a form that is called, and that the key cannot have."""
        if form.name.lower() == NONE:
            self._error("OP307", "`none` takes no arguments", form.span, "write `none`")
            return
        meant, kinds = _meant(form.name, self.forms), self.forms.types
        cure = self._elsewhere(form.name)
        if meant:
            alone = len(form.arguments) == 1 and form.arguments[0].name is None and kinds[meant].positional
            cure = f"write `{meant}({shown(str(form.arguments[0].value)) if alone else '...'})`"
        elif cure is None:
            known = [*kinds, *(FUNCTIONS if self.forms.number else ())]
            cure = suggestion(form.name, known, _either(self.forms))
        self._error("OP307", f"unknown {self.forms.word} `{shown(form.name)}`", form.name_span, cure)

    def _word(self, node: Name) -> None:
        """Report a word that is neither `none` nor a name of `let`."""
        word, kinds = node.name, self.forms.types
        if word in kinds:
            self._error("OP307", f"`{word}` without parentheses", node.span, f"write `{kinds[word].example}`")
            return
        near = nearest(word, [NONE, *kinds, *(self.names if self.forms.number else ())])
        if word.lower() in NOTHING:
            cure = "write `none`"
        elif meant := _meant(word, self.forms):
            cure = f"write `{kinds[meant].example}`"
        elif near:
            shapes = [kinds[name].example if name in kinds else name for name in near]
            cure = f"did you mean {' or '.join(f'`{each}`' for each in shapes)}?"
        else:
            more = "; a number of one's own is defined under `let`" if self.forms.number else ""
            cure = self._elsewhere(word) or _either(self.forms) + more
        self._error("OP307", f"unknown {self.forms.word} `{shown(word)}`", node.span, cure)

    def _elsewhere(self, name: str) -> str | None:
        """Where a form stands that this key cannot have."""
        return next((f"`{name}` stands under `{key}`" for key, each in self.others.items() if name in each.types), None)

    # The arguments

    def _arguments(self, form: Form, known: FormType) -> bool:
        """Whether the form has the arguments that it takes, each of its kind."""
        given: dict[str, Argument] = {}
        sound = True
        for argument in form.arguments:
            setting = self._setting(form, known, argument, given)
            if setting is None:
                sound = False
            else:
                given[setting.name] = argument
                sound &= self._value(setting, argument.value)
        for name, setting in known.arguments.items():
            if setting.required and name not in given and sound:
                about = setting.description.partition(";")[0]
                cure = f"write `{known.example}`: {about[:1].lower()}{about[1:].rstrip('.')}"
                self._error("OP307", f"`{known.name}` needs `{name}`", form.name_span, cure)
                sound = False
        return sound

    def _setting(
        self, form: Form, known: FormType, argument: Argument, given: Mapping[str, Argument]
    ) -> Setting | None:
        """What `argument` is an argument for, None with a fault where that cannot be."""
        name = argument.name or known.positional
        if name is None or (argument.name is None and name in given):
            takes = f"one argument without a name, `{name}`" if name else "no argument without a name"
            self._error("OP307", f"`{form.name}` takes {takes}", argument.span, _named(known, argument.value, given))
            return None
        setting = known.arguments.get(name)
        if setting is None:
            meant = next((each for each in ARGUMENTS.get(name, ()) if each in known.arguments), None)
            takes = "it takes " + ", ".join(f"`{each}`" for each in known.arguments)
            cure = f"write `{meant}=`" if meant else suggestion(name, known.arguments, takes)
            if name == "norm_type":
                cure = "remove it: the norm is the 2-norm"
            self._error("OP307", f"`{form.name}` has no argument `{shown(name)}`", _name_span(argument), cure)
            return None
        if name in given:
            self._error("OP307", f"`{name}` is given twice", _name_span(argument), "remove one of the two")
            return None
        return setting

    def _value(self, setting: Setting, value: Value) -> bool:
        """Whether `value` is of the setting's kind, and in its range as far as that is known."""
        if setting.kind == "bool":
            if isinstance(value, Constant) and isinstance(value.value, bool):
                return True
            word = value.name.lower() if isinstance(value, Name) else ""
            cure = f"write `{setting.name}={word if word in ('true', 'false') else str(not setting.default).lower()}`"
            self._error("OP307", f"`{setting.name}` is true or false", value.span, cure)
            return False
        if isinstance(value, (Constant, Listing, Quantity)):
            found = f"`{shown(str(value))}`"
            if isinstance(value, Constant) and isinstance(value.value, str):
                found = f"the text `{shown(value.value)}`"
            self._error("OP307", f"`{setting.name}` is a number, not {found}", value.span, f"write {setting.expects}")
            return False
        if not check(value, Scope("a number", "OP307", self.names, otherwise=_ONE_NUMBER), self.collector):
            return False
        number = _literal(value)
        wrong = None if number is None else setting.check(number)
        if wrong is not None:
            cure = f"write {setting.expects}"
            if setting.required and number is not None and number <= 0:
                cure = f"{cure}; `none` is for no {self.forms.word}"
            self._error("OP104", f"`{setting.name}` {wrong}, not {number}", value.span, cure)
        return wrong is None

    def _error(self, code: str, message: str, span: Span | None, cure: str | None) -> None:
        self.collector.error(code, message, span, help=cure)


def _meant(word: str, forms: Forms) -> str | None:
    """The form that a name of a framework stands for: `torch.amp.GradScaler` is `dynamic`."""
    last = word.rpartition(".")[2].lower().replace("_", "")
    return last if last in forms.types else FORMS.get(forms.key, {}).get(last)


def _named(known: FormType, value: Value, given: Collection[str]) -> str:
    """The cure for an argument that has to have a name."""
    if isinstance(value, Name) and value.name in known.arguments and known.arguments[value.name].kind == "bool":
        return f"write `{value.name}=true`"
    switch = isinstance(value, Constant) and isinstance(value.value, bool)
    fitting = [name for name, each in known.arguments.items() if (each.kind == "bool") == switch and name not in given]
    return f"write `{fitting[0]}={shown(str(value))}`" if fitting else "remove it"


def _literal(value: Value) -> int | float | None:
    """The number that `value` is without being computed."""
    if isinstance(value, Negative):
        inner = _literal(value.item)
        return None if inner is None else -inner
    return value.value if isinstance(value, Number) else None


def _name_span(argument: Argument) -> Span | None:
    """The place of the argument's name; its whole where it has none."""
    span = argument.span
    return span and Span(span.source, span.start, span.start + len(argument.name)) if argument.name else span


def _either(forms: Forms) -> str:
    """What can be written there."""
    examples = [NONE, *(kind.example for kind in forms.types.values())]
    return f"write {', '.join(f'`{each}`' for each in examples[:-1])} or `{examples[-1]}`"


def _explain(forms: Forms, stop: Stop) -> Fault:
    found, expected = stop.found, stop.expected
    if not stop.opened and "SUM" in expected and found:
        return _explain_alone(forms, stop)
    if "NUMBER" in expected:
        listed = "ARGUMENT" in expected
        return stop.wanted("an argument") if listed and found in ("", ",") else explain_value(stop)
    if not stop.opened and "INDEX" not in expected:
        return stop.wanted("nothing more", "one form stands there")
    if stop.opener == "(" and "COMMA" in expected and found != "^":
        if found in (":", "=", "==") and re.fullmatch(r"[^\W\d]\w*", stop.before):
            return stop.fault(f"`{found}` does not name an argument", f"write `{stop.before}=...`")
        return stop.wanted("`,` or `)`", "write a comma between two arguments" if found[:1].isalnum() else None)
    return explain_value(stop)


def _explain_alone(forms: Forms, stop: Stop) -> Fault:
    """The words for what may not follow a complete expression outside of every parenthesis."""
    found, known = stop.found, forms.types.get(stop.before)
    if stop.before == NONE:
        return stop.wanted("nothing more", "`none` stands by itself")
    if known is not None:
        rest = stop.text[stop.begin :].strip().lstrip("=:").strip()
        return stop.wanted("`(`", f"write `{known.name}({shown(rest)})`")
    if found in forms.types:
        return stop.wanted("an operator", f"a form stands by itself: `{forms.types[found].example}`")
    # the name of a class, which no expression has
    word = re.compile(r"[\w.]+").match(stop.text, stop.after - len(stop.before))
    if found == "." and word is not None and word.end() > stop.end:
        meant = _meant(word[0], forms)
        cure = f"write `{forms.types[meant].example}`" if meant else _either(forms)
        return Fault(f"unknown {forms.word} `{shown(word[0])}`", word.start(), word.end(), cure, "OP307")
    return explain_value(stop)
