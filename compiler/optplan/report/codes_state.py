"""What `optplan help CODE` says of 7xx: saved state, and what it is loaded into. As in `codes_reading`."""

from __future__ import annotations

from optplan.report.codes_reading import Explanation

EXPLANATIONS: dict[str, Explanation] = {
    "OP701": Explanation(
        "The file is not there, is damaged or cut off, or is none that `compiled.save` wrote: a safetensors file with "
        "the settings as JSON in its metadata. A file of weights is loaded by its own library. State that `torch.save` "
        "wrote is read by `torch.load(path, weights_only=True)` and given to `compiled.load_state_dict`. "
        "A checkpoint of MindSpore becomes a file for `restore` by `optplan convert`.",
        '$ compiled.restore("model.safetensors")',
    ),
    "OP702": Explanation(
        "What is loaded has not the form of `compiled.state_dict()`, or a part of it is of the wrong kind, which the "
        "message names. State dicts of `torch.optim` are taken too: with `state` and `param_groups`. One that counts "
        "its parameters by number must have groups as long as the plan's, or one of all parameters.",
        "$ compiled.load_state_dict(model.state_dict())",
    ),
    "OP703": Explanation(
        "The plan trains parameters, or its optimizer needs a part of their state, that the saved state does not have: "
        "the network has grown, or the file switches something on, such as `amsgrad`. If that is meant, "
        "`strict=False` lets these begin anew and keeps all else.",
        "$ compiled.restore(path)  # saved before the network had `head`",
    ),
    "OP704": Explanation(
        "The saved state is of parameters that the network no longer has or that the plan freezes, or has parts that "
        "its optimizer does not use with these settings. If that is meant, `strict=False` leaves it out.",
        "$ compiled.restore(path)  # and a rule freezes the encoder now",
    ),
    "OP705": Explanation(
        "A parameter had another shape when its state was saved. Load the state for the network that it is of; with "
        "`strict=False` the parameters that are named begin anew.",
        "$ compiled.restore(path)  # saved with 10 classes, and the head has 100",
    ),
    "OP706": Explanation(
        "A parameter is updated by another optimizer than when its state was saved, and what the one remembers means "
        "nothing to the other. With `strict=False` these parameters begin anew; `adam` and `adamw` remember the same, "
        "and keep it, and so do `sgd`, `mindspore.SGD` and `mindspore.Momentum` where nothing is dampened.",
        "$ compiled.restore(path)  # saved under `sgd`, and the file says `muon`",
    ),
    "OP707": Explanation(
        'A note on what the file does otherwise than the run that was saved: with `on_load="config"`, the default, the '
        'values of the file stand. With `on_load="checkpoint"` the saved ones take their place, which is an error if '
        "parameters of one group were saved with several values: split the group by a rule, or let the file decide.",
        '$ compiled.restore(path, on_load="checkpoint")',
    ),
    "OP708": Explanation(
        "The state is not all in this process, as under `FullyShardedDataParallel`, or the framework or the file has "
        "no way to hold it as it is; the message says what. Shard with `fully_shard`, whose state is gathered, or use "
        "the means of the class that is named. A note tells what the form that `optplan convert` is asked for has no "
        "place for: a `.safetensors` has all of it.",
        "$ ZeroRedundancyOptimizer: compiled.state_dict()",
    ),
    "OP709": Explanation(
        "`compiled.add_group(module)` plans the network anew by the same file and takes in what is new. The module "
        "must be a part of the network by then, have all that is new, and leave the treatment of all else as it was: a "
        "rule by layers may count others now. Else bind a plan of the whole and load the state there.",
        "$ compiled.add_group(torch.nn.Linear(8, 3))  # before `model.head = ...`",
    ),
}
