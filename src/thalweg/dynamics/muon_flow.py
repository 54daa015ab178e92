"""Muon's flow: steepest descent of an averaged gradient in the spectral norm of every matrix."""

from collections.abc import Iterator
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, PyTree

from .._dictionary.shapes import LAYOUTS, SCALINGS, shape_factor
from .._errors import InputError, as_reals, check_choice, check_count, check_number
from .._objectives.objective import AbstractObjective, as_objective
from .._tree import Vector, on_device, optional_scalar, wide
from ..geometry._newton_schulz import QUINTIC, newton_schulz
from ..geometry._polar import polar_factor
from ._base import AbstractFirstOrder, Coefficient, Evaluation, Phase, Time, at_time, check_coefficient
from ._remembering import AbstractRemembering
from .adam_flow import AdamFlow
from .gradient_flow import as_rate

_DTYPES = ("bfloat16", "float16", "float32")


def _coefficients(value: Any) -> Any:
    return value if isinstance(value, jax.Array) else on_device(as_reals("coefficients", value), float)


class MuonFlow(AbstractFirstOrder, AbstractRemembering):
    r"""Descent along the polar factor of an average of the gradient, matrix by matrix; of other arrays, as Adam.

    $$\dot m = \frac{g - m}{\tau},\qquad \dot\theta = -b(t)\bigl(\kappa\,D(\hat m) + \lambda\theta\bigr),\qquad
      D(USV^\top) = U\,p(S/\|S\|)\,V^\top$$

    with $\hat m = m/(1 - e^{-t/\tau})$, which at $t = 0$ is the gradient g. D is nearly $UV^\top$, the unit direction
    of the spectral norm, `tw.geometry.Norm("spectral", unit=True)`: p is five Newton-Schulz iterations of a quintic,
    which take singular values from 0.0021 to 1 of the Frobenius norm to between 0.68 and 1.21, and smaller ones to 485
    times as much, at most. With `iterations=None` it is $UV^\top$ itself, smooth where the average has full rank.

    Arrays of two axes are matrices. All others move by `others`, with memory times of their own, as in the frameworks:
    biases, and arrays of more axes such as kernels of convolutions, unless they are `stacked`.

    Arguments:
        objective: $f$, a `tw.Objective` or a function of the parameters.
        rate: $b$, a positive number or a function of time, of the matrices.
        first: $\tau > 0$, the memory time of their gradient, in the law's units of time; None for no memory, m = g.
        decay: $\lambda \ge 0$, of the matrices themselves; None is 0.
        others: the law of what is no matrix, `tw.AdamFlow(None, ...)` with its own rate and decay. As in optax its
            $\varepsilon$ is also added to the Frobenius norm by which D divides.
        iterations: of Newton and Schulz; None for the exact polar factor, by a singular value decomposition.
        coefficients: (a, b, c) of the quintic $as + bs^3 + cs^5$, or such a row for every iteration, (iterations, 3).
        layout: the way a weight lies: "in_out", as of Flax, Keras and optax, x @ W; or "out_in", as of torch and
            Equinox, W @ x.
        scaling: $\kappa$ of a weight from n inputs to m outputs: "original", $\sqrt{\max(1, m/n)}$, as in optax and
            torch; "match_rms_adamw", $0.2\sqrt{\max(m, n)}$, torch's name for optax's `consistent_rms=0.2`; or "none",
            which is 1.
        corrected: the average is corrected for its start, as in optax; torch does not, which matters where it is mixed
            with the newest gradient, `tw.LieTrotter(nesterov=True)`.
        stacked: arrays of more than two axes are stacks of matrices, the last two axes each.
        iteration_dtype: the precision to iterate in, "bfloat16" as in torch; None is that of the average.

    Raises:
        InputError: a number is out of its range, a name is unknown, or the law of the others has an objective.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> flow = tw.MuonFlow(lambda x: jnp.sum(x * jnp.array([[3.0, 0.0], [0.0, 0.5]])), iterations=None)
    >>> run = tw.run(tw.Method(flow, tw.LieTrotter(), 0.5), jnp.zeros((2, 2)), 2)
    >>> run.final.position.round(6).tolist()  # all singular values of the gradient are made 1
    [[-1.0, 0.0], [0.0, -1.0]]

    Reference: Jordan et al. (2024).
    """

    objective: AbstractObjective | None = eqx.field(converter=as_objective)
    rate: Coefficient = eqx.field(default=1, converter=as_rate)
    first: Float[Array, ""] | None = eqx.field(default=1.0, converter=optional_scalar)
    decay: Float[Array, ""] | None = eqx.field(default=None, converter=optional_scalar)
    others: AdamFlow = eqx.field(default_factory=lambda: AdamFlow(None, first=0.5, second=50.0))
    iterations: int | None = eqx.field(default=5, static=True)
    coefficients: Float[Array, "..."] = eqx.field(default=QUINTIC, converter=_coefficients)
    layout: str = eqx.field(default="in_out", static=True)
    scaling: str = eqx.field(default="original", static=True)
    corrected: bool = eqx.field(default=True, static=True)
    stacked: bool = eqx.field(default=False, static=True)
    iteration_dtype: str | None = eqx.field(default=None, static=True)

    elementwise: ClassVar[bool] = False

    def __check_init__(self) -> None:
        check_coefficient("rate", self.rate, above=0.0)
        if self.first is not None:
            check_number("first, a memory time,", self.first, above=0.0)
        if self.decay is not None:
            check_number("decay", self.decay, at_least=0.0)
        check_choice("layout", self.layout, LAYOUTS)
        check_choice("scaling", self.scaling, SCALINGS)
        if self.iteration_dtype is not None:
            check_choice("iteration_dtype", self.iteration_dtype, _DTYPES)
            if self.iterations is None:
                raise InputError("iteration_dtype is of an iteration; give iterations=5 with it, or leave it out")
        if self.iterations is not None:
            rows = check_count("iterations", self.iterations)
            if self.coefficients.shape not in ((3,), (rows, 3)):
                raise InputError(
                    f"coefficients must be three numbers, or three for each of the {rows} iterations, but have shape "
                    f"{self.coefficients.shape}"
                )
        if not isinstance(self.others, AdamFlow):
            raise InputError(
                f"others must be the law of what is no matrix, tw.AdamFlow(None, ...), but is {self.others!r}"
            )
        if self.others.objective is not None:
            raise InputError("others moves by the gradient of this law; give it no objective, tw.AdamFlow(None, ...)")

    @property
    def autonomous(self) -> bool:
        return self.others.autonomous and not callable(self.rate)

    @property
    def has_auxiliary(self) -> bool:
        return self.first is not None or self.others.has_auxiliary

    @property
    def takes_position(self) -> bool:
        return self.decay is not None or self.others.takes_position

    @property
    def looks_ahead(self) -> bool:
        return self._mean.looks_ahead and self.others.looks_ahead

    @property
    def without_probe(self) -> str:
        return (
            "steps of length h change the singular values of a matrix by about h, so that they end in circling a "
            "minimum at a distance of about h; without memory they lower f as long as they are below 2/L times the sum "
            "of the singular values of its slope, L the largest curvature <D, HD> of a D whose singular values are at "
            "most 1"
        )

    def initial_auxiliary(self, position: Vector) -> PyTree:
        if not self.has_auxiliary:
            return None
        matrices, others = self._parted(position)
        return {"matrices": self._mean.initial_auxiliary(matrices), "others": self.others.initial_auxiliary(others)}

    def averaged(self, duration: ArrayLike, phase: Phase, evaluation: Evaluation) -> PyTree:
        if not self.has_auxiliary:
            return None
        matrices, others = self._both(phase, evaluation)
        return {
            "matrices": self._mean.averaged(duration, *matrices),
            "others": self.others.averaged(duration, *others),
        }

    def weights(self, auxiliary: PyTree, ahead: ArrayLike | None = None) -> Any:
        own = auxiliary or dict.fromkeys(("matrices", "others"))
        return self._mean.weights(own["matrices"], ahead), self.others.weights(own["others"], ahead)

    def drift(self, time: Time, phase: Phase, evaluation: Evaluation, weights: Any) -> Vector:
        matrices, others = self._both(phase, evaluation)
        slopes = self._mean.drift(time, *matrices, weights[0])
        return self._velocity(time, phase.position, slopes, self.others.drift(time, *others, weights[1]))

    def rates(self, time: Time, phase: Phase, evaluation: Evaluation) -> Phase:
        matrices, others = self._both(phase, evaluation)
        mean, rest = self._mean.rates(time, *matrices), self.others.rates(time, *others)
        auxiliary = {"matrices": mean.auxiliary, "others": rest.auxiliary} if self.has_auxiliary else None
        return Phase(self._velocity(time, phase.position, mean.position, rest.position), auxiliary=auxiliary)

    @property
    def _mean(self) -> AdamFlow:
        """The law of the average, whose velocity is the average downhill."""
        return AdamFlow(None, first=self.first, second=None, form="frozen", corrected=self.corrected)

    def _velocity(self, time: Time, position: Vector, slopes: list[Array], others: list[Array]) -> Vector:
        """The velocity of all from the averages downhill of the matrices and the velocity of the others."""
        rate = at_time(self.rate, time)
        leaves, structure = jax.tree.flatten(position)
        first, second = iter(slopes), iter(others)
        found = [self._direction(x, next(first), rate) if self._is_matrix(x) else next(second) for x in leaves]
        return jax.tree.unflatten(structure, found)

    def _direction(self, x: Array, slope: Array, rate: Any) -> Array:
        """The velocity of one matrix. D is odd, so that downhill it is D of what points there."""
        if self.iterations is None:
            unit = polar_factor(slope)
        else:
            rows = jnp.broadcast_to(self.coefficients, (self.iterations, 3))
            unit = newton_schulz(slope, rows, self.others.epsilon, self.iteration_dtype)
        kappa = shape_factor(x.shape, self.layout, self.scaling)
        found = unit if kappa == 1.0 else jnp.asarray(kappa, unit.dtype) * unit
        if self.decay is not None:
            found = found - self.decay.astype(found.dtype) * x.astype(found.dtype)
        return (found if isinstance(rate, int) else jnp.asarray(rate, found.dtype) * found).astype(x.dtype)

    def _is_matrix(self, leaf: Array) -> bool:
        return leaf.ndim == 2 or (self.stacked and leaf.ndim > 2)

    def _parted(self, tree: Vector) -> tuple[list[Array], list[Array]]:
        leaves = jax.tree.leaves(tree)
        return [x for x in leaves if self._is_matrix(x)], [x for x in leaves if not self._is_matrix(x)]

    def _both(self, phase: Phase, evaluation: Evaluation) -> Iterator[tuple[Phase, Evaluation]]:
        """The phase and the gradient of the matrices, in which an average is not rounded, and of the others."""
        (matrices, others), slopes = self._parted(phase.position), self._parted(evaluation.gradient)
        own: dict[str, Any] = phase.auxiliary or dict.fromkeys(("matrices", "others"))
        for name, x, g in (("matrices", wide(matrices), slopes[0]), ("others", others, slopes[1])):
            yield Phase(x, auxiliary=own[name]), Evaluation(x, gradient=g)
