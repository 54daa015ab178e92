"""The viscous variant of momentum: a term in the change of the velocity."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._methods.aliases import momentum, nesterov
from .._objectives.objective import AbstractObjective, Objective
from ._experiment import ROUNDING, VALLEY_START, close, modulus, path, quadratic, shown, valley
from ._ledger import Correction, Outcome, claim

RATE, BETA = 0.05, 0.9


@eqx.filter_jit
def viscous(f: AbstractObjective, start: Float[Array, " d"], weight: Float[Array, ""], steps: int) -> Array:
    r"""$v^+ = \beta v + \nabla f(\theta)$, $\theta^+ = \theta - \eta v^+ + \gamma(v^+ - v)$; the points θ."""

    def one(carry: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], Array]:
        x, v = carry
        after = BETA * v + f.gradient(x)
        x = x - RATE * after + weight * (after - v)
        return (x, after), x

    _, points = jax.lax.scan(one, (start, jnp.zeros_like(start)), length=steps)
    return jnp.concatenate([start[None], points])


@claim("viscous-damps", "003.64, 003.65", "A viscous term γ(v - v⁻) added to momentum's step damps its oscillations.")
def viscous_damps() -> Outcome:
    r"""On a mode the two eigenvalues have the product $\beta + \gamma\ell$: $|z| = \sqrt{\beta + \gamma\ell}$."""
    curvature, weights = 4.0, (0.02, -0.02)
    f, start = quadratic(curvature), jnp.ones(1)
    expected = [float(np.sqrt(BETA + weight * curvature)) for weight in (0.0, *weights)]
    measured = [modulus(path(momentum(f, RATE, BETA), np.ones(1), 20).position[:, 0])]
    measured += [modulus(np.asarray(viscous(f, start, jnp.asarray(weight), 20))[:, 0]) for weight in weights]
    plain, positive, negative = measured
    words = "|z| = {{:.6f}} without, {{:.6f}} with γ = {:g}, {{:.6f}} with γ = {:g}".format(*weights)
    return Outcome(
        *shown(words, expected, measured),
        holds=max(positive, negative) < plain - 1e-9,
        correction=Correction(
            "Only with γ < 0: the modes that oscillate shrink as √(β + γℓ), so γ > 0 feeds them; γ = -ηβ is "
            "Nesterov's method [sutskever2013].",
            holds=negative < plain < positive and close(measured, expected, 1e-9),
        ),
    )


@claim(
    "viscous-is-nesterov",
    "003.27, 003.33, 003.64; sutskever2013, equations 3 and 4, rewritten",
    "The viscous variant with γ = -ηβ is Nesterov's method, seen at its look-ahead point.",
)
def viscous_is_nesterov() -> Outcome:
    r"""$-\eta v^+ - \eta\beta(v^+ - v) = -\eta(g + \beta v^+)$, since $v^+ - \beta v = g$."""
    steps = 300
    points = np.asarray(viscous(Objective(valley), jnp.array(VALLEY_START), jnp.asarray(-RATE * BETA), steps))
    apart = float(np.max(np.abs(points - path(nesterov(valley, RATE, BETA), VALLEY_START, steps).lookahead)))
    return Outcome(expected=0.0, measured=apart, holds=apart < ROUNDING)
