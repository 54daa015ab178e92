"""Momentum in the lower half of a deep network, Nesterov's method in the upper one."""

from collections.abc import Callable
from typing import Any

import numpy as np

from .._methods.aliases import momentum, nesterov
from .._methods.method import Method
from ._experiment import close, shown
from ._ledger import Correction, Outcome, claim
from ._trainings import STEPS, trained

BETA, SEEDS = 0.9, 16
RATES = (0.03, 0.045)
Make = Callable[..., Method]
# Of the lower and of the upper half.
WAYS: dict[str, tuple[Make, Make]] = {
    "momentum": (momentum, momentum),
    "Nesterov": (nesterov, nesterov),
    "Nesterov above": (momentum, nesterov),
}
_LOOKS = ((False, False), (True, True), (False, True))


def _best(loop: Any) -> np.ndarray:
    """Losses over seeds at the end, at the rate where their mean is least."""
    losses = trained("residual", loop, tuple((rate, BETA) for rate in RATES), tuple(range(SEEDS)), 1).end
    return losses[int(np.argmin(losses.mean(axis=1)))]


@claim(
    "switch-by-layer-in-depth",
    "003.63",
    "In a deep network momentum in the lower layers and Nesterov's method in the upper ones train better than either.",
)
def in_depth() -> Outcome:
    """The loss after some epochs on digits, each way at the best of some rates, twelve layers; expected are loops."""
    found = [_best(way) for way in WAYS.values()]
    measured = [float(losses.mean()) for losses in found]
    expected = [float(_best(looks).mean()) for looks in _LOOKS]
    apart = [found[2] - losses for losses in found[:2]]
    means, errors = zip(*((float(d.mean()), float(np.std(d, ddof=1) / SEEDS**0.5)) for d in apart), strict=True)
    words = ", ".join(f"{name} {{:.5f}}" for name in WAYS)
    return Outcome(
        *shown(f"loss after {STEPS['residual']} gradients: {words}", expected, measured),
        holds=all(mean < -2.13 * error for mean, error in zip(means, errors, strict=True)),
        correction=Correction(
            "On a residual network of 12 layers it is no better than Nesterov's method in all of them: beside that its "
            f"loss is {means[1]:+.4f} ± {errors[1]:.4f}, beside momentum's {means[0]:+.4f} ± {errors[0]:.4f}.",
            holds=means[1] > -2.13 * errors[1] and close(measured, expected, 1e-5),
            amends=False,
        ),
    )
