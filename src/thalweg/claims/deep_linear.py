"""Rates on a wide deep linear network, where the loss is a quadratic in the outputs with the tangent kernel."""

import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._methods.aliases import gradient_descent, nesterov
from .._methods.method import Method
from .._objectives.objective import Objective
from ._experiment import shown
from ._ledger import Correction, Outcome, claim

WIDTH, INPUTS = 128, 6
CONDITIONS = (30.0, 100.0, 300.0)
CONSTANT = 0.5
_FROM, _TO = 1e-3, 1e-6
Weights = dict[str, Any]


def momentum_for(condition: float) -> float:
    r"""$(\sqrt\kappa - 1)/(\sqrt\kappa + 1)$."""
    return (condition**0.5 - 1.0) / (condition**0.5 + 1.0)


def outputs(x: Weights, inputs: Any) -> Any:
    r"""$W_3W_2W_1X$, each matrix over the root of the width it sums over but the first."""
    return x["third"] @ (x["second"] @ (x["first"] @ inputs)) / WIDTH


def _loss(x: Weights, data: tuple[Array, Array]) -> Float[Array, ""]:
    inputs, targets = data
    return 0.5 * jnp.sum((outputs(x, inputs) - targets) ** 2)


def _problem(condition: float) -> tuple[Weights, np.ndarray, np.ndarray]:
    """Normal weights, inputs whose $X^TX$ has this condition number, and targets that a linear map makes."""
    draw = np.random.default_rng(0)
    shapes = {"first": (WIDTH, INPUTS), "second": (WIDTH, WIDTH), "third": (WIDTH,)}
    start = {name: draw.normal(size=shape) for name, shape in shapes.items()}
    inputs = np.diag(np.sqrt(np.geomspace(1.0 / condition, 1.0, INPUTS)))
    return start, inputs, draw.normal(size=INPUTS) @ inputs


def kernel(x: Weights, inputs: np.ndarray) -> np.ndarray:
    r"""The tangent kernel $\sum_l$ of what comes to layer l, times the square of what goes on from it."""
    first, second, third = (np.asarray(x[name]) for name in ("first", "second", "third"))
    below, on = first @ inputs, third @ second
    found = (second @ below).T @ (second @ below) + third @ third * (below.T @ below) + on @ on * (inputs.T @ inputs)
    return found / WIDTH**2


@eqx.filter_jit
def _trained(method: Method, start: Weights, steps: int) -> tuple[Weights, Array]:
    def one(state: Any, _: None) -> tuple[Any, Array]:
        assert method.objective is not None
        return method.step(state), method.objective.value(state.position)

    state, losses = jax.lax.scan(one, method.init(start), length=steps)
    return state.position, losses


def _rate(residuals: np.ndarray) -> float:
    """The logarithm that is lost a step, between a thousandth and a millionth of the first residual."""
    first, last = (int(np.argmax(residuals < share * residuals[0])) for share in (_FROM, _TO))
    return float(np.log(residuals[first] / residuals[last]) / (last - first))


def _linear(k: np.ndarray, residual: np.ndarray, rate: float, beta: float, ahead: bool, steps: int) -> np.ndarray:
    r"""Sizes of the residuals of $r^+ = (1 - \alpha K)(r + \beta(r - r^-))$, or of gradient descent."""
    now, before, sizes = residual, residual, []
    for _ in range(steps):
        sizes.append(np.linalg.norm(now))
        point = now + beta * (now - before) if ahead else now
        now, before = point - rate * k @ point, now
    return np.array(sizes)


Momentum = Callable[[float], float] | None


@functools.cache
def _rates(condition: float, make: Callable[..., Method], momentum: Momentum) -> tuple[float, float, float]:
    """Condition number of the kernel at the start; the rates by linear recurrence, and of the training itself."""
    start, inputs, targets = _problem(condition)
    values = np.linalg.eigvalsh(kernel(start, inputs))
    rate, steps, own = float(1.0 / values[-1]), int(25.0 * condition), float(values[-1] / values[0])
    f = Objective(_loss, (jnp.asarray(inputs), jnp.asarray(targets)))
    beta = 0.0 if momentum is None else momentum(own)
    method = make(f, rate) if momentum is None else make(f, rate, beta)
    end, losses = _trained(method, jax.tree.map(jnp.asarray, start), steps)
    residual = outputs(start, inputs) - targets
    linear = _linear(kernel(end, inputs), residual, rate, beta, momentum is not None, steps)
    return own, _rate(linear), _rate(np.sqrt(np.asarray(losses)))


def constant(condition: float) -> float:
    """A momentum that does not follow the condition number."""
    del condition
    return CONSTANT


@claim(
    "nesterov-on-deep-linear-networks",
    "003.36",
    "On wide deep linear networks Nesterov's method converges as (1 - O(1/κ))^t.",
)
def deep_linear() -> Outcome:
    """Slopes of the rate over the condition number, in logarithms; three layers of width 128.

    The condition number is that of the tangent kernel, at this width not quite that of the data. Expected are rates
    of the linear recurrence with the kernel, in closed form at the weights where the training ends.
    """
    ways = ((nesterov, momentum_for), (nesterov, constant), (gradient_descent, None))
    expected, measured = [], []
    for make, momentum in ways:
        own, by_kernel, by_training = np.log([_rates(condition, make, momentum) for condition in CONDITIONS]).T
        expected.append(float(np.polyfit(own, by_kernel, 1)[0]))
        measured.append(float(np.polyfit(own, by_training, 1)[0]))
    followed, fixed, descent = measured
    return Outcome(
        *shown(
            f"rate as κ^{{:.2f}} with momentum (√κ - 1)/(√κ + 1), κ^{{:.2f}} with momentum {CONSTANT:g}, κ^{{:.2f}} by "
            "gradient descent",
            expected,
            measured,
        ),
        holds=abs(followed + 1.0) < 0.1,
        correction=Correction(
            "So it is with a momentum that does not follow κ, and by gradient descent. With momentum "
            "(√κ - 1)/(√κ + 1) it is (1 - O(1/√κ))^t.",
            holds=abs(followed + 0.5) < 0.1 and max(abs(fixed + 1.0), abs(descent + 1.0)) < 0.1
            and bool(np.allclose(measured, expected, atol=0.03)),
        ),
    )  # fmt: skip
