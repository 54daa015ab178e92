"""Motion on manifolds: what a projected velocity loses, and Nesterov's method in hyperbolic space."""

from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .._methods.knobs import LEARNING_RATE_AND_MOMENTUM
from .._methods.method import Method
from .._methods.probe import amplification
from .._tree import Vector
from ..dynamics import GradientFlow, HeavyBall
from ..geometry import Hyperboloid, Sphere
from ..schemes import Euler, Leapfrog, Lookahead
from ._experiment import close, path, shown, steps_to
from ._ledger import Correction, Outcome, claim

STEP, TIME = 0.02, 20.0
CURVATURES, FAR, TOLERANCE, MOST = (0.01, 1.0), 1.0, 1e-8, 2400


class Projected(Sphere):
    """The sphere with plain projection of a velocity in place of its transport."""

    def transport(self, position: Vector, along: Vector, tangent: Vector) -> Vector:
        return self.tangent(self.move(position, along), tangent)


@claim(
    "projected-velocity",
    "folklore",
    "On a manifold a velocity that is projected onto the new tangent space is good enough for momentum.",
)
def projected() -> Outcome:
    r"""Free motion on the sphere, by the geodesics themselves: a projection shortens the velocity by $\cos(h|\eta|)$.

    That is a friction of $\tfrac12h|\eta|^2$, at the first order of the step; transport loses nothing.
    """
    steps, speed = round(TIME / STEP), 1.0
    for _ in range(steps):
        speed *= np.cos(STEP * speed)
    start, velocity = [1.0, 0.0, 0.0], [0.0, 0.6, 0.8]
    measured = []
    for geometry in (Projected(), Sphere()):
        method = Method(HeavyBall(lambda x: 0.0 * jnp.sum(x), 0.0, geometry=geometry), Leapfrog(), STEP)
        measured.append(float(np.sum(path(method, start, steps, velocity).velocity[-1] ** 2)))
    words = f"kinetic energy left after t = {TIME:g} at h = {STEP:g}: {{:.4f}} of it projected, {{:.4f}} transported"
    return Outcome(
        *shown(words, [float(speed**2), 1.0], measured),
        holds=close(measured[0], 1.0, 1e-3),
        correction=Correction(
            "Projection shortens it, which is a friction of the first order of the step. Parallel transport, or "
            "another isometry, keeps its length [absil2008].",
            holds=close(measured, [float(speed**2), 1.0], 1e-6),
            amends=False,
        ),
    )


def _distances(x: Array) -> Array:
    """Squares of the distances from two geodesics that cross at right angles, convex along every geodesic."""
    return 0.5 * jnp.sum(jnp.asarray(CURVATURES) * jnp.arcsinh(x[1:]) ** 2)


def _methods(objective: Any, geometry: Any) -> list[Method]:
    """Descent and Nesterov's method at the numbers that suit these curvatures, in a geometry."""
    root = (CURVATURES[0] / CURVATURES[1]) ** 0.5
    numbers = {"learning_rate": 1.0 / CURVATURES[1], "momentum": (1.0 - root) / (1.0 + root)}
    law = partial(HeavyBall, objective, geometry=geometry)
    return [
        Method(GradientFlow(objective, geometry=geometry), Euler(), 2.0 / sum(CURVATURES)),
        Method(*LEARNING_RATE_AND_MOMENTUM.write(numbers, law, Lookahead())),
    ]


@claim(
    "nesterov-in-hyperbolic-space",
    "003.72",
    "Nesterov's method accelerates in hyperbolic space too.",
)
def hyperbolic() -> Outcome:
    """Steps from a distance of 1, beside those in flat space at the same curvatures, where a step is a matrix.

    Who proved it first is not to be measured.
    """
    side = FAR / 2**0.5
    start = np.sinh(side) * np.ones(2)
    start = np.concatenate([[np.sqrt(1.0 + start @ start)], start])
    expected, measured = [], []
    for method, flat in zip(_methods(_distances, Hyperboloid()), _methods(None, None), strict=True):
        far = np.arcsinh(path(method, start, MOST).position[:, 1:])
        measured.append(steps_to(np.linalg.norm(far, axis=1), TOLERANCE))
        modes = []
        for curvature in CURVATURES:
            matrix = amplification(flat, curvature)
            # At the look-ahead point and at rest.
            z, places = np.zeros(len(matrix)), []
            z[0] = side
            for _ in range(MOST + 1):
                places.append(z[0])
                z = matrix @ z
            modes.append(places)
        expected.append(steps_to(np.linalg.norm(np.array(modes), axis=0), TOLERANCE))
    return Outcome(
        *shown(
            f"steps to {TOLERANCE:g} of the distance: {{}} by descent, {{}} by Nesterov's method", expected, measured
        ),
        holds=0 < measured[1] < 0.5 * measured[0]
        and close([float(count) for count in measured], [float(count) for count in expected], 0.05),
    )
