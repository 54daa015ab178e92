"""A function with many saddles and no minimum that is not the lowest: two matrices whose product is given."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._methods.aliases import gradient_descent, momentum, nesterov
from .._methods.method import Method
from .._objectives.objective import Objective
from ._experiment import close, shown
from ._ledger import Correction, Outcome, claim

# The product's singular values: each that is left out is a saddle, so there are 2^5 - 1 values of f at saddles.
TARGET = np.diag([1.0, 0.7, 0.5, 0.35, 0.25])
# Deviations of the entries at the start; the first is near the saddle at 0.
SCALES, REACHED, STEPS = (1e-3, 1e-1), 1e-3, 150
RATES, BETAS, SAME = np.geomspace(0.1, 1.6, 9), (0.3, 0.5, 0.7, 0.8, 0.9, 0.95), (0.1, 0.9)
# Tunings, and starts for each of them; as many others judge. Of a mean over so many at 95 %.
TUNINGS, STARTS, T = 5, 16, 2.78
Make = Callable[..., Method]


def _plain(f: Any, rate: Any, beta: Any) -> Method:
    del beta
    return gradient_descent(f, rate)


MAKERS: dict[str, Make] = {"gradient descent": _plain, "momentum": momentum, "Nesterov": nesterov}
_AHEAD = (0.0, 0.0, 1.0)


@functools.partial(jax.jit, static_argnums=0)
def _counted(make: Make, rates: Any, betas: Any, starts: Any) -> Any:
    """Steps to a thousandth of f at 0, (settings, starts)."""
    f = Objective(lambda x: 0.5 * jnp.sum((x[1] @ x[0] - TARGET) ** 2))
    line = REACHED * 0.5 * float(np.sum(TARGET**2))

    def count(rate: Any, beta: Any, start: Any) -> Any:
        method = make(f, rate, beta)

        def step(carry: Any, _: None) -> Any:
            state, steps, there = carry
            state = method.step(state)
            steps = steps + jnp.where(there, 0, 1)
            return (state, steps, there | (f.value(state.position) <= line)), None

        begin = (method.init(start), jnp.asarray(0), jnp.asarray(False))
        return jax.lax.scan(step, begin, length=STEPS)[0][1]

    return jax.vmap(lambda rate, beta: jax.vmap(lambda start: count(rate, beta, start))(starts))(rates, betas)


def _by_hand(ahead: float, rates: np.ndarray, betas: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """The same by loops in NumPy."""
    x = np.broadcast_to(starts, (rates.size, *starts.shape)).copy()
    v = np.zeros_like(x)
    rate, beta = (values[:, None, None, None, None] for values in (rates, betas))
    counts, line = np.full(x.shape[:2], STEPS), REACHED * 0.5 * np.sum(TARGET**2)
    for step in range(1, STEPS):
        at = x + ahead * beta * v
        one, two = at[:, :, 0], at[:, :, 1]
        gap = two @ one - TARGET
        v = beta * v - rate * np.stack([np.swapaxes(two, -1, -2) @ gap, gap @ np.swapaxes(one, -1, -2)], axis=2)
        x = x + v
        values = 0.5 * np.sum((x[:, :, 1] @ x[:, :, 0] - TARGET) ** 2, axis=(-1, -2))
        counts[(values <= line) & (counts == STEPS)] = step
    return counts


def _ratios(scale: float, count: Callable[[int, np.ndarray, np.ndarray, np.ndarray], np.ndarray]) -> list[float]:
    """Steps over those of Nesterov's method, each with its error over the tunings: two tuned alike, one not."""
    alike, same = [], []
    grid = [np.ravel(values) for values in np.meshgrid(RATES, BETAS)]
    for tuning in range(TUNINGS):
        starts = scale * np.random.default_rng(tuning).normal(size=(2 * STARTS, 2, *TARGET.shape))
        means = []
        for way in range(3):
            tried = [RATES, np.zeros_like(RATES)] if way == 0 else grid
            best = int(np.argmin(count(way, tried[0], tried[1], starts[:STARTS]).mean(axis=1)))
            chosen = [values[best : best + 1] for values in tried]
            means.append(count(way, chosen[0], chosen[1], starts[STARTS:]).mean())
        alike.append([means[0] / means[2], means[1] / means[2]])
        rate, beta = (np.array([value]) for value in SAME)
        ball, ahead = (count(way, rate, beta, starts[STARTS:]).mean() for way in (1, 2))
        same.append(ball / ahead)
    columns = [*np.transpose(alike), np.array(same)]
    return [float(f) for c in columns for f in (c.mean(), c.std(ddof=1) / TUNINGS**0.5)]


@claim("nesterov-excels-at-many-saddles", "003.42", "Nesterov's method excels where there are many saddles.")
def excels() -> Outcome:
    """Steps to a thousandth of f at the saddle 0, from near to it and from farther, beside the other two methods.

    Each at its best of the same rates and momenta, five tunings, judged by other starts; and momentum with the same
    numbers. Expected are loops in NumPy.
    """
    makers = tuple(MAKERS.values())

    def by_hand(way: int, rates: np.ndarray, betas: np.ndarray, starts: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore", invalid="ignore"):
            return _by_hand(_AHEAD[way], rates, betas, starts)

    def by_method(way: int, rates: np.ndarray, betas: np.ndarray, starts: np.ndarray) -> np.ndarray:
        return np.asarray(_counted(makers[way], *(jnp.asarray(values) for values in (rates, betas, starts))))

    expected, measured = ([f for scale in SCALES for f in _ratios(scale, way)] for way in (by_hand, by_method))
    words = "; ".join(
        f"from {scale:g}: gradient descent {{:.3f}} ± {{:.3f}}, momentum {{:.3f}} ± {{:.3f}} tuned alike and "
        "{:.3f} ± {:.3f} with the same numbers"
        for scale in SCALES
    )
    near, far = (list(zip(found[::2], found[1::2], strict=True)) for found in (measured[:6], measured[6:]))
    more = [[ratio - 1.0 > T * error for ratio, error in found] for found in (near, far)]
    return Outcome(
        *shown(f"steps over Nesterov's {words}", expected, measured),
        holds=all(all(those) for those in more),
        correction=Correction(
            f"With the same numbers (α = {SAME[0]:g}, β = {SAME[1]:g}): momentum takes {_said(near[2])} times as many "
            f"steps from near the saddle and {_said(far[2])} from farther. Each at its best it takes {_said(near[1])} "
            f"and {_said(far[1])} times as many, gradient descent {_said(near[0])} and {_said(far[0])}.",
            holds=close(measured, expected, 1e-3) and all(those[0] and those[2] for those in more),
        ),
    )


def _said(found: tuple[float, float]) -> str:
    return f"{found[0]:.2f} ± {found[1]:.2f}"
