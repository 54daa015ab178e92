"""Accounts of the energy along a run: kinetic, potential, dissipated."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from .._errors import InputError
from .._methods.method import Method
from .._objectives.objective import AbstractObjective
from .._records.run import Run
from .._tree import inner, unraveler
from .._typed import typed
from ..dynamics import AbstractDamped, AbstractDynamics, AbstractFirstOrder, Evaluation, Phase
from ..dynamics._base import Time, check_flat
from ..schemes import Clock, Leapfrog, Lookahead, RungeKutta, State

_ROWS_AT_ONCE = 256


@dataclasses.dataclass(frozen=True)
class EnergyAccount:
    r"""The energy of a run at every step, in units of f; every array has shape (n + 1,) for n steps.

    Attributes:
        time: $t_n$, in units of the law's time.
        kinetic: $\tfrac m2|\eta|^2$ at the time of the position; zero for a first-order law.
        potential: $f - f^\star$ where the objective knows its minimum, else $f$.
        dissipated: what has been taken since the start.
        lookahead: the part of `dissipated` that a look-ahead took, not friction.
        shadow: what leapfrog's own conserved energy adds to the total; zero for Runge-Kutta methods.
        order: the power of the step with which `defect` shrinks.
    """

    time: np.ndarray
    kinetic: np.ndarray
    potential: np.ndarray
    dissipated: np.ndarray
    lookahead: np.ndarray
    shadow: np.ndarray
    order: int

    @property
    def total(self) -> np.ndarray:
        """Kinetic, potential and dissipated together: constant but for the scheme's error."""
        return self.kinetic + self.potential + self.dissipated

    @property
    def defect(self) -> float:
        """The largest distance of the total from its value at the start."""
        return float(np.max(np.abs(self.total - self.total[0])))


@typed()
def energy_account(run: Run) -> EnergyAccount:
    r"""Kinetic, potential and dissipated energy along a run; the three add up.

    $$\tfrac m2|\eta|^2 + f(\theta) + \int\lambda|\eta|^2\,dt = \text{const},\qquad
      f(\theta) + \int b\,|\nabla f|^2\,dt = \text{const}$$

    for second-order laws and for gradient flow. A law whose damping is more than friction (the
    high-resolution equations) is charged all that is not $-\nabla f$.

    **Runge-Kutta**: what is dissipated is one more component of the law, which the scheme integrates along
    with the others; so the total is off by $O(h^p)$, p the scheme's order.

    **Leapfrog and look-ahead**: the recorded velocity $\eta_{n-1/2}$ is half a step behind. The next one follows
    from it by the scheme's own kick, and the velocity at $t_n$ is their mean $\bar\eta_n$, at which the midpoint
    rule takes friction: $h\lambda_n|\bar\eta_n|^2$ a kick, half of it before $t_n$ and half after.
    A look-ahead takes $h\,(\nabla f(\Theta_n) - \nabla f(\theta_n))\cdot\bar\eta_n$ besides, a damping of first
    order in h along the curvature. The total is then off by $O(h^2)$. With
    $a_n = (\eta_{n+1/2} - \eta_{n-1/2})/h$ and a fixed step,

    $$\text{total}_n + \tfrac{h^2}8\,a_n\cdot(m a_n + 2\nabla f(\theta_n)) = \text{const}$$

    exactly where f is quadratic (to rounding, at any friction and any stable step); `shadow` is the second term.
    It is half the sum of the identity
    $E_{n+1/2} - E_{n-1/2} = -h\lambda_n|\bar\eta_n|^2$, $E_{n+1/2} = \tfrac m2|\eta_{n+1/2}|^2
    + \tfrac12\theta_n^\top H\theta_{n+1}$, at two neighbouring half steps.

    Arguments:
        run: a deterministic run whose positions were kept at every step, `tw.run(..., record=1)`.

    Returns:
        an `EnergyAccount`.

    Raises:
        InputError: the run kept no positions or not at every step, does not know its method, or drew mini-batches.

    >>> import thalweg as tw, jax.numpy as jnp, numpy as np
    >>> ball = tw.HeavyBall(lambda x: 0.5 * jnp.sum(x**2), friction=0.5)
    >>> run = tw.run(tw.Method(ball, tw.Leapfrog(), 0.1), jnp.array([2.0]), 200, record=1)
    >>> account = tw.analysis.energy_account(run)
    >>> float(account.potential[0]), round(float(account.dissipated[-1]), 2), round(account.defect, 3)
    (2.0, 1.99, 0.006)
    >>> bool(np.ptp(account.total + account.shadow) < 1e-13)
    True

    Reference: Hairer, Lubich and Wanner (2003), section 5.2, for the modified energy without friction.
    """
    trace = run.trace
    if trace is None or len(trace) < 2:
        raise InputError("the run kept no positions; make it with tw.run(..., record=1)")
    if np.any(np.diff(trace.step) != 1) or trace.step[0] != 0:
        raise InputError("an energy account needs the position at every step; make the run with tw.run(..., record=1)")
    with jax.enable_x64(True):
        phase = Rows(run)
        rows = phase.map(_row)
    loss, lookahead = rows["loss"], rows["lookahead"]
    if phase.staggered:
        loss, lookahead = (0.5 * (part[:-1] + part[1:]) for part in (loss + lookahead, lookahead))
    else:
        loss, lookahead = loss[:-1], lookahead[:-1]
    minimum = phase.objective.minimum
    return EnergyAccount(
        time=phase.time,
        kinetic=rows["kinetic"],
        potential=rows["potential"] - (0.0 if minimum is None else minimum),
        dissipated=np.concatenate([[0.0], np.cumsum(loss)]),
        lookahead=np.concatenate([[0.0], np.cumsum(lookahead)]),
        shadow=rows["shadow"],
        order=2 if phase.staggered else phase.method.scheme.order,
    )


class Rows:
    """The rows of a run's trace as raveled float64 vectors, beside the method that made them."""

    def __init__(self, run: Run) -> None:
        trace, method = run.trace, run.method
        if trace is None or not len(trace):
            raise InputError("the run kept no positions; make it with tw.run(..., record=1)")
        if method is None:
            raise InputError("a run read from disk does not know its method; make the run again with tw.run")
        check_flat(method.dynamics, "an account along a run")
        if method.normals:
            raise InputError("the run must be deterministic, but its method draws noise")
        if method.dynamics.has_auxiliary:
            raise InputError(
                f"{type(method.dynamics).__name__} has variables besides position and velocity, "
                "which a trace does not keep"
            )
        if method.objective.stochastic:
            raise InputError(
                "the run must be deterministic, but it drew mini-batches; give the FiniteSum no batch_size"
            )
        if not isinstance(method.scheme, RungeKutta | Leapfrog | Lookahead):
            raise InputError(f"the velocity of {type(method.scheme).__name__} at the time of the position is not known")
        wide = jax.tree.map(lambda leaf: jnp.asarray(leaf, float) if eqx.is_inexact_array(leaf) else leaf, method)
        first = jax.tree.map(lambda leaf: jnp.asarray(leaf[0], float), trace.position)
        self.method: Method = wide.flattened(unraveler(first))
        self.objective: AbstractObjective = wide.objective
        self.staggered = not isinstance(method.scheme, RungeKutta)
        self.step = np.asarray(trace.step)
        self.time = np.asarray(trace.time, dtype=float)
        self.position = _rows(trace.position)
        self.velocity = None if trace.velocity is None else _rows(trace.velocity)

    def map(self, function: Any) -> Any:
        """`function(method, x, velocity, clock)` at every row; the clock says when, and what the last step was."""
        rows = (self.position, self.velocity, self.step, self.time)
        return jax.tree.map(np.asarray, _map(function, self.method, jax.tree.map(jnp.asarray, rows)))


def _rows(tree: PyTree) -> np.ndarray:
    leaves = [np.asarray(leaf, dtype=float) for leaf in jax.tree.leaves(tree)]
    return np.concatenate([leaf.reshape(len(leaf), -1) for leaf in leaves], axis=1)


@eqx.filter_jit
def _map(function: Any, method: Method, rows: Any) -> Any:
    def at(row: Any) -> Any:
        x, velocity, step, time = row
        last = method.step_size
        if callable(last):
            last = jnp.asarray(last(jnp.maximum(step - 1, 0)), float)
        return function(method, x, velocity, Clock(time, jnp.zeros(()), step, last))

    return jax.lax.map(at, rows, batch_size=_ROWS_AT_ONCE)


def synchronised(
    method: Method, x: Array, velocity: Array, clock: Clock
) -> tuple[Float[Array, " d"], Float[Array, " d"], Float[Array, ""]]:
    r"""$(\bar\eta_n, a_n, \Delta_n)$ from a row of a leapfrog or look-ahead run, by the scheme's own kick."""
    weight = _lookahead_weight(method, clock)
    state = State(x, velocity, lookahead_weight=weight, clock=None if method.autonomous else clock)
    after = method.step(state).velocity
    assert isinstance(after, Array)
    interval = 0.5 * (clock.last_step + method.step_size_at(clock))
    return 0.5 * (velocity + after), (after - velocity) / interval, interval


def _lookahead_weight(method: Method, clock: Clock) -> Array | None:
    if not isinstance(method.scheme, Lookahead):
        return None
    assert isinstance(method.dynamics, AbstractDamped)
    return method.scheme.lookahead_weight(method.dynamics, None if method.autonomous else clock, clock.last_step)


def _row(method: Method, x: Array, velocity: Array | None, clock: Clock) -> dict[str, Array]:
    """The account's entries at a row; losses are a kick's, or those of the step that follows."""
    law, objective = method.dynamics, method.objective
    assert objective is not None
    value, gradient = objective.value_and_gradient(x)
    zero = jnp.zeros(())
    row = {"kinetic": zero, "potential": value, "loss": zero, "lookahead": zero, "shadow": zero}
    mass = getattr(law, "mass", 1.0)
    if velocity is None or isinstance(method.scheme, RungeKutta):
        y = (x, zero) if velocity is None else (x, velocity, zero)
        state = State(y, clock=None if method.autonomous else clock)
        after = method.scheme.step(_WithLoss(law=law, objective=None), state, method.step_size_at(clock)).position
        kinetic = zero if velocity is None else 0.5 * mass * inner(velocity, velocity)
        return row | {"loss": after[-1], "kinetic": kinetic}
    assert isinstance(law, AbstractDamped)
    mean, acceleration, interval = synchronised(method, x, velocity, clock)
    row["kinetic"] = 0.5 * mass * inner(mean, mean)
    row["loss"] = interval * law.friction_at(clock.time) * inner(mean, mean)
    row["shadow"] = interval**2 / 8 * inner(acceleration, mass * acceleration + 2 * gradient)
    weight = _lookahead_weight(method, clock)
    if weight is not None:
        row["lookahead"] = interval * inner(objective.gradient(x + weight * velocity) - gradient, mean)
    return row


class _WithLoss(AbstractFirstOrder):
    """A law as a first-order system, with the power it loses as one more component."""

    law: AbstractDynamics
    objective: AbstractObjective | None

    def evaluate(self, time: Time, phase: Phase, batch: Any = None) -> Evaluation:
        return self.law.evaluate(time, Phase(*phase.position[:-1]), batch)

    def rates(self, time: Time, phase: Phase, evaluation: Evaluation) -> Phase:
        law, own = self.law, Phase(*phase.position[:-1])
        rates = law.rates(time, own, evaluation)
        if isinstance(law, AbstractFirstOrder):
            return Phase((rates.position, -inner(law._objective().gradient(own.position), rates.position)))
        if isinstance(law, AbstractDamped):
            return Phase((own.velocity, rates.velocity, law.friction_at(time) * inner(own.velocity, own.velocity)))
        left = rates.velocity + law._objective().gradient(own.position)  # pyright: ignore[reportOperatorIssue]
        return Phase((own.velocity, rates.velocity, -inner(own.velocity, left)))
