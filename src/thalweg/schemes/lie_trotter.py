"""Lie-Trotter splitting of a law with a memory: the scheme that Adam is."""

import dataclasses
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Int

from .._errors import InputError, check_number
from .._tree import Vector, combine, optional_scalar
from ..dynamics import AbstractDynamics, AbstractRemembering, AdamFlow
from ..dynamics.adam_flow import Weights
from ._base import AbstractScheme, evaluated, phase
from ._state import Clock, Draws, State

# The decay of torch.optim.NAdam's schedule of beta_1.
FADING = 0.96


class _Schedule(NamedTuple):
    """Steps made, and the product of the factors of the first average so far."""

    steps: Int[Array, ""]
    product: Float[Array, ""]


class LieTrotter(AbstractScheme):
    r"""Lie-Trotter splitting: the averages of a law exactly over a step, then the motion by the new averages.

    $$m^+ = \beta_1m + (1-\beta_1)g,\qquad v^+ = \beta_2v + (1-\beta_2)g^2,\qquad \beta_i = e^{-h/\tau_i}$$

    $$\theta^+ = \theta - hb\Bigl(\frac{n}{\sqrt{v^+/(1-\beta_2^k)} + \varepsilon} + \lambda\theta\Bigr),\qquad
      n = \frac{m^+}{1-\beta_1^k}$$

    on `tw.AdamFlow`, with $g = \nabla f(\theta)$, in step k: Adam as every framework has it. On `tw.MuonFlow` it is
    Muon. One gradient a step.

    Arguments:
        nesterov: the mean looks one more time at the same gradient,
            $n = \beta_1m^+/(1-\beta_1^{k+1}) + (1-\beta_1)g/(1-\beta_1^k)$, as in `optax.nadam`.
        momentum_decay: $\psi$, for a $\beta_1$ that rises with the steps, $\mu_k = \beta_1(1 - 0.96^{k\psi}/2)$, whose
            products take the place of the powers, as in `torch.optim.NAdam`; None for none.

    Raises:
        InputError: the number is negative, or there is one without `nesterov`.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> flow = tw.AdamFlow(lambda x: 0.5 * jnp.sum(x**2), first=None, second=None, form="sign")
    >>> method = tw.Method(flow, tw.LieTrotter(), 0.25)
    >>> tw.run(method, jnp.array([4.0, -0.5]), 2).final.position.tolist()
    [3.5, 0.0]

    Reference: Kingma and Ba (2015), algorithm 1; Dozat (2016), algorithm 2.
    """

    nesterov: bool = eqx.field(default=False, static=True)
    momentum_decay: Float[Array, ""] | None = eqx.field(default=None, converter=optional_scalar)

    def __check_init__(self) -> None:
        if self.momentum_decay is None:
            return
        check_number("momentum_decay", self.momentum_decay, at_least=0.0)
        if not self.nesterov:
            raise InputError("momentum_decay is of Nesterov's form; give nesterov=True with it")

    @property
    def order(self) -> int:
        return 1

    def requires(self) -> tuple[type, ...]:
        return (AbstractRemembering,)

    def check(self, dynamics: AbstractDynamics) -> None:
        super().check(dynamics)
        if not self.nesterov:
            return
        if isinstance(dynamics, AbstractRemembering) and not dynamics.looks_ahead:
            raise InputError(
                "LieTrotter(nesterov=True) looks ahead of an average of the gradient: give the law a memory time, "
                "first=1.0, and no share"
            )
        corrected = isinstance(dynamics, AdamFlow) and dynamics.corrected
        if self.momentum_decay is not None and not corrected:
            raise InputError("momentum_decay is for tw.AdamFlow with corrected=True")

    def moves_auxiliary(self, dynamics: AbstractDynamics) -> bool:
        del dynamics
        return True

    @property
    def takes_learning_rate(self) -> bool:
        return True

    def linearised(self) -> "LieTrotter":
        # The schedule of beta_1 ends at beta_1.
        return self if self.momentum_decay is None else LieTrotter(nesterov=True)

    def init(
        self,
        dynamics: AbstractDynamics,
        position: Vector,
        step_size: ArrayLike,
        velocity: Vector | None = None,
        clock: Clock | None = None,
    ) -> State:
        state = super().init(dynamics, position, step_size, velocity, clock)
        if self.momentum_decay is None:
            return state
        return dataclasses.replace(state, memory=_Schedule(jnp.zeros((), int), jnp.ones((), float)))

    def step(self, dynamics: AbstractDynamics, state: State, step_size: ArrayLike, draws: Draws = Draws()) -> State:
        assert isinstance(dynamics, AbstractRemembering)
        h, y, clock = jnp.asarray(step_size), phase(state), state.clock
        evaluation = evaluated(dynamics, state, draws.batch)
        after = y._replace(auxiliary=dynamics.averaged(h, y, evaluation))
        memory = state.memory
        if self.momentum_decay is None:
            weights = dynamics.weights(after.auxiliary, h if self.nesterov else None)
        else:
            assert isinstance(dynamics, AdamFlow)
            weights, memory = self._scheduled(dynamics, after.auxiliary, h, memory)
        move = dynamics.drift(state.time, after, evaluation, weights)
        position = combine((1, state.position), (h, move))
        ticked = None if clock is None else clock.tick(h)
        return State(position, clock=ticked, memory=memory, auxiliary=after.auxiliary)

    def _scheduled(self, flow: AdamFlow, auxiliary: Any, h: Array, memory: _Schedule) -> tuple[Weights, _Schedule]:
        """The weights of a first average whose memory gets longer."""
        psi, step = self.momentum_decay, memory.steps + 1
        assert psi is not None and flow.first is not None
        beta = jnp.exp(-h / flow.first)
        now, then = (beta * (1.0 - 0.5 * FADING ** (k.astype(beta.dtype) * psi)) for k in (step, step + 1))
        product = memory.product * now
        weights = flow.weights(auxiliary)._replace(
            mean=then / (1.0 - product * then), gradient=(1.0 - now) / (1.0 - product)
        )
        return weights, _Schedule(step, product)
