"""Saddles: how fast they are left, and the starts from which they are not."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Array, Float

from .._methods.aliases import gradient_descent, momentum, nesterov
from .._methods.method import Method
from .._methods.probe import spectral_radius
from ._experiment import close, path, shown
from ._ledger import Correction, Outcome, claim

RATE, BETA = 0.05, 0.9
_OFFSET, _AWAY = 1e-8, 1e-3


def saddle(x: Float[Array, " 2"]) -> Float[Array, ""]:
    """A strict saddle at 0, of curvatures 1 and -1, between two minima at (0, ±1)."""
    return 0.5 * x[0] ** 2 - 0.5 * x[1] ** 2 + 0.25 * x[1] ** 4


MAKERS: dict[str, Callable[..., Method]] = {
    "gradient descent": lambda f: gradient_descent(f, RATE),
    "momentum": lambda f: momentum(f, RATE, BETA),
    "Nesterov": lambda f: nesterov(f, RATE, BETA),
}


def _roots(ahead: float) -> tuple[float, float]:
    r"""The roots of $z^2 - (1 + \beta + \alpha(1 + a))z + \beta + \alpha a$, at curvature -1 with the look-ahead a."""
    middle, product = (1.0 + BETA + RATE * (1.0 + ahead)) / 2.0, BETA + RATE * ahead
    gap = (middle**2 - product) ** 0.5
    return middle + gap, middle - gap


def _steps_predicted(grow: float, other: float) -> int:
    """Steps to leave the saddle, from the part of the start along the growing root: x₁ = (1 + α)x₀."""
    part = (1.0 + RATE - other) / (grow - other)
    return int(np.ceil(np.log(_AWAY / (_OFFSET * part)) / np.log(grow)))


def _steps_ran(method: Method) -> int:
    heights = np.abs(path(method, [1.0, _OFFSET], 1000).position[:, 1])
    return int(np.argmax(heights >= _AWAY)) if np.any(heights >= _AWAY) else -1


@claim(
    "momentum-escapes-saddles-faster",
    "oneill2019, on a quadratic",
    "Momentum leaves a saddle faster than gradient descent at the same learning rate.",
)
def escapes_faster() -> Outcome:
    r"""The growth a step from the step's own matrix, and the steps a run takes from $10^{-8}$ to $10^{-3}$.

    At $z = 1 + \alpha$, gradient descent's factor, momentum's polynomial is $-\alpha\beta < 0$: its root is larger.
    """
    factors = [(1.0 + RATE, 0.0), _roots(0.0), _roots(BETA)]
    expected = [grow for grow, _ in factors]
    predicted = [
        int(np.ceil(np.log(_AWAY / _OFFSET) / np.log(1.0 + RATE))),
        *(_steps_predicted(*pair) for pair in factors[1:]),
    ]
    measured = [float(spectral_radius(make(None), -1.0)) for make in MAKERS.values()]
    ran = [_steps_ran(make(saddle)) for make in MAKERS.values()]
    words = "growth a step " + ", ".join(f"{name} {{:.6f}}" for name in MAKERS) + "; steps {}, {}, {}"
    faster = measured[0] < min(measured[1:]) and 0 < max(ran[1:]) < ran[0]
    return Outcome(
        *shown(words, [*expected, *predicted], [*measured, *ran]),
        holds=faster and ran == predicted and close(measured, expected, 1e-9),
    )


@claim("saddles-are-escaped", "often said of momentum", "Momentum escapes from saddle points.")
def escaped() -> Outcome:
    r"""Start on the axis of positive curvature, which leads to the saddle, and $10^{-8}$ beside it."""
    end = {}
    for height in (0.0, _OFFSET):
        end[height] = [path(make(saddle), [1.0, height], 3000).position[-1] for make in MAKERS.values()]
    on_axis = [float(np.linalg.norm(point)) for point in end[0.0]]
    beside = [float(np.linalg.norm(point)) for point in end[_OFFSET]]
    away = float(np.linalg.norm([0.0, 1.0]))  # the minimum is there
    words = f"distance from the saddle {{:.6f}}, and {{:.6f}} from a start {_OFFSET:g} beside the axis"
    return Outcome(
        *shown(words, [0.0, away], [max(on_axis), min(beside)]),
        holds=min(on_axis) > 0.5 and min(beside) > 0.5,
        correction=Correction(
            "From almost every start. Without noise a start on the stable manifold (here an axis) runs into the "
            "saddle and stays, for momentum and Nesterov's method as for gradient descent [lee2016, oneill2019].",
            holds=max(on_axis) < 1e-6 and close(beside, [away] * len(beside), 1e-6),
        ),
    )
