"""Nesterov's ODE: friction that fades as r/t."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from .._errors import check_number
from .._objectives.objective import AbstractObjective, as_objective
from .._tree import Vector, combine, scalar
from ..geometry import AbstractManifold
from ._base import AbstractDamped, Evaluation, Phase, Time, check_rest
from ._curved import as_geometry, check_geometry


class NesterovFlow(AbstractDamped):
    r"""Nesterov's accelerated gradient in continuous time.

    $$\ddot\theta + \frac{r}{t}\dot\theta + \nabla f(\theta) = 0,\qquad \dot\theta(0) = 0$$

    and on a manifold $D\dot\theta/dt + \tfrac rt\dot\theta + \operatorname{grad} f = 0$, with the covariant derivative.
    At $t = 0$ the friction is infinite and the velocity zero; their product has the limit $r\ddot\theta(0)$, so that
    $\ddot\theta(0) = -\nabla f(\theta_0)/(1 + r)$.

    Arguments:
        objective: $f$, a `tw.Objective` or a function of the parameters.
        damping: $r > 0$; 3 is Nesterov's, and $f - f^\star \le 2\|\theta_0 - \theta^\star\|^2/t^2$ then, of a
            convex f in flat space. On a manifold of curvature $-\kappa^2$ at least such a bound asks for more,
            $r = 1 + 2\kappa D\coth(\kappa D)$ over a diameter D.
        geometry: a manifold of `tw.geometry`, or a `tw.geometry.AbstractManifold` of one's own; None is flat space.

    Raises:
        InputError: the damping is not a finite positive number, the geometry is no manifold, or a run is given a
            velocity to start with.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> flow = tw.NesterovFlow(lambda x: 0.5 * jnp.sum(x**2))
    >>> x = jnp.array([4.0])
    >>> flow.acceleration(flow.start_time, x, jnp.zeros(1)).tolist()
    [-1.0]

    Reference: Su, Boyd and Candès (2016), equation 3 and theorem 3; on manifolds Alimisis et al. (2020).
    """

    objective: AbstractObjective | None = eqx.field(converter=as_objective)
    damping: Float[Array, ""] = eqx.field(default=3.0, converter=scalar)
    geometry: AbstractManifold | None = eqx.field(default=None, converter=as_geometry)

    def __check_init__(self) -> None:
        check_number("damping", self.damping, above=0.0)
        check_geometry(self.geometry, AbstractManifold, "NesterovFlow")

    @property
    def takes_position(self) -> bool:
        return self.geometry is not None

    @property
    def elementwise(self) -> bool:
        return self.geometry is None or self.geometry.elementwise

    @property
    def autonomous(self) -> bool:
        return False

    @property
    def late_time(self) -> Float[Array, ""]:
        return jnp.full((), jnp.inf, float)

    def check_velocity(self, velocity: Vector) -> None:
        check_rest(self, velocity, "r/t")

    def friction_at(self, time: Time) -> Float[Array, ""]:
        assert time is not None
        # Finite at t = 0: the midpoint rule then takes its own limit of infinite friction
        # (it reverses the half-step velocity), which is the right start.
        return self.damping / jnp.maximum(time, jnp.sqrt(jnp.finfo(time.dtype).tiny))

    def rest_time(self, step_size: ArrayLike) -> Float[Array, ""]:
        # Where the midpoint rule forgets the velocity: r/t = 2/h.
        return 0.5 * self.damping * jnp.asarray(step_size)

    def _pushed(self, time: Time, phase: Phase, evaluation: Evaluation) -> Phase:
        assert time is not None
        started = time > 0
        friction = jnp.where(started, self.friction_at(time), 0.0)
        inertia = jnp.where(started, 1.0, 1.0 + self.damping)
        force = self.force_of(time, evaluation)
        return Phase(phase.velocity, combine((1.0 / inertia, force), (-friction, phase.velocity)))
