"""A thousand random settings of learning rate and momentum: which diverge, and which get there."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._methods.aliases import momentum, nesterov
from .._methods.method import Method
from .._methods.probe import largest_stable_learning_rate
from .._objectives.objective import AbstractObjective, Objective
from ._experiment import quadratic, shown
from ._ledger import Correction, Outcome, claim

SETTINGS = 1000
SEED = 0
_BLOWN_UP = 1e3
_STEPS, _REACHED = 300, 0.01
_SPECTRUM = np.geomspace(0.01, 1.0, 20)


@eqx.filter_jit
def losses(
    make: Callable[..., Method], f: AbstractObjective, rates: Float[Array, " n"], betas: Float[Array, " n"],
    start: Float[Array, " d"], steps: int,
) -> Float[Array, " n"]:  # fmt: skip
    """The loss at the end of each run, all in one program."""

    def one(rate: Array, beta: Array) -> Array:
        method = make(f, rate, beta)
        end = jax.lax.fori_loop(0, steps, lambda _, state: method.step(state), method.init(start))
        return f.value(end.position)

    return jax.vmap(one)(rates, betas)


def _stable(make: Callable[..., Method], rates: np.ndarray, betas: np.ndarray) -> tuple[float, float]:
    """The share of the settings, and of the whole rectangle (0, 4) × (0, 1), that the probe calls stable."""
    nodes, weights = np.polynomial.legendre.leggauss(12)
    nodes, weights = 0.5 * (nodes + 1.0), 0.5 * weights
    limits = np.array([largest_stable_learning_rate(make(None, 0.1, beta), 1.0) for beta in nodes])
    # Between the nodes the limit is a smooth function of momentum.
    fitted = np.polynomial.Polynomial.fit(nodes, limits, 11)(betas)
    return float(np.mean(rates < fitted)), float(weights @ np.minimum(limits, 4.0)) / 4.0


@claim(
    "random-settings-diverge",
    "often supposed of random settings, over a wider range than an article's",
    "Over 1,000 random settings of learning rate and momentum Nesterov's method diverges less often than momentum.",
)
def diverge() -> Outcome:
    r"""Settings drawn evenly from $0 < \alpha L < 4$, $0 < \beta < 1$, on a quadratic of condition number 100.

    Momentum is stable on 3/4 of the rectangle, Nesterov's method on $\tfrac14(1 + \tfrac12\ln3)$ of it; the figures
    expected are the probe's for the settings drawn.
    """
    draw = np.random.default_rng(SEED)
    rates, betas = draw.uniform(0.0, 4.0, SETTINGS), draw.uniform(0.0, 1.0, SETTINGS)
    expected, areas, measured = [], [], []
    for make in (momentum, nesterov):
        share, area = _stable(make, rates, betas)
        f, start = quadratic(*_SPECTRUM), jnp.ones(_SPECTRUM.size)
        ends = np.asarray(losses(make, f, jnp.asarray(rates), jnp.asarray(betas), start, 1000))
        expected.append(1.0 - share)
        areas.append(1.0 - area)
        measured.append(float(np.mean(~(ends < _BLOWN_UP))))
    agree = np.allclose(areas, [0.25, 1.0 - (1.0 + 0.5 * np.log(3.0)) / 4.0], atol=1e-6)
    return Outcome(
        *shown("momentum {:.1%}, Nesterov {:.1%} diverge", expected, measured),
        holds=measured[1] < measured[0],
        correction=Correction(
            f"More often, {measured[1]:.0%} against {measured[0]:.0%}: the rectangle 0 < αL < 4, 0 < β < 1 is unstable "
            f"on {areas[1]:.1%} and {areas[0]:.1%} of its area.",
            holds=bool(
                agree and np.allclose(measured, expected, atol=0.01) and np.allclose(measured, areas, atol=0.05)
            ),
            amends=False,
        ),
    )


def logistic(weights: Float[Array, " d"], data: tuple[Array, Array]) -> Float[Array, ""]:
    """Logistic regression with a ridge of 0.001."""
    inputs, labels = data
    return jnp.mean(jax.nn.softplus(-labels * (inputs @ weights))) + 5e-4 * jnp.sum(weights**2)


class _Quadratic:
    """The quadratic by hand; every x is an array (d, settings)."""

    minimum, curvature, start = 0.0, 1.0, np.ones(_SPECTRUM.size)

    def objective(self) -> AbstractObjective:
        return quadratic(*_SPECTRUM)

    def value(self, x: np.ndarray) -> np.ndarray:
        return 0.5 * np.sum(_SPECTRUM[:, None] * x * x, axis=0)

    def slope(self, x: np.ndarray) -> np.ndarray:
        return _SPECTRUM[:, None] * x


class _Logistic:
    """100 labelled points in 10 dimensions of very different scale, and their logistic regression by hand."""

    def __init__(self) -> None:
        draw = np.random.default_rng(SEED)
        self.inputs = draw.normal(size=(100, 10)) * np.geomspace(0.2, 2.0, 10)
        self.labels = np.where(self.inputs @ draw.normal(size=10) + draw.normal(size=100) > 0.0, 1.0, -1.0)
        self.start = np.zeros(10)
        self.curvature = float(np.linalg.eigvalsh(self._hessian(self.start)).max())  # the largest there is
        x = self.start
        for _ in range(20):
            x = x - np.linalg.solve(self._hessian(x), self.slope(x[:, None])[:, 0])
        self.minimum = float(self.value(x[:, None])[0])

    def objective(self) -> AbstractObjective:
        return Objective(logistic, (jnp.asarray(self.inputs), jnp.asarray(self.labels)))

    def value(self, x: np.ndarray) -> np.ndarray:
        margins = self.labels[:, None] * (self.inputs @ x)
        return np.mean(np.logaddexp(0.0, -margins), axis=0) + 5e-4 * np.sum(x * x, axis=0)

    def slope(self, x: np.ndarray) -> np.ndarray:
        signs = self.labels[:, None]
        return 0.001 * x - self.inputs.T @ (signs / (1.0 + np.exp(signs * (self.inputs @ x)))) / self.labels.size

    def _hessian(self, x: np.ndarray) -> np.ndarray:
        odds = np.exp(self.inputs @ x)
        return (self.inputs.T * (odds / (1.0 + odds) ** 2)) @ self.inputs / self.labels.size + 0.001 * np.eye(10)


def _shares(
    problem: _Quadratic | _Logistic, make: Callable[..., Method], ahead: float, rates: np.ndarray, betas: np.ndarray
) -> tuple[float, float]:
    """The share that gets there: by the two-line loop that everybody writes, and by the method."""
    rates = rates / problem.curvature
    x = np.repeat(problem.start[:, None], rates.size, axis=1)
    v = np.zeros_like(x)
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(_STEPS):
            v = betas * v - rates * problem.slope(x + ahead * betas * v)
            x = x + v
        values = problem.value(x)
    start = jnp.asarray(problem.start)
    ends = np.asarray(losses(make, problem.objective(), jnp.asarray(rates), jnp.asarray(betas), start, _STEPS))
    line = problem.minimum + _REACHED * (problem.value(problem.start[:, None])[0] - problem.minimum)
    return float(np.mean(values < line)), float(np.mean(ends < line))


@claim(
    "random-settings-converge",
    "often supposed of random settings, over a wider range than an article's",
    "Over 1,000 random settings of learning rate and momentum Nesterov's method reaches the minimum more often than "
    "momentum.",
)
def converge() -> Outcome:
    r"""300 steps to a hundredth of the first gap, on a quadratic of condition number 100 and a logistic regression.

    Evenly from $0 < \alpha L < 4$, $0 < \beta < 1$; then with $\alpha L < 1$ and $1 - \beta$ evenly in its logarithm
    from 0.001 to 1, where high momentum is common. What is expected comes from the loop written by hand in NumPy.
    """
    draw = np.random.default_rng(SEED)
    boxes = (
        (draw.uniform(0.0, 4.0, SETTINGS), draw.uniform(0.0, 1.0, SETTINGS)),
        (draw.uniform(0.0, 1.0, SETTINGS), 1.0 - 10.0 ** draw.uniform(-3.0, 0.0, SETTINGS)),
    )
    found = [
        _shares(problem, make, ahead, rates, betas)
        for rates, betas in boxes
        for problem in (_Quadratic(), _Logistic())
        for make, ahead in ((momentum, 0.0), (nesterov, 1.0))
    ]
    expected, measured = ([pair[i] for pair in found] for i in (0, 1))
    pairs = "momentum {:.1%}, Nesterov {:.1%} (quadratic), {:.1%}, {:.1%} (logistic)"
    words = f"αL < 4: {pairs}; αL < 1, high momentum: {pairs}"
    ball, ahead = measured[::2], measured[1::2]
    return Outcome(
        *shown(words, expected, measured),
        holds=all(n > m for m, n in zip(ball, ahead, strict=True)),
        correction=Correction(
            f"With αL < 1 and high momentum: {ahead[2]:.0%} against {ball[2]:.0%} on the quadratic, "
            f"{ahead[3]:.0%} against {ball[3]:.0%} on the regression. Over all αL < 4 its narrower range takes "
            f"more than its damping gives: {ahead[0]:.0%} against {ball[0]:.0%}, {ahead[1]:.0%} against {ball[1]:.0%}.",
            holds=min(ahead[2] - ball[2], ahead[3] - ball[3], ball[0] - ahead[0], ball[1] - ahead[1]) > 0.0
            and bool(np.allclose(measured, expected, atol=0.005)),
        ),
    )
