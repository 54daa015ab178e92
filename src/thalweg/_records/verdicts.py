"""Faults of a set of draws, from its numbers alone: one line each, with the cause and the remedy."""

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from .mixing import Verdicts, mixing
from .parameters import statistics

# A kinetic temperature that is off by this much, and by so many of its errors, is not chance.
_OFF, _ERRORS = 0.05, 5.0
# A chain that made so many steps moved, if it could, and has velocities that are its law's.
_STEPS = 100
_FEW_ACCEPTED = 0.1


def judge(
    config: Mapping[str, Any], about: Mapping[str, Any], draws: int, diagnostics: Any, means: np.ndarray | None = None
) -> Verdicts:
    """The verdicts.

    Arguments:
        config: as run.toml keeps it.
        about: of the checkpoint: `warnings` that were given on the way, and `seen`, what the chains met.
        draws: how many are kept of each chain.
        diagnostics: their statistics, None where there are none.
        means: of the parameter whose chains agree least, of the two halves of each, (2, chains).
    """
    found = Verdicts(list(about.get("warnings", [])), [], {})
    seen = about.get("seen") or {}
    rows = [] if diagnostics is None else list(statistics(diagnostics))
    lost = about["status"] == "diverged"
    if seen:
        _support(found, seen, lost)
    # Chains that agree are held together, whatever a few places say; outside the support f is flat, which is told.
    agree = bool(rows) and not mixing(config, draws, rows, means, seen).warnings
    density = [] if agree or found.counts.get("nonfinite_potentials") else seen.get("density") or []
    found.warnings.extend(density)
    # Of chains that were lost, or are on their way to nowhere, the rest is no news.
    if seen and not lost:
        _chains(found, seen)
        _energies(found, seen, config, bool(density))
    mixed = mixing(config, draws, rows, means, None if found.warnings else seen)
    found.warnings.extend(mixed.warnings)
    # What is wrong already needs no advice.
    found.notes.extend([] if found.warnings else mixed.notes)
    return found


def _support(found: Verdicts, seen: Mapping[str, Any], lost: bool) -> None:
    """A potential or a gradient that is not finite."""
    tally = seen["tally"]
    looked, broken = np.array(tally["looked"]), np.array(tally["broken"])
    total = int(broken.sum())
    found.counts["nonfinite_potentials"] = total
    # What runs off has potentials beyond the largest number; of what else was lost the cause is looked for.
    if total and not lost:
        kept = int(broken[1].sum())
        part, where = (kept, 1) if kept else (total, 0)
        of = int(looked[where]) * broken.shape[1]
        what = "draws" if where else "draws of the warmup"
        found.warnings.append(
            f"the potential is not finite at {part} of {of} {what} looked at, of {_chain_names(broken[where] > 0)}: "
            f"{OUTSIDE}"
        )
    gradients = seen.get("broken_gradients")
    if gradients is not None:
        count = int(np.sum(gradients))
        found.counts["nonfinite_gradients"] = count
        if count:
            found.warnings.append(
                f"{count} steps were rejected because the gradient is not finite where the potential is, so that the "
                f"law is cut off there; {TRAP}"
            )
    if seen.get("cause"):
        found.warnings.append(seen["cause"])


OUTSIDE = (
    "nothing keeps this method inside the support of the law; take a method that rejects such steps, "
    "tw.MetropolisAdjustedLangevin(), or parameters that have the whole line, such as a logarithm"
)
TRAP = (
    "a branch of jnp.where that is not taken still gives its gradient, 0 times infinity: make the argument of that "
    "branch safe, too, jnp.where(x > 0, jnp.log(jnp.where(x > 0, x, 1.0)), 0.0)"
)


def _chains(found: Verdicts, seen: Mapping[str, Any]) -> None:
    """Chains that do not move, or hardly."""
    moved, steps = np.array(seen["tally"]["moved"]), np.array(seen["steps"])
    never = ~moved.any(axis=0) & (steps.sum() >= _STEPS)
    since = ~never & ~moved[1] & (steps[1] >= _STEPS)
    found.counts["unmoved_chains"] = int((never | since).sum())
    cure = "take a shorter step, or begin elsewhere" if "acceptances" in seen else (
        "the step is lost to rounding: take a longer one, or jax_enable_x64"
    )  # fmt: skip
    for which, words in ((never, ""), (since, " since the warmup")):
        if which.any():
            found.warnings.append(f"{_chain_names(which)} never moved{words}; {cure}")
    if "acceptances" in seen:
        rates = np.array(seen["acceptances"], float)
        slow = (rates < _FEW_ACCEPTED) & ~never & ~since
        if slow.any() and not rates.mean() < _FEW_ACCEPTED:
            found.warnings.append(
                f"{_chain_names(slow)} accepted only {np.nanmax(rates[slow]):.2%} of the steps, where the others "
                "go on; take a shorter step, or begin elsewhere"
            )


def _energies(found: Verdicts, seen: Mapping[str, Any], config: Mapping[str, Any], lawless: bool) -> None:
    """Jumps of the energy, and a kinetic temperature that is none of the step."""
    jumps = np.array(seen["tally"]["jumps"])
    count = int(jumps.sum())
    found.counts["energy_jumps"] = count
    step = config["method"]["hyperparameters"]
    size = step.get("step_size", step.get("learning_rate"))
    size = f" of {size:.4g}" if isinstance(size, float | int) else ""
    shorter = (
        "take a shorter one, tw.Method(law, scheme, step_size), or parameters in which the curvature varies less (of a "
        "hierarchy the non-centred ones), and see whether the means stay"
    )
    if count:
        found.warnings.append(
            f"the energy jumps by more than {seen['bar']:.4g} in {count} steps of {_chain_names(jumps > 0)}: the step"
            f"{size} is too long where the curvature is large; {shorter}"
        )
    number, total = np.array(seen["tally"]["kinetic"])
    if seen.get("degrees") is None or not number.any():
        return
    each = 2.0 * total / np.maximum(number, 1.0) / seen["degrees"]
    temperature, mean = seen["temperature"], float(2.0 * total.sum() / number.sum() / seen["degrees"])
    found.counts["kinetic_temperature"] = mean
    # Of few steps it is that of the way in.
    if not temperature or lawless or sum(seen["steps"]) < _STEPS:
        return
    low, high = seen.get("predicted") or (temperature, temperature)
    found.counts.update(kinetic_temperature_low=low, kinetic_temperature_high=high)
    errors = temperature * np.sqrt(2.0 * seen["correlated"] / (np.maximum(number, 1.0) * seen["degrees"]))
    error = float(temperature * math.sqrt(2.0 * seen["correlated"] / (number.sum() * seen["degrees"])))
    loose = 0.0 if seen.get("predicted") else 0.25
    heat = seen.get("heat", 0.0)

    def off(value: Any, error: Any) -> Any:
        beyond = np.maximum(value - (high + heat), low - value)
        # The error is that of a law without tails, and of a run that is much longer than it remembers.
        return beyond > np.maximum((_OFF + loose) * temperature, _ERRORS * error)

    wrong = np.asarray(off(each, errors))
    if off(mean, error) or wrong.any():
        what = f"is {mean:.3g}" if off(mean, error) else f"of {_chain_names(wrong)} is {_span(each[wrong])}"
        expected = f"{low:.3g}" if high - low < 5e-3 * temperature else f"{low:.3g} to {high:.3g}"
        hot = mean > high + heat if off(mean, error) else bool((each[wrong] > high + heat).any())
        cause = "the step" + size + " heats the chains where the curvature is large" if hot else (
            "the velocities do not have the law, as where the potential is cut off"
        )  # fmt: skip
        found.warnings.append(
            f"the kinetic temperature {what}, where the temperature is {temperature:.3g} and the step alone would make "
            f"it {expected}: {cause}; {shorter}"
        )
    elif abs(mean - temperature) > max(_OFF * temperature, _ERRORS * error):
        scheme = str(config["method"]["scheme"]).strip("'\"")
        found.notes.append(
            f"the kinetic temperature is {mean:.3g} where the temperature is {temperature:.3g}: the step{size} of "
            f"{scheme} itself makes it {low:.3g} to {high:.3g}; it is that of the velocities, not of the positions"
        )


def _chain_names(which: np.ndarray) -> str:
    """Chains 1, 3 and 5 of 8."""
    at = [str(i) for i in np.flatnonzero(which)]
    of = len(which)
    if len(at) == of:
        return "all chains" if of > 1 else "the chain"
    some = ", ".join(at[:8]) + (", ..." if len(at) > 8 else "")
    return f"{len(at)} of {of} chains ({some})"


def _span(values: np.ndarray) -> str:
    low, high = float(values.min()), float(values.max())
    return f"{low:.3g}" if high - low < 0.01 * abs(high) else f"{low:.3g} to {high:.3g}"


def as_attributes(verdicts: Verdicts) -> dict[str, Any]:
    """Attributes of the tree."""
    return {"warnings": json.dumps(verdicts.warnings), "notes": json.dumps(verdicts.notes)} | verdicts.counts
