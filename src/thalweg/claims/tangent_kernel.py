"""Momentum in the tangent-kernel regime: where it ends, and how it gets there."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import brentq

from .._methods.method import Method
from .._objectives.objective import Objective
from ..dynamics import AbstractDynamics, GradientFlow, HeavyBall
from ..schemes import Tsit5
from ._experiment import final, shown
from ._ledger import Correction, Outcome, claim

POINTS, INPUTS, WIDTH = 12, 5, 200
LOSSES = (0.1, 0.01)


def model(x: Any, inputs: Any) -> Any:
    """Outputs of a wide network with one hidden layer, in the parametrisation whose kernel has a limit."""
    hidden = jnp.tanh(inputs @ x["in"] / INPUTS**0.5)
    return hidden @ x["out"] / WIDTH**0.5


def problem() -> tuple[np.ndarray, np.ndarray]:
    """The Jacobian of the network at its start, and how far the data are from what it says there."""
    draw = np.random.default_rng(0)
    x = {"in": jnp.asarray(draw.normal(size=(INPUTS, WIDTH))), "out": jnp.asarray(draw.normal(size=WIDTH))}
    inputs = draw.normal(size=(POINTS, INPUTS))
    data = np.sin(inputs.sum(axis=1)) + 0.3 * draw.normal(size=POINTS)
    parts = jax.jacobian(model)(x, jnp.asarray(inputs))
    jacobian = np.concatenate([np.asarray(parts[name]).reshape(POINTS, -1) for name in ("in", "out")], axis=1)
    return jacobian, data - np.asarray(model(x, jnp.asarray(inputs)))


BALL: Callable[[Any, float], AbstractDynamics] = HeavyBall
Filter = Callable[[np.ndarray, float], np.ndarray]


def _left_by_flow(curvatures: np.ndarray, time: float) -> np.ndarray:
    return np.exp(-curvatures * time)


def _left_by_ball(friction: float) -> Filter:
    r"""Rest of a residual, $e^{-\lambda t/2}(\cos\omega t + \tfrac{\lambda}{2\omega}\sin\omega t)$, from rest."""

    def left(curvatures: np.ndarray, time: float) -> np.ndarray:
        frequency = np.sqrt((curvatures - 0.25 * friction**2).astype(complex))
        turned = np.cos(frequency * time) + 0.5 * friction * time * np.sinc(frequency * time / np.pi)
        return np.real(np.exp(-0.5 * friction * time) * turned)

    return left


@claim(
    "momentum-regularises-tangent-kernel-flow",
    "003.74",
    "In the tangent-kernel regime of wide networks the momentum term is a regulariser of gradient flow.",
)
def regularises() -> Outcome:
    r"""A network of 200 hidden units on 12 points, linear in its parameters about its start.

    From rest both laws move along the rows of the Jacobian J, $\delta = J^\top c$, and end where it fits the data, at
    $J^\top(JJ^\top)^{-1}r$. On the way each eigenvalue of the kernel has a filter of its own, in closed form. The
    friction is critical for the slowest mode; at the same loss the two are compared by the norm of the correction and
    by the largest part of a mode that is fitted.
    """
    jacobian, residual = problem()
    curvatures, modes = np.linalg.eigh(jacobian @ jacobian.T)
    friction = 2.0 * float(np.sqrt(curvatures[0]))
    f = Objective(lambda x: 0.5 * jnp.sum((jnp.asarray(jacobian) @ x - jnp.asarray(residual)) ** 2))
    along, rest = modes.T @ residual, np.zeros(jacobian.shape[1])
    laws: tuple[tuple[AbstractDynamics, Filter, float], ...] = (
        (GradientFlow(f), _left_by_flow, 25.0 / curvatures[0]),
        (BALL(f, friction), _left_by_ball(friction), 30.0 / float(np.sqrt(curvatures[0]))),
    )
    least = np.linalg.pinv(jacobian) @ residual
    expected, measured, ends = [0.0, 0.0], [], []
    for law, _, long in laws:
        steps = int(long * np.sqrt(curvatures[-1]) + long * curvatures[-1] * isinstance(law, GradientFlow))
        ends.append(final(Method(law, Tsit5(), long / steps), rest, steps))
        measured.append(float(np.linalg.norm(ends[-1] - least) / np.linalg.norm(least)))
    for part in LOSSES:
        for law, left, long in laws:

            def above(time: float, left: Filter = left, part: float = part) -> float:
                return float(np.sum((left(curvatures, time) * along) ** 2) / np.sum(along**2)) - part

            times = np.linspace(0.0, long, 4000)
            after = int(np.argmax([above(time) < 0.0 for time in times]))
            time = float(brentq(above, times[after - 1], times[after]))  # pyright: ignore
            fitted = 1.0 - left(curvatures, time)
            expected += [float(np.sqrt(np.sum((fitted * along) ** 2 / curvatures))), float(fitted.max())]
            there = final(Method(law, Tsit5(), time / 400), rest, 400)
            of_modes = modes.T @ (jacobian @ there) / along
            measured += [float(np.linalg.norm(there)), float(of_modes.max())]
    size = float(np.linalg.norm(least))
    expected[2::2], measured[2::2] = ([one / size for one in figures[2::2]] for figures in (expected, measured))
    words = "flow {:.4f} of the norm and at most {:.4f} of a mode, ball {:.4f} and {:.4f}"
    flow, ball = np.linalg.norm(ends[0]), np.linalg.norm(ends[1])
    smaller = [measured[i + 2] < 0.99 * measured[i] for i in (2, 6)]
    return Outcome(
        *shown(
            "from the least correction {:.0e} and {:.0e} of its norm in the end; "
            + "; ".join(f"at {part:g} of the loss " + words for part in LOSSES),
            expected,
            measured,
        ),
        holds=bool(ball < 0.99 * flow) or all(smaller),
        correction=Correction(
            "Both end at the one function that the least change of the parameters fits to the data. On the way the "
            "ball, of the friction that is critical for the slowest mode, filters less: its modes go at the root of "
            "the kernel's eigenvalues, and overshoot, so that at the same loss its correction is the larger one.",
            holds=max(measured[:2]) < 1e-6
            and bool(np.allclose(measured, expected, atol=1e-4))
            and all(measured[i + 2] > measured[i] for i in (2, 6)),
            amends=False,
        ),
    )
