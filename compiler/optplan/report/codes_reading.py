"""What `optplan help CODE` says of the codes 0xx and 1xx: reading a document, and its shape.

Each entry is the cause and the cure, and an example.  An example is what does not work: a whole document where it
begins with `optplan:`, else part of one beside `optimizer: {type: adamw}`; or a command, after `$`.
"""

from __future__ import annotations

from typing import NamedTuple


class Explanation(NamedTuple):
    """Cause and cure in a few sentences, and an example of what does not work."""

    text: str
    example: str


EXPLANATIONS: dict[str, Explanation] = {
    "OP001": Explanation(
        "The file is not there, may not be read, or is not UTF-8 text. Check the path, which is relative to the "
        "current directory, and the file's permissions; an editor that saved it in another encoding can save it as "
        "UTF-8. The same is said of a plan in JSON that cannot be understood.",
        "$ optplan check finetune.optm.yaml",
    ),
    "OP002": Explanation(
        "The text breaks a rule of YAML, so nothing after that place can be trusted and only this fault is told. "
        "Usual causes are a bracket or quote that is not closed, a tab as indentation, and a `: ` inside a plain "
        "text. Quote the text, or fix the indentation of the line that is shown or of the one before it.",
        "let: {batch: 1024",
    ),
    "OP003": Explanation(
        "A key stands twice in one mapping. Most YAML readers keep the last value in silence, so one of the two "
        "settings would be lost without a word; here it is an error. Remove one, or, if both were meant as rules, "
        "make each an item of its own under `rules`.",
        "optplan: 1\noptimizer:\n  type: adamw\n  lr: 1e-3\n  lr: 3e-4",
    ),
    "OP004": Explanation(
        "A word with `!` in front is a YAML tag, which can ask a reader to make objects or run code. A document is "
        "data only, so no tag may stand in it. Leave it out; where the text itself begins with `!`, quote it.",
        "optplan: 1\noptimizer: !hyperparameters {type: adamw}",
    ),
    "OP005": Explanation(
        "`*name` refers to a value that `&name` marked earlier, and `<<` merges one mapping into another. This one "
        "refers to nothing, to itself, or to so much that the document would grow beyond its bounds. A filter that "
        "begins with `*` reads as such a reference too: put it in quotes, or write the path with a leading dot.",
        "rules: *usual",
    ),
    "OP006": Explanation(
        "A document may have a million characters, and only so many values, levels and characters in an expression; "
        "this one has more. The bounds keep a hostile file from taking the machine's memory and are far above what "
        "people write. Split it over several files with `extends`, or use patterns instead of lists of names.",
        "$ optplan check generated.optim.yaml     # three million characters",
    ),
    "OP007": Explanation(
        "A filter, a policy or a number stands here, and YAML made something else of it: a list of `[a, b].weight`, "
        "a mapping of `cosine(to=0x, for=3)` inside braces, null of a text that begins with `#`. Put the expression "
        "in quotes, or write the mapping over several lines.",
        "schedule: {lr: cosine(to=0x, for=300)}\nhorizon: {steps: 1000}",
    ),
    "OP101": Explanation(
        "The key is not one that may stand here, so it would have no effect. The nearest known name is proposed; "
        "`optplan help optimizer.adamw` lists the settings of an optimizer, and `optplan schema` lists everything, "
        "also to your editor.",
        "optplan: 1\noptimizer: {type: adamw, weight_decy: 0.05}",
    ),
    "OP102": Explanation(
        "Something without which the document means nothing is left out: the version `optplan: 1`, the `optimizer` "
        "with its `type`, or the `where` of a rule. All else has a default. Add the key.",
        "rules:\n  - weight_decay: 0",
    ),
    "OP103": Explanation(
        "The value is of another type than the key takes: a text where a list belongs, a quoted number where a "
        "plain one is asked. Scalars follow YAML 1.2, so `no` is a word, not false, and `1e-3` is a number. The "
        "message says what may stand there.",
        "rules: norm",
    ),
    "OP104": Explanation(
        "The value is of the right type and out of its range, whatever the network: a horizon of no updates, a word "
        "that is not among those that may stand there. The message gives the bounds.",
        "horizon: {steps: 0}",
    ),
    "OP105": Explanation(
        "No optimizer of this name is known, or a rule's `use` names one that is not under `optimizers`. Types are "
        "written in small letters as `adamw` and `sparse_adam`; `optplan help torch.optim.AdamW` tells which name a "
        "class has.",
        "optplan: 1\noptimizer: {type: adamv}",
    ),
    "OP106": Explanation(
        "`optplan: N` says in which version of the language the file is written, and this release does not read "
        "that one. A release reads every version up to its own. Install a newer release, or correct the number.",
        "optplan: 2\noptimizer: {type: adamw}",
    ),
    "OP107": Explanation(
        "Infinity and not-a-number are no hyper-parameters: frameworks accept them in silence, and the weights are "
        "lost at the first update. Write the largest number that is meant, or null where a setting can be switched "
        "off.",
        "optplan: 1\noptimizer: {type: adamw, lr: .inf}",
    ),
    "OP108": Explanation(
        "Names of rules, sets, optimizers and `let` entries stand in messages, in expressions and on the command "
        "line, so they are letters, digits, `_` and `-`, and begin with a letter or `_`; names of `let` have no "
        "`-`, which would be a minus in an expression. Rename it.",
        "rules:\n  - {name: no decay, where: norm, weight_decay: 0}",
    ),
    "OP109": Explanation(
        "The language has this, and this release cannot carry it out yet. Nothing is done in its place, so that no "
        "run goes another way than its file says. Nothing of version 1 is like that now. Leave it out, or write it "
        "with what there is: `optplan help policies` lists the phases.",
        "$ optplan check written_for_a_later_release.optim.yaml",
    ),
    "OP110": Explanation(
        "A file that `extends` names is not there, lies outside the directory of the first file, extends itself, or "
        "is one too many; or the file of a `table` is not there, or has a line that is no number of 0 or more. "
        "Paths are relative to the file that names them. Correct the path, or move the file into the tree.",
        "extends: no_such_file.optim.yaml",
    ),
    "OP111": Explanation(
        "An override is `KEY=VALUE`, where the key is a path into the document: `optimizer.lr=3e-4`, "
        "`rules.depth.lr=0.5x` by a rule's name, `rules.0.where=norm` by its place. This one has no value, names "
        "something that is not there, or goes through a value that has no parts.",
        "$ optplan check finetune.optim.yaml --set optimizer.lr",
    ),
    "OP112": Explanation(
        "Two things in one place have the same name, or a name is taken by the language: a set may not be called "
        "like a predicate, nor a number under `let` like an attribute, because a filter or an expression that uses "
        "the word would mean two things. Give one of them another name.",
        "sets: {norm: .layernorm}",
    ),
    "OP113": Explanation(
        "The optimizer that this goes to has no such setting: `momentum` is one of SGD, not of AdamW. Where only "
        "some of a rule's parameters can take a setting the others leave it out, and `optplan explain` says so; "
        "that none can is an error. Remove it, or let the rule `use` an optimizer that has it.",
        "rules:\n  - {where: bias, momentum: 0.9}",
    ),
    "OP114": Explanation(
        "A number under `let` or a filter under `sets` is defined by itself, directly or by way of others, so it "
        "has no value. Break the circle: one of them must be written out.",
        "let: {a: b * 2, b: a / 2}",
    ),
    "OP115": Explanation(
        "`torch:` and `mindspore:` hold options that only one framework has, such as `fused`. No optimizer of this "
        "file takes this one, or it excludes another that is given. `optplan help adamw` lists the options that an "
        "optimizer's class takes.",
        "optplan: 1\noptimizer: {type: muon, lr: 0.02, torch: {fused: true}}",
    ),
    "OP116": Explanation(
        "A warning: the file gives something a name and asks for it nowhere, so that it has no effect. Often a rule or "
        "a factor was forgotten. Entries of a file that is extended are not looked at, for they serve other files "
        "too.",
        "let: {batch: 1024}\nsets: {no_decay: norm or bias}",
    ),
}
