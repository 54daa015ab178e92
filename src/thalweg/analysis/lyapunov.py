"""Lyapunov functions of the laws of motion, evaluated along any run."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .._errors import InputError, check_choice
from .._methods.method import Method
from .._objectives.objective import AbstractObjective
from .._records.run import Run
from .._tree import ravel
from .._typed import typed
from ..dynamics import AbstractDynamics, GradientFlow, HeavyBall, NesterovFlow
from ..dynamics._base import check_flat
from ..schemes import Clock, RungeKutta
from .energy import Rows, synchronised


@dataclasses.dataclass(frozen=True)
class LyapunovValues:
    """A Lyapunov function along a run.

    Attributes:
        time: array (n,), in units of the law's time.
        value: array (n,), the function at each kept position; along the law itself it never increases.
        name: which one, a name `lyapunov` takes.
        formula: what was evaluated.
        reference: where its decrease is shown.
    """

    time: np.ndarray
    value: np.ndarray
    name: str
    formula: str
    reference: str

    @property
    def increase(self) -> float:
        """The largest rise of the function above an earlier value; zero for the law itself."""
        return float(np.max(self.value - np.minimum.accumulate(self.value)))


@typed()
def lyapunov(run: Run, which: str | None = None) -> LyapunovValues:
    r"""A Lyapunov function of the law of motion along a run: it never increases but for the scheme's error.

    With $\phi = f(\theta) - f^\star$, $u = \theta - \theta^\star$ and, for gradient flow, $\tau = \int b\,dt$:

    - gradient flow, "gap": $\phi$, for any f.
    - gradient flow, "convex": $\tau\phi + \tfrac12|u|^2$; its derivative is
      $b\,(\phi - \nabla f\cdot u) - b\tau|\nabla f|^2$.
    - gradient flow, "strongly_convex": $e^{2\mu\tau}\phi$, from $|\nabla f|^2 \ge 2\mu\phi$.
    - heavy ball, "energy": $\tfrac m2|\eta|^2 + \phi$, for any f; falls by $\lambda|\eta|^2$.
    - heavy ball, "strongly_convex":
      $e^{at}\bigl(\phi + \tfrac m2|au + \eta|^2 + \tfrac12 a(\lambda - 2ma)|u|^2\bigr)$ with $a = \lambda/2m$ up to
      critical damping, $\lambda^2 \le 4m\mu$, and $a = \bigl(\lambda - \sqrt{\lambda^2 - 4m\mu}\bigr)/2m$ beyond.
      The bracket E obeys
      $\dot E + aE \le \tfrac12(3ma - 2\lambda)|\eta|^2 + \tfrac a2(a\lambda - ma^2 - \mu)|u|^2$;
      neither term is positive. At $\lambda = 2\sqrt{m\mu}$ the rate is $\sqrt{\mu/m}$.
    - Nesterov's ODE, "energy": $\tfrac12|\eta|^2 + \phi$, for any f.
    - Nesterov's ODE, "convex": $\tfrac{2t^2}{r-1}\phi + (r-1)\bigl|u + \tfrac t{r-1}\eta\bigr|^2$ for $r \ge 3$;
      falls by at least $\tfrac{2(r-3)t}{r-1}\phi$.

    "convex" and "strongly_convex" decrease where f is convex and $\mu$-strongly convex. A half-step velocity
    is brought to the time of the position as in `energy_account`. An exponential weight magnifies rounding:
    once $\phi$ is at rounding, the value is noise.

    Arguments:
        run: a deterministic run that kept positions, at any stride; its objective knows its `minimum` and,
            where u occurs, its `minimiser`.
        which: a name; if None, "strongly_convex" where the objective knows a positive `strong_convexity`
            and the law has it, else "convex", else "energy".

    Returns:
        a `LyapunovValues`.

    Raises:
        InputError: an unknown name, a missing fact of the objective, or a law without a known function.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> f = tw.Objective(lambda x: jnp.sum(jnp.cosh(x)), minimum=2.0, minimiser=jnp.zeros(2))
    >>> method = tw.Method(tw.NesterovFlow(f), tw.RK4(), 0.05)
    >>> found = tw.analysis.lyapunov(tw.run(method, jnp.array([1.0, -2.0]), 400, record=1))
    >>> found.name, round(float(found.value[0]), 6), found.increase < 1e-6
    ('convex', 10.0, True)

    Reference: Su, Boyd and Candès (2016), theorem 3 and theorem 5 (Nesterov's ODE).
    """
    method = run.method
    if method is None:
        raise InputError("a run read from disk does not know its method; make the run again with tw.run")
    law, objective = method.dynamics, method.objective
    check_flat(law, "a Lyapunov function")
    known = _functions(law)
    name = _choose(law, objective, known) if which is None else which
    check_choice(f"the Lyapunov function of {type(law).__name__}", name, known)
    function = known[name]
    facts = _facts(objective, function, law)
    with jax.enable_x64(True):
        phase = Rows(run)
        target = None
        if function.needs_minimiser:
            minimiser = jax.tree.map(lambda leaf: jnp.asarray(leaf, float), objective.minimiser)
            target = ravel(minimiser)
            if target.size != phase.position.shape[1]:
                raise InputError("the objective's minimiser does not have the shape of the position")
        rows = phase.map(_point)
        u = phase.position if target is None else phase.position - np.asarray(target)
        time = _physical_time(phase.method.dynamics, phase.time)
        value = function.value(law, facts, time, rows["value"] - objective.minimum, u, rows["velocity"])
    return LyapunovValues(phase.time, value, name, function.formula, function.reference)


@dataclasses.dataclass(frozen=True)
class _Function:
    """A Lyapunov function: its value from (law, mu, time, f - f*, x - x*, velocity), rows first."""

    formula: str
    reference: str
    value: Callable[[Any, float, np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]
    needs_minimiser: bool = True
    needs_strong_convexity: bool = False


def _square(rows: np.ndarray) -> np.ndarray:
    return np.sum(rows * rows, axis=1)


def _energy(law: Any, mu: float, t: np.ndarray, gap: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return 0.5 * float(law.mass) * _square(v) + gap


def decay_rate(friction: float, mass: float, strong_convexity: float) -> float:
    r"""a, the rate at which the strongly convex heavy ball's function decays, in units of inverse time."""
    discriminant = max(friction**2 - 4.0 * mass * strong_convexity, 0.0)
    return (friction - np.sqrt(discriminant)) / (2.0 * mass)


def _strong_ball(law: Any, mu: float, t: np.ndarray, gap: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    mass, friction = float(law.mass), float(law.friction)
    a = decay_rate(friction, mass, mu)
    inside = gap + 0.5 * mass * _square(a * u + v) + 0.5 * a * (friction - 2.0 * mass * a) * _square(u)
    return np.exp(a * t) * inside


def _nesterov(law: Any, mu: float, t: np.ndarray, gap: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    r = float(law.damping)
    return 2.0 * t**2 / (r - 1.0) * gap + (r - 1.0) * _square(u + (t / (r - 1.0))[:, None] * v)


_PROOF = "shown in the docstring of thalweg.analysis.lyapunov"
_FLOW = {
    "gap": _Function("f - f*", "d/dt f = -b |grad f|^2", lambda law, mu, t, gap, u, v: gap, needs_minimiser=False),
    "convex": _Function(
        "tau (f - f*) + |x - x*|^2 / 2", _PROOF, lambda law, mu, t, gap, u, v: t * gap + 0.5 * _square(u)
    ),
    "strongly_convex": _Function(
        "exp(2 mu tau) (f - f*)",
        _PROOF,
        lambda law, mu, t, gap, u, v: np.exp(2.0 * mu * t) * gap,
        needs_minimiser=False,
        needs_strong_convexity=True,
    ),
}
_BALL = {
    "energy": _Function("m |v|^2 / 2 + f - f*", "d/dt E = -friction |v|^2", _energy, needs_minimiser=False),
    "strongly_convex": _Function(
        "exp(a t) (f - f* + m |a (x - x*) + v|^2 / 2 + a (friction - 2 m a) |x - x*|^2 / 2)",
        _PROOF,
        _strong_ball,
        needs_strong_convexity=True,
    ),
}
_NESTEROV = {
    "energy": _Function("|v|^2 / 2 + f - f*", "d/dt E = -(r / t) |v|^2", _energy, needs_minimiser=False),
    "convex": _Function(
        "2 t^2 / (r - 1) (f - f*) + (r - 1) |x - x* + t v / (r - 1)|^2", "su2016, theorem 5", _nesterov
    ),
}


def _functions(law: AbstractDynamics) -> dict[str, _Function]:
    if isinstance(law, GradientFlow):
        return _FLOW
    if isinstance(law, HeavyBall):
        return _BALL
    if isinstance(law, NesterovFlow):
        return _NESTEROV
    raise InputError(
        f"no Lyapunov function of {type(law).__name__} is known here, only of GradientFlow, HeavyBall and NesterovFlow"
    )


def _choose(law: AbstractDynamics, objective: AbstractObjective, known: dict[str, _Function]) -> str:
    strong = bool(objective.strong_convexity) and not (isinstance(law, HeavyBall) and callable(law.friction))
    if strong and objective.minimiser is not None and "strongly_convex" in known:
        return "strongly_convex"
    if "convex" in known and not (isinstance(law, NesterovFlow) and float(law.damping) < 3.0):
        return "convex"
    return "energy"


def _facts(objective: AbstractObjective, function: _Function, law: AbstractDynamics) -> float:
    needed = ["minimum"]
    needed += ["minimiser"] if function.needs_minimiser else []
    needed += ["strong_convexity"] if function.needs_strong_convexity else []
    missing = [name for name in needed if getattr(objective, name) is None]
    if missing:
        raise InputError(
            f"this Lyapunov function needs {' and '.join(missing)}; give tw.Objective(f, {'=..., '.join(missing)}=...)"
        )
    if function.needs_strong_convexity and not objective.strong_convexity:
        raise InputError("this Lyapunov function needs a positive strong_convexity, but the objective's is 0")
    if function is _BALL["strongly_convex"] and callable(law.friction):  # pyright: ignore[reportAttributeAccessIssue]
        raise InputError("this Lyapunov function needs a constant friction; which='energy' does not")
    if function is _NESTEROV["convex"] and float(law.damping) < 3.0:  # pyright: ignore[reportAttributeAccessIssue]
        raise InputError("this Lyapunov function needs a damping of at least 3; which='energy' does not")
    return float(objective.strong_convexity or 0.0)


def _point(method: Method, x: Array, velocity: Array | None, clock: Clock) -> dict[str, Array]:
    assert method.objective is not None
    if velocity is not None and not isinstance(method.scheme, RungeKutta):
        velocity = synchronised(method, x, velocity, clock)[0]
    return {"value": method.objective.value(x), "velocity": jnp.zeros_like(x) if velocity is None else velocity}


def _physical_time(law: AbstractDynamics, time: np.ndarray) -> np.ndarray:
    r"""$\tau = \int b\,dt$ for gradient flow (Simpson's rule between rows), else t."""
    if not isinstance(law, GradientFlow):
        return time
    rate = law.rate
    if not callable(rate):
        return float(rate) * (time - time[0])
    middle = 0.5 * (time[:-1] + time[1:])
    at, between = (np.asarray([float(rate(jnp.asarray(t))) for t in times]) for times in (time, middle))  # pyright: ignore
    return np.concatenate([[0.0], np.cumsum(np.diff(time) / 6.0 * (at[:-1] + 4.0 * between + at[1:]))])
