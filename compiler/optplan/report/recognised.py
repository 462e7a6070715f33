"""A curve under the name of the stock scheduler that readers know it by, with the arguments that give its values.

Takes the curve of a learning rate and the own value that it is for; gives a call as in `schema/schedulers-1.json`, or
None where no scheduler of the framework has the same value at each update of the run.  The call is for reading:
nothing of it is run, and the values stay those of the curve.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, NamedTuple

from optplan.report.notation import number
from optplan.resolve.curve import Chain, Hold, Poly, Ramp
from optplan.resolve.cycles import Cycle, OneCycle, Restarts
from optplan.resolve.decays import Decay, InverseSqrt, InverseTime, NaturalExp, Sqrt
from optplan.resolve.stairs import Stairs, Steps

if TYPE_CHECKING:
    from optplan.resolve.curve import Curve
    from optplan.resolve.level import AnyLevel


class Run(NamedTuple):
    """What a curve is for: the own value, and how many updates, as far as that is known."""

    lr: float
    steps: float | None

    @property
    def last(self) -> float:
        """The last update."""
        return inf if self.steps is None else self.steps - 1


def recognised(curve: Curve, target: str, lr: float, steps: float | None) -> str | None:
    """The call of a scheduler of `target` with the values of `curve`, for an own value `lr` and a run of `steps`."""
    run = Run(lr, steps)
    if target == "mindspore":
        return _mindspore(curve, run)
    return _torch(curve, run) or _transformers(curve, run)


def _torch(curve: Curve, run: Run) -> str | None:
    match curve:
        case Stairs(origin, gamma, every, duration) if _whole(every) and _own(origin, run) and _lasts(duration, run):
            return _call("StepLR", step_size=every, gamma=gamma)
        case Steps(origin, gamma, at, duration) if _whole(*at) and _own(origin, run) and _lasts(duration, run):
            return _call("MultiStepLR", milestones=at, gamma=gamma)
        case Decay(origin, duration, gamma, 1.0) if _own(origin, run) and _lasts(duration, run):
            return _call("ExponentialLR", gamma=gamma)
        case Poly(origin, to, duration, power) if _whole(duration) and _own(origin, run) and _at(to, run) == 0:
            return _call("PolynomialLR", total_iters=duration, power=power)
        case Ramp(origin, to, duration, "cosine", 0.0) if (
            # it climbs again after its end
            _whole(duration) and _own(origin, run) and duration >= run.last and _at(to, run) < run.lr
        ):
            return _call("CosineAnnealingLR", T_max=duration, eta_min=_at(to, run))
        case Ramp(origin, to, duration, "linear", 0.0) if _whole(duration):
            first, last = _at(origin, run) / run.lr, _at(to, run) / run.lr
            # a factor of 0 is refused there
            if 0 < first <= 1 and 0 <= last <= 1 and first != last:
                return _call("LinearLR", start_factor=first, end_factor=last, total_iters=duration)
        case Restarts(origin, to, period, mult, duration) if (
            _whole(period, mult) and _own(origin, run) and _lasts(duration, run)
        ):
            return _call("CosineAnnealingWarmRestarts", T_0=period, T_mult=mult, eta_min=_at(to, run))
        case Cycle(low, high, up, down, shape, gamma, duration) if _whole(up, down) and _lasts(duration, run):
            ends = {"base_lr": _at(low, run), "max_lr": _at(high, run)}
            more = {"gamma": gamma} if shape == "exp_range" else {}
            return _call(
                "CyclicLR", **ends, step_size_up=up, step_size_down=down, mode=shape, **more, cycle_momentum=False
            )
        case OneCycle(peak, up, div, final_div, duration, shape, phases) if (
            # a rise of one update divides by zero there
            _whole(duration) and up > 1 and up / duration * duration == up and duration >= run.last
        ):
            form = {"anneal_strategy": "cos" if shape == "cosine" else "linear", "three_phase": phases == 3}
            return _call(
                "OneCycleLR",
                max_lr=_at(peak, run),
                total_steps=duration,
                pct_start=up / duration,
                **form,
                div_factor=div,
                final_div_factor=final_div,
                cycle_momentum=False,
            )
    return None


def _transformers(curve: Curve, run: Run) -> str | None:
    """What begins with a linear warm-up from 0, which torch has not."""
    phases, begins = (curve.phases, curve.begins) if isinstance(curve, Chain) else ((curve,), (0.0,))
    match phases[0]:
        case Ramp(origin, to, warmup, "linear", 0.0) if (
            _whole(warmup, *begins) and _at(origin, run) == 0 and _own(to, run) and begins[1:2] in {(), (warmup,)}
        ):
            pass
        case _:
            return None
    given = {"num_warmup_steps": warmup}
    match phases[1:]:
        case () | (Hold(),) if all(_own(phase.at, run) for phase in phases[1:] if isinstance(phase, Hold)):
            return _scheduler("constant_with_warmup", given)
        case (InverseSqrt(origin, duration, timescale),) if (
            _whole(timescale) and _own(origin, run) and _lasts(duration, run, warmup)
        ):
            return _scheduler("inverse_sqrt", given, timescale=timescale)
        case (Ramp(origin, to, duration, "linear" | "cosine" as shape, 0.0),) if _whole(duration) and _own(origin, run):
            given["num_training_steps"] = warmup + duration
            if shape == "cosine" and warmup + duration < run.last:
                return None
            if _at(to, run) == 0:
                return _scheduler(shape, given)
            if shape == "cosine" and _at(to, run) < run.lr:
                # by rate: `min_lr` is divided there by the optimizer's own default, whatever a group has
                return _scheduler("cosine_with_min_lr", given, min_lr_rate=_ratio(to, run))
        case (Poly(origin, to, duration, power),) if _whole(duration) and _own(origin, run) and _at(to, run) < run.lr:
            given["num_training_steps"] = warmup + duration
            return _scheduler("polynomial", given, lr_end=_at(to, run), power=power)
        case (Hold(at), Ramp() | Sqrt() as fall) if _own(at, run) and _whole(fall.duration):
            kind = fall.shape if isinstance(fall, Ramp) else "1-sqrt"
            form = {"decay_type": kind, "min_lr_ratio": 0.0}
            falls = _own(fall.origin, run) and _at(fall.to, run) == 0 and (isinstance(fall, Sqrt) or not fall.start)
            if falls and kind != "exp":
                given["num_training_steps"] = begins[2] + fall.duration
                return _scheduler("warmup_stable_decay", given, num_decay_steps=fall.duration, **form)
    return None


def _mindspore(curve: Curve, run: Run) -> str | None:
    lr = {"learning_rate": run.lr}
    match curve:
        case Decay(gamma=0.0) | Stairs(gamma=0.0) | NaturalExp(rate=0.0) | InverseTime(rate=0.0):
            return None  # refused there
        case Decay(origin, duration, gamma, every) if _whole(every) and _own(origin, run) and _lasts(duration, run):
            return _cell("ExponentialDecayLR", **lr, decay_rate=gamma, decay_steps=every)
        case Stairs(origin, gamma, every, duration) if _whole(every) and _own(origin, run) and _lasts(duration, run):
            return _cell("ExponentialDecayLR", **lr, decay_rate=gamma, decay_steps=every, is_stair=True)
        case NaturalExp(origin, duration, rate, every) if _whole(every) and _own(origin, run) and _lasts(duration, run):
            return _cell("NaturalExpDecayLR", **lr, decay_rate=rate / every, decay_steps=every)
        case InverseTime(origin, duration, rate, every) if (
            _whole(every) and _own(origin, run) and _lasts(duration, run)
        ):
            return _cell("InverseDecayLR", **lr, decay_rate=rate, decay_steps=every)
        case Ramp(origin, to, duration, "cosine", 0.0) if (
            _whole(duration) and _own(origin, run) and _at(to, run) < run.lr
        ):
            return _cell("CosineDecayLR", min_lr=_at(to, run), max_lr=run.lr, decay_steps=duration)
        case Poly(origin, to, duration, power) if _whole(duration) and _own(origin, run):
            return _cell(
                "PolynomialDecayLR", **lr, end_learning_rate=_at(to, run), decay_steps=duration, power=float(power)
            )
        case Ramp(origin, to, duration, "linear", 0.0) if _whole(duration) and _own(origin, run):
            end = {"end_learning_rate": _at(to, run)}
            return _cell("PolynomialDecayLR", **lr, **end, decay_steps=duration, power=1.0)
        case Ramp(origin, to, duration, "linear", 0.0) if _whole(duration) and _own(to, run) and not _at(origin, run):
            return _cell("WarmUpLR", **lr, warmup_steps=duration)
    return None


def _at(level: AnyLevel, run: Run) -> float:
    return level.at(run.lr)


def _own(level: AnyLevel, run: Run) -> bool:
    """Whether a level is the own value itself."""
    return _at(level, run) == run.lr


def _ratio(level: AnyLevel, run: Run) -> float:
    """A level as a part of the own value, exact where it was written so."""
    return level.at(1.0) if level.relative else _at(level, run) / run.lr


def _whole(*times: float) -> bool:
    """Whether all of them are whole updates, and some."""
    return all(time == int(time) for time in times) and times[0] > 0


def _lasts(duration: float | None, run: Run, begin: float = 0.0) -> bool:
    """Whether what begins there is not over before the run."""
    return duration is None or begin + duration >= run.last + 1


# Arguments that are whole numbers there.
_COUNTS = frozenset(
    {
        *("step_size", "total_iters", "T_max", "T_0", "T_mult", "step_size_up", "step_size_down", "total_steps"),
        *("num_warmup_steps", "num_training_steps", "num_decay_steps", "timescale", "decay_steps", "warmup_steps"),
        "milestones",
    }
)


def _call(name: str, **arguments: object) -> str:
    return f"torch.optim.lr_scheduler.{name}(optimizer, {_arguments(arguments)})"


def _scheduler(name: str, arguments: dict[str, float], **more: object) -> str:
    said = ", ".join(f'"{key}": {_written(key, value)}' for key, value in more.items())
    specific = f", scheduler_specific_kwargs={{{said}}}" if more else ""
    return f'transformers.get_scheduler("{name}", optimizer, {_arguments(dict(arguments))}{specific})'


def _cell(name: str, **arguments: object) -> str:
    return f"mindspore.nn.{name}({_arguments(arguments)})"


def _arguments(arguments: dict[str, object]) -> str:
    return ", ".join(f"{key}={_written(key, value)}" for key, value in arguments.items())


def _written(key: str, value: object) -> str:
    match value:
        case tuple():
            return f"[{', '.join(_written(key, item) for item in value)}]"
        case float() if key in _COUNTS:
            return str(int(value))
        case str():
            return f'"{value}"'
        case float():
            # with its point or exponent, since MindSpore asks for what is no int
            said = number(value)
            return said if any(mark in said for mark in ".en") else f"{said}.0"
        case _:
            return repr(value)
