"""Escape times: mean first-passage times of overdamped Langevin dynamics on a line."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._errors import InputError, check_number
from .._objectives.objective import AbstractObjective, Objective
from .._typed import typed
from ..problems._problem import Problem
from ._first_passage import first_passage

Potential = Callable | AbstractObjective | Problem


@typed("potential")
def escape_time(potential: Potential, start: float | int, end: float | int, temperature: float | int = 1.0) -> float:
    r"""The mean time at which $dx = -L'(x)\,dt + \sqrt{2T}\,dW$, started at $a$, first reaches $b$.

    $$\tau(a \to b) = \frac1T \int_a^b dy\, e^{L(y)/T} \int_{-\infty}^y dz\, e^{-L(z)/T}\qquad (a < b)$$

    and mirrored for $a > b$. Both integrals by Gauss–Legendre quadrature of order 40, in panels that are halved until
    the time stays the same to 1e-11 (or to the rounding of $L/T$, where that is more). The inner one is carried from
    panel to panel as $e^{L(y)/T}\int_{-\infty}^y e^{-L/T}$, so that nothing overflows before the time itself does.
    Float64 throughout.

    Arguments:
        potential: a smooth function of one real number, written in jax.numpy, a `tw.Objective` of one, or a problem
            in one dimension. On the far side of $a$ it has to grow. It is looked at to a distance of
            $16\,|b - a|$ there, and farther until over half of what was seen it lies $45\,T$ above its least value;
            the integral leaves out what lies beyond the last point below that height.
        start: $a$.
        end: $b$.
        temperature: $T > 0$, in units of L.

    Returns:
        the time, in units of x squared over units of L.

    Raises:
        InputError: the temperature is not positive, the potential is not finite or does not grow on the far side of
            the start, has more than one dimension or is not smooth, or the time exceeds float64's range.

    >>> import thalweg as tw, math, scipy.special
    >>> well = tw.problems.double_well(1)
    >>> round(tw.analysis.escape_time(well, -1.0, 1.0, temperature=0.05), 3)
    729.671
    >>> spring = tw.analysis.escape_time(lambda x: 0.5 * x**2, -1.0, 1.0)
    >>> math.isclose(spring, math.pi * scipy.special.erfi(0.5**0.5), rel_tol=1e-10)
    True

    Reference: Hänggi, Talkner and Borkovec (1990).
    """
    check_number("start", start)
    check_number("end", end)
    check_number("temperature", temperature, above=0.0)
    if start == end:
        return 0.0
    sign = 1.0 if start < end else -1.0
    evaluate = _evaluator(potential)

    def exponent(x: np.ndarray) -> np.ndarray:
        """L(+-x)/T, such that the motion goes up the axis."""
        values = evaluate(sign * x) / float(temperature)
        if np.any(np.isnan(values) | np.isneginf(values)):
            worst = sign * x[np.isnan(values) | np.isneginf(values)][0]
            raise InputError(f"the potential must be a finite number, but at {worst:g} it is not")
        return values

    a, b = sign * float(start), sign * float(end)
    with np.errstate(over="ignore"):
        time = first_passage(exponent, a, b) / float(temperature)
    return _finite(time, temperature)


@typed("potential")
def kramers_time(
    potential: Potential, well: float | int, barrier: float | int, temperature: float | int = 1.0
) -> float:
    r"""Kramers' approximation of the mean time to go from a well over a barrier into the next well.

    $$\tau \approx \frac{2\pi}{\sqrt{L''(a)\,|L''(b)|}}\; e^{(L(b) - L(a))/T}$$

    It is the limit of `escape_time` from the well to the next one as $T \to 0$, with a relative error of order T. The
    barrier itself is reached in half that time.

    Arguments:
        potential: as for `escape_time`.
        well: $a$, a minimum.
        barrier: $b$, a maximum beside it.
        temperature: $T > 0$, in units of L.

    Returns:
        the time, in units of x squared over units of L.

    Raises:
        InputError: the temperature is not positive, the well is no minimum or the barrier no maximum (the slope has to
            vanish to 1e-6 of what the curvature gives over the distance between them), or the time exceeds float64's
            range.

    >>> import thalweg as tw, math
    >>> well = tw.problems.double_well(1)
    >>> time = tw.analysis.kramers_time(well, -1.0, 0.0, temperature=0.05)
    >>> math.isclose(time, math.pi * math.sqrt(2) * math.exp(5))
    True

    Reference: Kramers (1940).
    """
    check_number("well", well)
    check_number("barrier", barrier)
    check_number("temperature", temperature, above=0.0)
    function = _function(potential)
    with jax.enable_x64(True):
        points = jnp.array([float(well), float(barrier)])
        derivatives = (function, jax.grad(function), jax.grad(jax.grad(function)))
        try:
            value, slope, bend = (np.asarray(jax.vmap(derivative)(points), float) for derivative in derivatives)
        except InputError:
            raise
        except Exception as error:
            raise _raised(error) from error
    if not all(part.shape == (2,) and np.isfinite(part).all() for part in (value, slope, bend)):
        raise InputError("a potential must return one finite number, with two finite derivatives, at well and barrier")
    distance = abs(float(barrier) - float(well))
    for i, (name, kind, sign) in enumerate((("well", "minimum", 1.0), ("barrier", "maximum", -1.0))):
        if not sign * bend[i] > 0 or not abs(slope[i]) <= 1e-6 * abs(bend[i]) * distance:
            raise InputError(
                f"{name} must be a {kind} of the potential, but at {float(points[i]):g} its slope is {slope[i]:g} "
                f"and its curvature {bend[i]:g}"
            )
    with np.errstate(over="ignore"):
        time = 2 * np.pi / np.sqrt(bend[0] * -bend[1]) * np.exp((value[1] - value[0]) / float(temperature))
    return _finite(time, temperature)


def _finite(time: float, temperature: float | int) -> float:
    if not np.isfinite(time):
        raise InputError(f"temperature must be higher: at {float(temperature):g} the time exceeds float64's range")
    return float(time)


def _function(potential: Potential) -> Callable[[Float[Array, ""]], Float[Array, ""]]:
    """A function of one number, its own constants in float64."""
    if isinstance(potential, Problem):
        if potential.dimension != 1:
            raise InputError(
                f"an escape time needs a potential in one dimension, but {potential.name} has {potential.dimension}"
            )
        start, objective = potential.start, _in_float64(potential.objective)
        return lambda x: objective.value(jax.tree.map(lambda leaf: jnp.reshape(x, jnp.shape(leaf)), start))
    if not callable(potential) and not isinstance(potential, AbstractObjective):
        raise InputError(f"a potential must be a function of one number or a problem, but is {potential!r}")
    objective = potential if isinstance(potential, AbstractObjective) else Objective(potential)
    return _in_float64(objective).value


def _raised(error: Exception) -> InputError:
    first = (str(error).strip().splitlines() or [""])[0]
    return InputError(f"the potential raised {type(error).__name__} at a number: {first}")


def _in_float64(objective: AbstractObjective) -> Any:
    with jax.enable_x64(True):
        return jax.tree.map(
            lambda leaf: jnp.asarray(np.asarray(leaf), float) if eqx.is_inexact_array(leaf) else leaf, objective
        )


def _evaluator(potential: Potential) -> Callable[[np.ndarray], np.ndarray]:
    """The potential at an array of points, in float64."""
    compiled = jax.jit(jax.vmap(_function(potential)))

    def evaluate(x: np.ndarray) -> np.ndarray:
        with jax.enable_x64(True):
            try:
                values = np.asarray(compiled(jnp.asarray(x.ravel())), dtype=float)
            except InputError:
                raise
            except Exception as error:
                raise _raised(error) from error
        if values.shape != (x.size,):
            raise InputError(f"a potential must return one number for one number, but returns shape {values.shape[1:]}")
        return values.reshape(x.shape)

    return evaluate
