"""Adam's scaling beside plain descent and Runge-Kutta: where it is faster, and where it is not."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .._methods.adaptive import adam
from .._methods.aliases import gradient_descent
from .._methods.method import Method
from .._objectives.objective import Objective
from ..dynamics import GradientFlow
from ..geometry import Metric
from ..problems._data import one_hot, standardised
from ..schemes import RK4, Euler
from ._experiment import close, shown, steps_to
from ._ledger import Correction, Outcome, claim

CONDITION, COUNT, TOLERANCE, MOST = 100.0, 20, 1e-3, 1200
RATES = np.geomspace(0.01, 10.0, 25)
# How unevenly the inputs are scaled, and the batches of a training.
UNEVEN, STEPS, BATCH = 20.0, 300, 64
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


def turned() -> np.ndarray:
    """Directions of the curvatures that are not along the parameters."""
    return np.linalg.qr(np.random.default_rng(2).standard_normal((COUNT, COUNT)))[0]


def _start(directions: np.ndarray) -> np.ndarray:
    return directions @ np.random.default_rng(3).standard_normal(COUNT)


def _gradients(make: Callable[[Array], Method], start: np.ndarray, square: np.ndarray, rates: np.ndarray) -> int:
    """Gradients to the tolerance in f, at the rate of these that takes least."""

    @eqx.filter_jit
    def losses(rate: Array) -> Array:
        method = make(rate)

        def step(state: Any, _: None) -> tuple[Any, Array]:
            after = method.step(state)
            return after, 0.5 * after.position @ jnp.asarray(square) @ after.position

        return jax.lax.scan(step, method.init(jnp.asarray(start)), length=MOST)[1]

    first = 0.5 * start @ square @ start
    curves = np.asarray(jax.vmap(losses)(jnp.asarray(rates)))
    found = [steps_to(np.append(first, curve), TOLERANCE) for curve in curves]
    each = make(jnp.asarray(1.0)).gradients_per_step
    return each * min(count for count in found if count > 0)


def _by_hand(step: Callable[[np.ndarray, float], Any], start: np.ndarray, square: np.ndarray, rates: np.ndarray) -> int:
    """The same by loops in NumPy."""
    first, found = 0.5 * start @ square @ start, []
    for rate in rates:
        x, move = start.copy(), step(square, float(rate))
        for count in range(1, MOST + 1):
            x = move(x)
            loss = 0.5 * x @ square @ x
            if not TOLERANCE * first < loss < 1e9 * first:
                found += [count] if loss <= first else []
                break
    return min(found)


def _adam(square: np.ndarray, rate: float) -> Callable[[np.ndarray], np.ndarray]:
    m, v, k = 0.0, 0.0, 0

    def move(x: np.ndarray) -> np.ndarray:
        nonlocal m, v, k
        g, k = square @ x, k + 1
        m, v = BETA1 * m + (1.0 - BETA1) * g, BETA2 * v + (1.0 - BETA2) * g * g
        return x - rate * m / (1.0 - BETA1**k) / (np.sqrt(v / (1.0 - BETA2**k)) + EPSILON)

    return move


def _linear(polynomial: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray, float], Any]:
    def step(square: np.ndarray, rate: float) -> Callable[[np.ndarray], np.ndarray]:
        matrix = polynomial(rate * square)
        return lambda x: matrix @ x

    return step


def _euler(z: np.ndarray) -> np.ndarray:
    return np.eye(len(z)) - z


def _taylor(z: np.ndarray) -> np.ndarray:
    return np.eye(len(z)) - z + z @ z / 2.0 - z @ z @ z / 6.0 + z @ z @ z @ z / 24.0


@claim(
    "preconditioning-beats-runge-kutta",
    "001.13",
    "Better than the stages of Runge-Kutta is one gradient a step with preconditioning, such as Adam's scaling.",
)
def stages() -> Outcome:
    """Gradients to a thousandth of f at condition number 100, each at its best rate of a grid.

    Curvatures along the parameters, as a preconditioner of one number each wants them; and along other directions. By
    RK4, by descent, by Adam, and by descent over the diagonal of the Hessian. Expected are loops in NumPy.
    """
    curvatures = np.geomspace(1.0, CONDITION, COUNT)
    expected, measured = [], []
    for directions in (np.eye(COUNT), turned()):
        square = (directions * curvatures) @ directions.T
        start, diagonal = _start(directions), np.diagonal(square)
        f = Objective(lambda x, args: 0.5 * x @ args @ x, args=jnp.asarray(square))
        over = Metric(jnp.asarray(diagonal))
        small, wide = RATES[RATES < 0.1] * 2.785 / CONDITION * 10.0, RATES[RATES <= 2.0]
        makes: list[Callable[[Array], Method]] = [
            lambda rate, f=f: Method(GradientFlow(f), RK4(), rate),
            lambda rate, f=f: gradient_descent(f, rate),
            lambda rate, f=f: adam(f, rate, BETA1, BETA2, EPSILON),
            lambda rate, f=f, over=over: Method(GradientFlow(f, geometry=over), Euler(), rate),
        ]
        own = (small, small, RATES, wide)
        measured += [_gradients(make, start, square, rates) for make, rates in zip(makes, own, strict=True)]
        root = np.sqrt(diagonal)
        scaled = square / root[:, None] / root
        expected += [
            4 * _by_hand(_linear(_taylor), start, square, small),
            _by_hand(_linear(_euler), start, square, small),
            _by_hand(_adam, start, square, RATES),
            _by_hand(_linear(_euler), root * start, scaled, wide),
        ]
    names = "RK4 {}, descent {}, Adam {}, diagonal {}"
    words = f"gradients along the parameters: {names}; along other directions: {names}"
    better = [max(measured[i + 2 : i + 4]) < measured[i] for i in (0, 4)]
    return Outcome(*shown(words, expected, measured), holds=all(better) and measured == expected)


def _data(uneven: float) -> tuple[np.ndarray, np.ndarray]:
    """Digits, standardised, and then each pixel on a scale of its own."""
    features, labels = standardised("digits")
    scales = np.random.default_rng(0).permutation(np.geomspace(1.0 / uneven, uneven, len(features)))
    return np.asarray(features) * scales[:, None], np.asarray(one_hot(labels))


def _batches() -> np.ndarray:
    return np.random.default_rng(1).integers(1797, size=(STEPS, BATCH))


def adaptive(objective: Any, rate: Any) -> Method:
    return adam(objective, rate, BETA1, BETA2, EPSILON)


def _loss(weights: Array, features: Array, labels: Array) -> Array:
    logits = weights.T @ features
    return jnp.mean(jax.nn.logsumexp(logits, axis=0) - jnp.sum(labels * logits, axis=0))


def _trained(make: Callable[..., Method], uneven: float, rates: np.ndarray) -> float:
    """The loss on all of the digits after a training at the best of some rates."""
    features, labels = (jnp.asarray(part) for part in _data(uneven))

    @eqx.filter_jit
    def ends(rates: Array, chosen: Array) -> Array:
        def end(rate: Array) -> Array:
            def step(state: Any, batch: Array) -> tuple[Any, None]:
                f = Objective(lambda w: _loss(w, features[:, batch], labels[:, batch]))
                return make(f, rate).step(state), None

            start = make(Objective(lambda w: jnp.sum(w)), rate).init(jnp.zeros((len(features), len(labels))))
            return _loss(jax.lax.scan(step, start, chosen)[0].position, features, labels)

        return jax.vmap(end)(rates)

    return float(np.nanmin(np.asarray(ends(jnp.asarray(rates), jnp.asarray(_batches())))))


def _trained_by_hand(adaptively: bool, uneven: float, rates: np.ndarray) -> float:
    features, labels = _data(uneven)
    found, chosen = [], _batches()
    for rate in rates:
        w = np.zeros((len(features), len(labels)))
        m, v = np.zeros_like(w), np.zeros_like(w)
        for k, batch in enumerate(chosen, 1):
            x, y = features[:, batch], labels[:, batch]
            logits = w.T @ x
            odds = np.exp(logits - logits.max(axis=0))
            g = x @ (odds / odds.sum(axis=0) - y).T / BATCH
            if adaptively:
                m, v = BETA1 * m + (1.0 - BETA1) * g, BETA2 * v + (1.0 - BETA2) * g * g
                g = m / (1.0 - BETA1**k) / (np.sqrt(v / (1.0 - BETA2**k)) + EPSILON)
            w = w - rate * g
        logits = w.T @ features
        most = logits.max(axis=0)
        found.append(np.mean(most + np.log(np.exp(logits - most).sum(axis=0)) - (labels * logits).sum(axis=0)))
    return float(np.min(found))


@claim("sgd-is-slow-beside-adam", "004.20", "Pure SGD is slow compared with Adam.")
def training() -> Outcome:
    """Softmax regression on digits by mini-batches, each at its best rate: pixels standardised, and unevenly scaled.

    The loss on all of the digits after 300 steps. Expected are loops in NumPy with the same batches.
    """
    expected, measured = [], []
    for uneven in (1.0, UNEVEN):
        plain, own = np.geomspace(0.05, 20.0, 16) / uneven, np.geomspace(2e-3, 0.5, 12)
        measured += [_trained(gradient_descent, uneven, plain), _trained(adaptive, uneven, own)]
        expected += [_trained_by_hand(False, uneven, plain), _trained_by_hand(True, uneven, own)]
    words = "loss with even inputs: SGD {:.4f}, Adam {:.4f}; with uneven ones: SGD {:.4f}, Adam {:.4f}"
    slow = [measured[i] > 1.25 * measured[i + 1] for i in (0, 2)]
    return Outcome(
        *shown(words, expected, measured),
        holds=all(slow),
        correction=Correction(
            "Where the parameters are of unlike scales. Where they are alike, each at its best rate comes as far.",
            holds=slow == [False, True] and close(measured, expected, 1e-3),
        ),
    )
