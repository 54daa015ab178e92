"""The mixing of chains: r-hat and effective sample sizes judged, and what would mend them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .parameters import EFFECTIVE, R_HAT

# Of few draws only a gross disagreement is told from chance, and of fewer than these none.
_GROSS, _FEWEST = 1.5, 50
# An r-hat that is so far above 1, in units of what it is by chance, and at most this, is no chance.
_CHANCE, _MOST_CHANCE = 3.0, 0.1
# Draws from one that is independent to the next, from which on thinning is advised.
_CORRELATED = 100.0
# From this factor off the critical friction on, another is advised.
_FRICTION = 4.0
# Curvatures that differ so much on the way are those of a funnel.
_VARIES = 10.0


class Verdicts(NamedTuple):
    """Faults of draws, notes on what is none, and the counts behind both."""

    warnings: list[str]
    notes: list[str]
    counts: dict[str, float | int]


def mixing(
    config: Mapping[str, Any], draws: int, rows: list[Any], means: np.ndarray | None, seen: Mapping[str, Any] | None
) -> Verdicts:
    """r-hat and effective sample sizes, by the thresholds of Vehtari et al. (2021); without `seen` without advice."""
    found, sample = Verdicts([], [], {}), config["sample"]
    total, count = draws * sample["chains"], len(rows)
    stuck = [name for name, values in rows if values["sd"] == 0.0]
    if stuck and total >= EFFECTIVE:
        found.warnings.append(
            f"{listed(stuck)} did not change in any draw: the step is lost to rounding; take a longer one, "
            "jax_enable_x64, or another unit"
        )
    hats = [(values["r_hat"], name) for name, values in rows if math.isfinite(values.get("r_hat", math.nan))]
    sizes = [
        (values[kind], name, word, values["sd"])
        for name, values in rows
        for kind, word in (("ess_bulk", "in bulk"), ("ess_tail", "of the tails"), ("ess_mean", "of the mean"))
        if math.isfinite(values.get(kind, math.nan)) and values["sd"] > 0.0
    ]
    explained = seen is None
    known = {name: size for size, name, word, _ in sizes if word != "of the tails"}

    def bar(name: str) -> float:
        # By chance alone it is about 1 + chains / size, of half chains.
        chance = _CHANCE * sample["chains"] / max(known.get(name, EFFECTIVE), EFFECTIVE)
        if total < EFFECTIVE:
            return _GROSS if draws >= _FEWEST else math.inf
        return max(R_HAT, 1.0 + min(chance, _MOST_CHANCE))

    bad = [name for hat, name in hats if hat > bar(name)]
    if bad:
        hat, name = max(pair for pair in hats if pair[1] in bad)
        more = f" (and of {len(bad) - 1} more of {count} parameters)" if len(bad) > 1 else ""
        why = "the chains do not agree" if seen is None else _apart(config, means, seen, dict(rows)[name]["sd"])
        found.warnings.append(f"r_hat of {name} is {hat:.3g}, above {R_HAT:g}{more}: {why}")
    if not sizes:
        return found
    size, name, word, sd = min(sizes)
    few = total >= EFFECTIVE and size < EFFECTIVE
    apart = total / max(size, 1e-300)
    advice = _friction_advice(config, sd)
    if few:
        less = len({one[1] for one in sizes if one[0] < EFFECTIVE}) - 1
        more = f" (and of {less} more of {count} parameters)" if less else ""
        wanted = rounded(draws * EFFECTIVE / max(size, 1.0))
        thin = f"; with thin={max(2, int(apart / 10))} they take less room" if apart > _CORRELATED else ""
        cure = f": {advice or 'the draws follow each other closely'}; take some {wanted} draws{thin}"
        found.warnings.append(
            f"the effective sample size of {name} is {size:.0f} {word}, below {EFFECTIVE:.0f}{more}"
            f"{'' if explained or bad else cure}"
        )
    elif apart > _CORRELATED:
        keeps = f"thin={max(2, int(apart / 10))} keeps as much in fewer draws"
        found.notes.append(f"some {apart:.0f} draws of {name} tell as much as an independent one: "
                           f"{advice + '; ' if advice else ''}{keeps}")  # fmt: skip
    return found


def _apart(config: Mapping[str, Any], means: np.ndarray | None, seen: Mapping[str, Any], sd: float) -> str:
    """The cause of chains that do not agree: they stay in parts of their own, or go about slowly."""
    if means is not None and means.shape[1] > 1 and np.abs(means).max() < 1e150:
        within = float(np.sqrt(np.mean((means[1] - means[0]) ** 2) / 2.0))
        if float(means.mean(axis=0).std(ddof=1)) > 4.0 * within:
            return (
                "each chain stays in a part of its own and the draws do not tell how much of the law is there; "
                "tw.ReplicaExchange(scheme) carries chains from one mode to another"
            )
    usual, largest = seen.get("curvatures") or (0.0, 0.0)
    if largest > _VARIES * usual > 0.0:
        return (
            f"the largest curvature on the way, {largest:.3g}, is {largest / usual:.0f} times the usual one and keeps "
            "the chains slow or out of there; take parameters in which it varies less, of a hierarchy the non-centred "
            "ones"
        )
    advice = _friction_advice(config, sd)
    return (
        f"the chains do not agree; {advice + '; ' if advice else ''}take more draws, and more warmup than "
        f"{config['sample']['warmup']} draws where that does not mend it"
    )


def _friction_advice(config: Mapping[str, Any], sd: float) -> str:
    """Advice where the friction is far from the one at which the slowest direction forgets fastest."""
    numbers = config["method"]["hyperparameters"]
    friction, mass, temperature = (numbers.get(name, 1.0) for name in ("friction", "mass", "temperature"))
    flat = config["method"]["dynamics"] == "UnderdampedLangevin" and "geometry" not in config["method"]
    if not flat or not all(
        isinstance(number, float | int) and number > 0.0 for number in (friction, mass, temperature)
    ) or not (math.isfinite(sd) and sd > 0.0):  # fmt: skip
        return ""
    best = 2.0 * math.sqrt(mass * temperature) / sd
    if 1.0 / _FRICTION <= friction / best <= _FRICTION:
        return ""
    way = "above" if friction > best else "below"
    return (
        f"the friction {friction:.3g} is far {way} 2 sqrt(m T)/sd = {best:.2g}, at which a direction of this standard "
        "deviation forgets fastest"
    )


def listed(names: Sequence[Any]) -> str:
    """Some names, cut short."""
    names = [str(name) for name in names]
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def rounded(number: float) -> int:
    """Round to two digits, upwards."""
    unit = 10 ** max(0, math.floor(math.log10(number)) - 1)
    return math.ceil(number / unit) * unit
