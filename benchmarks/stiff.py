"""Is Rodas5P in tw.Adaptive faster than SciPy's Radau on stiff fields, at the same accuracy?

Van der Pol's oscillator, Robertson's reaction and HIRES, to their ends in the test set for initial value problems. At
one tolerance the peer is the more exact, so ours has one that is smaller, by which its error against the published end
is no larger. Both have exact Jacobians: ours in a compiled loop over `method.step`, the peer's in plain Python over
floats, which on so few numbers is faster than NumPy arrays or a call of a compiled function. Times are of whole
solutions; the other rows count what each has done.
"""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.integrate import solve_ivp

import thalweg as tw
from benchmarks._harness import Result, compare

RTOL, FIRST = 1e-6, 1e-6
# Ours over the peer's tolerances.
SMALLER = 3e-3


def van_der_pol(t: Any, y: Any, pack: Callable) -> Any:
    del t
    return pack([y[1], 1e3 * (1.0 - y[0] * y[0]) * y[1] - y[0]])


def van_der_pol_slope(t: float, y: np.ndarray) -> list:
    del t
    return [[0.0, 1.0], [-2e3 * y[0] * y[1] - 1.0, 1e3 * (1.0 - y[0] * y[0])]]


def robertson(t: Any, y: Any, pack: Callable) -> Any:
    del t
    first, second, third = 0.04 * y[0], 3e7 * y[1] * y[1], 1e4 * y[1] * y[2]
    return pack([third - first, first - second - third, second])


def robertson_slope(t: float, y: np.ndarray) -> list:
    del t
    a, b, c = 1e4 * y[2], 1e4 * y[1], 6e7 * y[1]
    return [[-0.04, a, b], [0.04, -a - c, -b], [0.0, c, 0.0]]


def hires(t: Any, y: Any, pack: Callable) -> Any:
    del t
    a, b, c, d, e, f, g, h = y
    fast = 280.0 * f * h
    return pack(
        [
            -1.71 * a + 0.43 * b + 8.32 * c + 0.0007, 1.71 * a - 8.75 * b, -10.03 * c + 0.43 * d + 0.035 * e,
            8.32 * b + 1.71 * c - 1.12 * d, -1.745 * e + 0.43 * f + 0.43 * g,
            -fast + 0.69 * d + 1.71 * e - 0.43 * f + 0.69 * g, fast - 1.81 * g, -fast + 1.81 * g,
        ]
    )  # fmt: skip


def hires_slope(t: float, y: np.ndarray) -> np.ndarray:
    del t
    found = _LINEAR.copy()
    f, h = 280.0 * y[5], 280.0 * y[7]
    found[5:, 5] += np.array([-h, h, -h])
    found[5:, 7] += np.array([-f, f, -f])
    return found


_LINEAR = np.asarray(jax.jacobian(lambda y: hires(0.0, y, jnp.stack))(np.zeros(8)))
CASES = {
    "van der Pol": (
        van_der_pol, van_der_pol_slope, [2.0, 0.0], 2000.0, 1e-9, [1.706167732170483, -8.928097010247975e-4]
    ),
    "Robertson": (
        robertson, robertson_slope, [1.0, 0.0, 0.0], 1e11, 1e-14,
        [0.2083340149701255e-7, 0.8333360770334713e-13, 0.9999999791665050],
    ),
    "HIRES": (
        hires, hires_slope, [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0057], 321.8122, 1e-10,
        [
            0.7371312573325668e-3, 0.1442485726316185e-3, 0.5888729740967575e-4, 0.1175651343283149e-2,
            0.2386356198831331e-2, 0.6238968252742796e-2, 0.2849998395185769e-2, 0.2850001604814231e-2,
        ],
    ),
}  # fmt: skip


def results() -> Iterator[Result]:
    for name, (field, slope, start, until, atol, published) in CASES.items():
        law = tw.Field(lambda t, y, args, field=field: field(t, y, jnp.stack))
        method = tw.Method(law, tw.Adaptive(tw.Rodas5P(), SMALLER * RTOL, SMALLER * atol, until=until), FIRST)
        x0 = jnp.asarray(start)

        @jax.jit
        def loop(x: jax.Array, method: tw.Method = method) -> tw.schemes.State:
            report, step = method.scheme.report, method.step
            return jax.lax.while_loop(lambda s: ~report(s).ended, lambda s: step(s), method.init(x))  # pyright: ignore

        def radau() -> Any:
            return solve_ivp(
                lambda t, y: field(t, y.tolist(), list), (0.0, until), start, "Radau", jac=slope, rtol=RTOL, atol=atol,
                first_step=FIRST,
            )  # fmt: skip

        state, solved = loop(x0), radau()
        ours, theirs = (np.max(np.abs(y / np.array(published) - 1.0)) for y in (state.position, solved.y[:, -1]))
        if not ours <= theirs:
            raise AssertionError(f"{name}: an error of {ours:.2e} where the peer's is {theirs:.2e}")
        case = f"{name}, errors {ours:.0e} and {theirs:.0e}"
        yield compare(case, lambda: loop(x0).position, lambda: radau().y[:, -1], 0.2, 7, 1e-6)
        attempts = float(state.memory.attempts)
        for what, own, peer, bound in (
            ("evaluations", float(state.memory.own.gradients), solved.nfev, 5.0),
            ("Jacobians", attempts, solved.njev, 30.0),
            ("factorisations", attempts, solved.nlu, 5.0),
        ):
            yield Result(f"{name}, {what}", own, float(peer), bound, 1, 0.0, what)
