"""Laws that move along the marginals of a noising."""

from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, Float

from .._errors import InputError
from .._noising.base import AbstractNoising
from .._noising.predictions import AbstractPrediction, Parts, Score, as_prediction
from .._objectives.objective import AbstractObjective, Batch
from .._tree import Unravel, Vector, combine, copied
from ._base import AbstractFirstOrder, Evaluation, Phase, Time


class AbstractDiffusing(AbstractFirstOrder):
    r"""A first-order law whose densities are those of a noising, $x_t = \alpha x_0 + \sigma\varepsilon$.

    With what is predicted of data and noise, D and $\varepsilon$, and $\eta$ of the noise of its own,

    $$v = \alpha' D + \bigl(\sigma' + \eta^2(\sigma' - \sigma\alpha'/\alpha)\bigr)\varepsilon$$
    """

    part: ClassVar[str] = "noising"
    noising: AbstractNoising = eqx.field()
    score: AbstractPrediction = eqx.field(converter=as_prediction)
    objective: ClassVar[None] = None

    def __check_init__(self) -> None:
        if not isinstance(self.noising, AbstractNoising):
            raise InputError(
                f"noising must be a noising such as tw.networks.VariancePreserving(), but is {self.noising!r}"
            )
        if not isinstance(self.score, AbstractPrediction):
            raise InputError(
                "score must be a function of (t, x), or a prediction such as tw.networks.Denoiser(fn), but is "
                f"{self.score!r}"
            )

    @property
    def autonomous(self) -> bool:
        return False

    @property
    def own_noise(self) -> ArrayLike:
        r"""$\eta$, how much of the noise of the reversed law it has; 0 for the flow."""
        return 0.0

    @property
    def constants(self) -> dict[str, ArrayLike]:
        return {}

    def parts(self, time: Time, x: Vector) -> Parts:
        """The data and the noise that are predicted at x."""
        assert time is not None
        return self.score.parts(self.noising, self._within(time, time), x)

    def evaluate(self, time: Time, phase: Phase, batch: Batch = None) -> Evaluation:
        del time, batch
        return Evaluation(phase.position)

    def rates(self, time: Time, phase: Phase, evaluation: Evaluation) -> Phase:
        del evaluation
        assert time is not None
        time = self._within(time, self.noising.beside(time))
        signal, fades = self.noising.signal_and_rate(time)
        noise, grows = self.noising.noise_and_rate(time)
        clean, mixed = self.parts(time, phase.position)
        eta = self.own_noise
        if not (isinstance(eta, float) and eta == 0.0):
            grows = grows + jnp.asarray(eta) ** 2 * (grows - noise * fades / signal)
        return Phase(combine((fades, clean), (grows, mixed)))

    def _within(self, time: Array, found: Array) -> Array:
        """A time; no number where there is no noising, so that a motion that leaves it is not followed in silence."""
        end = self.noising.end
        slack = 4.0 * jnp.finfo(end.dtype).eps * end
        return jnp.where((time >= -slack) & (time <= end + slack), found, jnp.nan)

    def with_objective(self, objective: AbstractObjective | None) -> "AbstractDiffusing":
        del objective
        return self

    def with_field(self, field: Callable) -> "AbstractDiffusing":
        return copied(self, score=Score(field))

    def flattened(self, cut: Unravel) -> "AbstractDiffusing":
        """The same law on raveled parameters."""
        return copied(self, score=self.score.flattened(cut))

    def check_times(self, times: Float[Array, " states"] | None, takes_rates: bool) -> None:
        """Refuse times at which the noising is none, or its prediction says nothing."""
        # Inside of a program that is traced, too: what is known is known there.
        with jax.ensure_compile_time_eval():
            self._check_times(times, takes_rates)

    def _check_times(self, times: Float[Array, " states"] | None, takes_rates: bool) -> None:
        if times is None or isinstance(times, Tracer) or isinstance(self.noising.end, Tracer):
            return
        held, end = np.asarray(times), float(self.noising.end)
        if np.min(held) < 0.0 or np.max(held) > end * (1.0 + 4.0 * float(jnp.finfo(self.noising.end.dtype).eps)):
            raise InputError(
                f"times must be between 0 and {end:g}, the end of {type(self.noising).__name__}, but are from "
                f"{held[0]:g} to {held[-1]:g}"
            )
        # The last state is not looked at by a scheme that predicts where its steps begin.
        first = np.max(held) if held[0] > held[-1] or takes_rates else np.max(held[:-1])
        signal = self.noising.signal(first)
        if isinstance(signal, Tracer) or float(signal) > 0.0:
            return
        kind = type(self.score).__name__
        if not self.score.at_no_signal:
            raise InputError(
                f"at time {first:g} there is no signal, where {self.score.what} says nothing of the data; let the "
                f"times be below it, or predict the data, tw.networks.Denoiser(fn), and not by a {kind}"
            )
        if takes_rates and self.own_noise_is_there:
            raise InputError(
                f"at time {first:g} there is no signal, where the noise of {type(self).__name__} is infinite; let the "
                "times be below it, or use tw.DDIM()"
            )

    @property
    def own_noise_is_there(self) -> bool:
        """Tell whether the law has noise of its own."""
        eta = self.own_noise
        return isinstance(eta, Tracer) or bool(np.asarray(eta) > 0.0)
