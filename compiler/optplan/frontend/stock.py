"""Schedulers of frameworks where a phase is read: what to write instead.

Only for help with names that are not known, so the table of counterparts is read only where there is one.
"""

from __future__ import annotations


def instead(name: str) -> str | None:
    """What to write for the scheduler of a framework that `name` is, in whatever letters; None if it is none.

    `StepLR`, `torch.optim.lr_scheduler.StepLR`, `get_cosine_schedule_with_warmup`, `cosine_decay_lr`.
    """
    from optplan.counterparts import counterparts  # noqa: PLC0415 - see the head of the module

    word = name.rpartition(".")[2].lower()
    for found in counterparts().values():
        names = [other.rpartition(".")[2] for other in found.also]
        if '"' not in found.name or "." not in name:
            # `cosine` alone may be what `get_scheduler` calls so, `torch.cosine` is not
            names.insert(0, found.short)
        if word not in map(str.lower, names):
            continue
        policy = found.forms[0].policy
        if policy is None:
            return f"no policy has its values: {found.forms[0].reason}"
        shown = names[-1] if '"' in found.name else found.short
        return f"write `{policy}` with its arguments' own numbers; `optplan help {shown}` says more"
    return None
