"""Splittings of Langevin dynamics: a word over drift, kick and friction with noise."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import ArrayLike

from .._errors import InputError
from .._tree import Vector, combine
from ..dynamics import AbstractDamped, AbstractDynamics, AbstractNoisy, AbstractThermostat, KleinKramers, Phase
from ..dynamics._curved import noise_at
from ..geometry import AbstractGeometry, AbstractManifold
from ._advice import advice
from ._base import AbstractScheme, noise_count, start_of, start_velocity
from ._curved import manifold
from ._kinetic import begun, moved, said
from ._state import Clock, Draws, State


class Splitting(AbstractScheme):
    r"""The parts of a damped law one after the other, each solved exactly, as a word says.

    $$\text{A: } \theta \leftarrow \theta + \tau\eta,\quad
      \text{B: } \eta \leftarrow \eta - \tfrac{\tau}{m}\nabla f(\theta),\quad
      \text{O: } \eta \leftarrow e^{-\lambda\tau/m}\eta + \sqrt{\tfrac Tm(1 - e^{-2\lambda\tau/m})}\,R$$

    where $\tau$ is the step size over the number of times that the letter stands in the word; what O does is the law's
    own (`thermal`), here that of `tw.UnderdampedLangevin`. A gradient that the position still has is not taken again:
    BAOAB, ABOBA, OBABO and BAOA cost one a step. A word that reads the same from behind is of order 2. On a manifold A
    is the geodesic, along which the velocity is carried, and B and O are in the tangent space. BAOAB samples the
    positions of a Gaussian exactly, at every step size.

    The density of `tw.KleinKramers` goes by the same word, as that of a particle would: on a grid by Fourier's series
    in every letter, exact where the cells resolve it, positions reflected at walls; a Gaussian in closed form, in a
    potential that is not quadratic projected on the Gaussians by every B.

    Arguments:
        word: letters A, B and O, such as "BAOAB"; each at least once. The letter D is what a thermostat does, see
            `tw.AdaptiveLangevin`.

    Raises:
        InputError: the word has another letter, or lacks one.

    >>> import thalweg as tw
    >>> law = tw.UnderdampedLangevin(None, friction=1.0, temperature=1.0)
    >>> method = tw.Method(law, tw.Splitting("BAOAB"), 0.5)
    >>> method.gradients_per_step, round(float(tw.analysis.stationary_covariance(method, 1.0)), 6)
    (1, 1.0)

    Reference: Leimkuhler and Matthews (2015), chapter 7.
    """

    word: str = eqx.field(default="BAOAB", static=True)

    def __check_init__(self) -> None:
        if not isinstance(self.word, str) or not self.word or set(self.word) - set("ABOD"):
            raise InputError(
                "word must be made of the letters A, B and O (and D for a thermostat), such as 'BAOAB', "
                f"but is {self.word!r}"
            )
        missing = sorted(set("ABO") - set(self.word))
        if missing:
            raise InputError(f"word {self.word!r} must have each of A, B and O, but lacks {' and '.join(missing)}")

    def check(self, dynamics: AbstractDynamics) -> None:
        if isinstance(dynamics, KleinKramers):
            if "D" in self.word:
                raise InputError(f"KleinKramers has no thermostat for the letter D, but the word is {self.word!r}")
            return
        super().check(dynamics)
        own, noisy = type(dynamics), isinstance(dynamics, AbstractNoisy)
        if noisy and issubclass(own, AbstractDamped) and own.thermal is AbstractDamped.thermal:
            raise InputError(
                f"{own.__name__} has noise, which the letter O would leave out: write its thermal, friction and "
                "noise alone, or use tw.StochasticHeun()"
            )
        thermostat = isinstance(dynamics, AbstractThermostat)
        if thermostat != ("D" in self.word):
            what = "needs the letter D for its thermostat" if thermostat else "has no thermostat for the letter D"
            raise InputError(f"{type(dynamics).__name__} {what}, but the word is {self.word!r}; use {advice(dynamics)}")

    def refused_geometry(self, geometry: AbstractGeometry) -> str | None:
        return None if isinstance(geometry, AbstractManifold) else super().refused_geometry(geometry)

    @property
    def name(self) -> str:
        """The word."""
        return self.word

    @property
    def order(self) -> int:
        return 2 if self.word == self.word[::-1] else 1

    def moves_auxiliary(self, dynamics: AbstractDynamics) -> bool:
        # By the letters O and D, where the law says how.
        own = type(dynamics)
        return issubclass(own, AbstractDamped) and (
            own.thermal is not AbstractDamped.thermal or issubclass(own, AbstractThermostat)
        )

    def requires(self) -> tuple[type, ...]:
        return (AbstractDamped,)

    def normals(self, dynamics: AbstractDynamics) -> int:
        return self.word.count("O") * noise_count(dynamics)

    @property
    def _carries(self) -> bool:
        """Tell whether the force at the end of a step is the first one of the next."""
        return self.word.strip("OD")[0] == "B" and self.word.strip("OD")[-1] == "B"

    def init(
        self,
        dynamics: AbstractDynamics,
        position: Vector,
        step_size: ArrayLike,
        velocity: Vector | None = None,
        clock: Clock | None = None,
    ) -> State:
        del step_size
        if isinstance(dynamics, KleinKramers):
            return State(position, clock=clock, memory=begun(dynamics, position))
        assert isinstance(dynamics, AbstractDamped)
        force = dynamics.force(start_of(dynamics, clock), position) if self._carries else None
        start, auxiliary = start_velocity(dynamics, position, velocity), dynamics.initial_auxiliary(position)
        return State(position, start, clock=clock, memory=force, auxiliary=auxiliary)

    def counts(self, dynamics: AbstractDynamics) -> tuple[int, int] | None:
        # The force on a density is taken once, at all positions.
        return (0, 1) if isinstance(dynamics, KleinKramers) else None

    def remark(self, state: State) -> str:
        return said(state.memory)

    def step(self, dynamics: AbstractDynamics, state: State, step_size: ArrayLike, draws: Draws = Draws()) -> State:
        h = jnp.asarray(step_size)
        if isinstance(dynamics, KleinKramers):
            end, memory = moved(self.word, dynamics, state.position, h, state.memory)
            return State(end, clock=None if state.clock is None else state.clock.tick(h), memory=memory)
        assert isinstance(dynamics, AbstractDamped)
        mass = dynamics.mass
        # Coefficients that change with time are those of the middle of the step.
        time = None if state.clock is None else state.clock.after(0.5 * h)
        position, velocity, force = state.position, state.velocity, state.memory
        normals, count, auxiliary = draws.noise, noise_count(dynamics), state.auxiliary
        space = manifold(dynamics)
        for letter in self.word:
            part = h / self.word.count(letter)
            if letter == "A":
                force = None
                if space is None:
                    position = combine((1, position), (part, velocity))
                else:
                    position, velocity = space.glide(position, velocity, part)
            elif letter == "B":
                if force is None:
                    known = state.evaluation if position is state.position else None
                    at = dynamics.evaluate(time, Phase(position), draws.batch) if known is None else known
                    force = dynamics.force_of(time, at)
                velocity = combine((1, velocity), (part / mass, force))
            elif letter == "D":
                assert isinstance(dynamics, AbstractThermostat)
                auxiliary = dynamics.thermostat(time, part, velocity, auxiliary)
            else:
                own, normals = normals[len(normals) - count :], normals[: len(normals) - count]
                own = noise_at(space, position, own)
                velocity, auxiliary = dynamics.thermal(time, part, velocity, auxiliary, own)
        clock = None if state.clock is None else state.clock.tick(h)
        return State(position, velocity, clock=clock, memory=force if self._carries else None, auxiliary=auxiliary)
