"""What `optplan help CODE` says of the codes from 2xx on: filters, values, schedules, targets, networks.

As in `codes_reading`.  Examples of 203 to 211, 304 and 5xx are faulty for a network: embeddings, an encoder of two
blocks with a norm each, and a head that is tied to the embeddings.
"""

from __future__ import annotations

from optplan.report.codes_reading import Explanation

EXPLANATIONS: dict[str, Explanation] = {
    "OP201": Explanation(
        "The filter breaks the grammar: a parenthesis is open, an operator has nothing beside it, two words stand "
        "side by side. A filter is made of predicates, paths and comparisons with `and`, `or`, `not` between them. "
        'A name that is no path as it stands goes into quotes: `path("odd name")`.',
        "rules:\n  - {where: norm or, weight_decay: 0}",
    ),
    "OP202": Explanation(
        "The pattern of a path or the regular expression cannot be read: a bracket is open, a range runs backwards, "
        "the expression asks for what RE2 does not have (look-around, back references), because that could take for "
        "ever. In a path `*` stands for characters within one segment, `**` for any segments.",
        "rules:\n  - {where: '/(unclosed/', weight_decay: 0}",
    ),
    "OP203": Explanation(
        "The filter holds for no parameter of this network, so the rule has no effect: a name is misspelt, or the "
        "file was written for another network. The smallest part that holds for nothing is marked, with the nearest "
        "names. Where a rule may well match nothing, for a file that serves several networks, say `optional: true`.",
        "rules:\n  - where: encodr     # 0 of 8 parameters\n    lr: 0.1x",
    ),
    "OP204": Explanation(
        "A word before a comparison is no attribute, or one before parentheses no function. Attributes are `ndim`, "
        "`numel`, `fan_in`, `fan_out`, `layer`, `shape[0]` and `dtype`, functions `path`, `type` and `inside`; "
        "`optplan help predicates` lists what can stand alone.",
        "rules:\n  - {where: dims == 1, weight_decay: 0}",
    ),
    "OP205": Explanation(
        "Every parameter that the rule matches has its gradient switched off, so what the rule sets is never used. "
        "Perhaps the network was frozen by hand before. A rule with `freeze: false` takes them in.",
        "rules:\n  - {where: frozen, lr: 0.1x}",
    ),
    "OP206": Explanation(
        "For each parameter that the rule matches, a later rule sets the same keys again: rules apply in order, and "
        "the last one stands. Put the special rule below the general one, narrow the later filter, or remove the "
        "rule.",
        "rules:\n  - {where: norm, weight_decay: 0}\n  - {where: all, weight_decay: 0.1}",
    ),
    "OP207": Explanation(
        "A tied parameter is one tensor under several names. Two rules give it different values, each through "
        "another name, so that the order of the rules would decide what nobody decided. Settle it by a later rule, "
        "such as `where: tied`, or name the parameter in both.",
        "rules:\n  - {where: embeddings, lr: 1e-4}\n  - {where: head, lr: 1e-3}",
    ),
    "OP208": Explanation(
        "An entry of `layers` covers no parameter, or is no pattern. The entries number the network from input to "
        "output, each by a path; `{i}` stands for the digits that count its layers, once in an entry. Correct the "
        "name: the nearest ones are proposed.",
        "layers:\n  - encodr.{i}",
    ),
    "OP209": Explanation(
        "Words like `norm`, `attention` and `type(..)` ask for the class of a module, and a checkpoint lists "
        "tensors only. Write a manifest where the network can be built, `optplan params --network SPEC -o "
        "net.params.json`, and use that; or say it by paths.",
        "$ optplan plan finetune.optim.yaml --params model.safetensors",
    ),
    "OP210": Explanation(
        "A rule sets a plain value, and a rule below it hands some of the same parameters to another optimizer by "
        "`use`. Values apply after the optimizer is chosen, so a learning rate meant for AdamW lands on Muon as "
        "well. Put the rule below, narrow it, or write a ratio.",
        "optimizers:\n"
        "  second: {type: sgd, lr: 0.1}\n"
        "rules:\n"
        "  - {where: encoder, lr: 1e-4}\n"
        "  - {where: encoder and ndim == 2, use: second}",
    ),
    "OP211": Explanation(
        "The network's parameters cannot be told apart or have no shape yet: two have one name, a lazy module has "
        "seen no input, a wrapper made one flat parameter of many. Run one batch first, make the plan before "
        "wrapping, or use `use_orig_params=True`.",
        "$ optplan params --network project.networks:lazy",
    ),
    "OP301": Explanation(
        "The expression breaks the grammar: a parenthesis is open, an operator has nothing beside it, two numbers "
        "stand side by side. There are `+ - * / **`, parentheses, `min max sqrt log floor ceil round`, and names.",
        "optplan: 1\noptimizer: {type: adamw, lr: 5e-4 *}",
    ),
    "OP302": Explanation(
        "A name in an expression is not under `let`, and is no attribute of a parameter, nor a function. Numbers "
        "get a name under `let`; `--let NAME=NUMBER` replaces one that the file has, and cannot bring in a new one.",
        "optplan: 1\nlet: {batch: 1024}\noptimizer: {type: adamw, lr: 5e-4 * bach / 512}",
    ),
    "OP303": Explanation(
        "The result is infinite, complex or not there: a division by zero, the root or logarithm of a negative "
        "number, a power beyond what a double holds. Expressions are evaluated once, when the plan is made, so this "
        "would be so at every update.",
        "optplan: 1\nlet: {batch: 0}\noptimizer: {type: adamw, lr: 1e-3 / batch}",
    ),
    "OP304": Explanation(
        "The expression asks for something of the parameter that it does not have: `fan_in` of a bias, `layer` of "
        "one that no entry of `layers` covers, `shape[2]` of a matrix. Narrow the rule's filter to those that have "
        "it, such as `and ndim >= 2`.",
        "rules:\n  - {where: all, lr: base / sqrt(fan_in)}",
    ),
    "OP305": Explanation(
        "The value, after its expression has been evaluated, is none that the setting can have: out of its range, a "
        "fraction where a whole number is asked, or at odds with another setting. Frameworks do not check this for "
        "each group. The message names the bounds.",
        "optplan: 1\noptimizer: {type: adamw, lr: 0 - 1e-3}",
    ),
    "OP306": Explanation(
        "`0.1x` is short for `base * 0.1`, a tenth of what the cascade has given so far, and here nothing has been "
        "given: `optimizer` is where values start. A ratio is one number, so it cannot divide or be raised. Write "
        "the number itself.",
        "optplan: 1\noptimizer: {type: adamw, lr: 0.1x}",
    ),
    "OP307": Explanation(
        "`clip` and `loss_scale` are `none` or a form such as `norm(1.0)` and `dynamic(init=65536)`; a loss scale may "
        "be a number alone. The form, or an argument of it, is unknown, missing, given twice or of another kind: "
        "`optplan help clip` and `optplan help loss_scale` list the forms, `optplan help loss_scale.dynamic` what one "
        "takes.",
        "clip: clip_grad_norm_(1.0)",
    ),
    "OP401": Explanation(
        "The policy breaks the grammar: `->` has nothing beside it, a phase has no parentheses, an argument no "
        "comma. A policy is phases with `->`, `over`, `into` and `*` between them, such as `warmup(5%) -> "
        "cosine(to=0.01x)`.",
        "horizon: {steps: 1000}\nschedule: {lr: warmup(5%) ->}",
    ),
    "OP402": Explanation(
        "The phase, or an argument of it, is unknown, missing, given twice or of another kind. Only the duration "
        "may stand without a name: all else is `name=value`. `optplan help cosine` lists what a phase takes.",
        "horizon: {steps: 1000}\nschedule: {lr: cosin(to=0x)}",
    ),
    "OP403": Explanation(
        "A duration is a number of updates, 0 or more, or one with a unit: `500`, `10k`, `5 epochs`, `10%`, and what "
        "can be computed from these. This one is none, or below 0. A ratio such as `0.1x` is a value and "
        "goes by a name: `to=0.1x`. Less than one update is a warning: a part of the run is written `30%`.",
        "horizon: {steps: 1000}\nschedule: {lr: warmup(-5) -> cosine()}",
    ),
    "OP404": Explanation(
        "The phases do not add up to the run: together they are longer than the horizon, two leave out their "
        "duration so that neither knows what is left, or what stands before `over` has none. Percentages and "
        "epochs move with the horizon, plain numbers do not; `--steps` may have made it shorter. To try the first "
        "updates of a long run, give the length of the whole run all the same, and stop early.",
        "horizon: {steps: 100}\nschedule: {lr: warmup(500) -> cosine()}",
    ),
    "OP405": Explanation(
        "A phase cannot start from the value that the one before leaves, or cannot reach its own: a decay from 0, "
        "an exponential to 0, a value below 0, a number where `*` multiplies. A floor above a group's own rate is a "
        "warning, for an absolute one is the same for all groups. Write it as a ratio: `to=0.01x`.",
        "horizon: {steps: 100}\nschedule: {lr: 'hold(50, at=0x) -> exp(to=0.1x)'}",
    ),
    "OP406": Explanation(
        "Only numbers can change as training goes on, and only those that the optimizer reads anew at each update. "
        "No optimizer of the file has this key, or it is a list (schedule one element: `betas[0]`), a switch or a "
        "word.",
        "horizon: {steps: 100}\nschedule: {betas: cosine()}",
    ),
    "OP407": Explanation(
        "A policy counts in percent or epochs, or runs to the end, and nobody said how long the run is; or `steps`, "
        "`epochs` and `steps_per_epoch` contradict each other. Give two of the three under `horizon`, or by "
        "`--steps`, `--epochs`, `--steps-per-epoch`.",
        "horizon: {steps: 100, epochs: 3, steps_per_epoch: 10}",
    ),
    "OP408": Explanation(
        "A note, not a fault: `check` could not look at part of a policy, because the file leaves the length of the "
        "run to the program that reads it. Give `--steps`, or `--epochs` and `--steps-per-epoch`, to have it "
        "checked as well.",
        "schedule: {lr: warmup(5%) -> cosine()}",
    ),
    "OP501": Explanation(
        "The native class cannot do what the plan asks of it: Muon takes matrices only, SparseAdam sparse gradients "
        "only, LBFGS stands alone and has one group. Narrow the filter of the rule that is named, or use another "
        "optimizer for these parameters.",
        "optplan: 1\noptimizer: {type: muon, lr: 0.02}",
    ),
    "OP502": Explanation(
        "The plan names parameters that the model does not have, misses some that it has, or gives them another "
        "shape: it was made for another model, or the model was changed since. Make the plan again from the model "
        "as it is, before or after all changes.",
        "$ python -c \"import optplan; optplan.plan('a.optim.yaml', small).bind(large)\"",
    ),
    "OP503": Explanation(
        "The object is no network of a framework that this release supports, or the callable that `--network` names "
        "returned something else. Pass a `torch.nn.Module`, a file of parameters, or a `Network`.",
        "$ optplan plan finetune.optim.yaml --network collections:OrderedDict",
    ),
    "OP504": Explanation(
        "Options of the framework's class that cannot be used together, such as `fused` and `foreach`, meet in one "
        "group. Often one stands at the top of the file and the other in a rule. Remove one of the two.",
        "torch: {fused: true, foreach: true}",
    ),
    "OP505": Explanation(
        "The plan was made where an optimizer or a policy of one's own was registered, and is used where it is not. "
        "Import the module that calls `optplan.register` first, or install the package that offers it by an entry "
        "point.",
        '$ python -c "import optplan; optplan.Plan.from_json(text).bind(model)"',
    ),
    "OP506": Explanation(
        "A library that runs the training loop clips, accumulates or scales the loss itself, by arguments of its own, "
        "and these are not what the file says. Give it the arguments that are made from the plan: "
        "`optplan.hosts.lightning.trainer_arguments(plan)` for Lightning's `Trainer`, "
        "`optplan.hosts.transformers.training_arguments(plan)` for `TrainingArguments`.",
        "$ Trainer(gradient_clip_val=0.5)  # and the file says `clip: norm(1.0)`",
    ),
    "OP507": Explanation(
        "A process of several has pieces of the parameters, and their own shapes say nothing about the network: a plan "
        "from them would differ from process to process. Make the plan from the whole network, on any device, the "
        "meta device too, and bind it after wrapping or sharding. `fully_shard` keeps names and shapes, so that both "
        "orders give the same plan; under FSDP1 (`FullyShardedDataParallel`) only what looks at each element by itself "
        "can be bound, and with `use_orig_params=True`.",
        "$ python -c \"import optplan; optplan.plan('a.optim.yaml', FullyShardedDataParallel(model))\"",
    ),
    "OP508": Explanation(
        "`DistributedDataParallel` and `FullyShardedDataParallel` settle when they are made which parameters have "
        "gradients; one that is switched on later is averaged over no processes, and one that is switched off is "
        "waited for. Bind the plan to the bare model first, which switches what rules with `freeze` name, and wrap "
        "the model then. `DistributedDataParallel` keeps the parameters, so that what is bound before it stays right.",
        "$ optplan.plan('head_only.optim.yaml', model).bind(DistributedDataParallel(model))",
    ),
    "OP601": Explanation(
        "The file given by `--params` is neither a manifest nor a checkpoint whose header can be read, is damaged, "
        "or is in a format that cannot be read without running it. safetensors, zip files of `torch.save`, "
        "MindSpore's `.ckpt` and manifests can be read; no file is ever unpickled.",
        "$ optplan plan finetune.optim.yaml --params weights.bin",
    ),
    "OP602": Explanation(
        "`--network package.module:callable` could not be imported, is not there, or raised an error when it was "
        "called; the last line of that error is told. The current directory is searched first, `--network-args` "
        "gives keyword arguments as JSON, and under torch nothing has values, for it is called on the meta device: "
        "what reads a number out of a tensor has to wait.",
        "$ optplan plan finetune.optim.yaml --network project.networks:vit",
    ),
    "OP603": Explanation(
        "A module that `--import` names, or an entry point `optplan.optimizers` or `optplan.policies` of an installed "
        "package, could not be imported, or what it registers is no optimizer or policy; the last line of the error is "
        "told. Correct the name, or repair, update or uninstall the package that is named.",
        "$ optplan check finetune.optim.yaml --import project.optimizers",
    ),
    "OP604": Explanation(
        "A picture as PNG or SVG is drawn by matplotlib, which is not installed or cannot be imported; the last line "
        "of the error is told. Install it, by itself or as `optplan[plot]`; the table `-o curves.csv` and the chart in "
        "the terminal do without it.",
        "$ optplan plot finetune.optim.yaml --params net.params.json -o curves.png",
    ),
}
