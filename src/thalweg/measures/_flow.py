"""A flow of a distribution, by a name of its own."""

from typing import Any

from .._errors import check_count, check_number
from .._loops.run import run
from .._measures.base import AbstractMeasure
from .._measures.functional import AbstractFunctional, as_measure
from .._methods.method import Method
from .._records.run import Record, Run
from .._typed import typed
from ..dynamics import GradientFlow
from ..geometry import AbstractDensityGeometry, Wasserstein
from ..schemes import AbstractScheme
from ._choice import chosen

# Steps of who names none, and pictures of a flow that are kept on its way.
_STEPS, _FRAMES = 200, 100


@typed()
def flow(
    functional: AbstractFunctional,
    start: AbstractMeasure,
    time: Any,
    *,
    geometry: AbstractDensityGeometry | None = None,
    scheme: AbstractScheme | None = None,
    steps: int | None = None,
    **options: Any,
) -> Run:
    r"""Move a distribution the way on which a functional falls fastest in a geometry.

    $$\partial_t q = -\operatorname{grad}F[q],\qquad
      \frac{dF}{dt} = -\|\operatorname{grad}F\|^2$$

    Short for `tw.run` of `tw.Method(tw.GradientFlow(functional, geometry=geometry), scheme, time / steps)`.

    Arguments:
        functional: F, of `tw.measures`.
        start: the distribution at the start, a `tw.measures.Grid`, `Particles`, `Quantiles` or `Gaussian`, which also
            says how the flow is computed.
        time: how long, in units of the law's time.
        geometry: a geometry of distributions; None is `tw.geometry.Wasserstein()`.
        scheme: None for the first that takes the three together, as `tw.measures.table()` lists them.
        steps: how many; 200 if None.
        options: of `tw.run`: `key` (needed where particles have noise), `record`, `out`, `resume`, `progress`, `stop`.
            Where none is given, the free energy ("loss"), the root of its dissipation ("gradient_norm") and some 100
            distributions on the way (`.trace`) are kept.

    Returns:
        a `tw.Run`: `.final.position` is the distribution at the end.

    Raises:
        InputError: before anything is traced or written; where the three do not go together, with the reason.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> F = tw.measures.KL(tw.measures.Gaussian(0.0, 1.0))
    >>> end = tw.measures.flow(F, tw.measures.Gaussian(1.0, 4.0), 1.0).final.position
    >>> round(float(end.mean[0]), 6)  # exp(-1)
    0.367879

    Reference: Jordan, Kinderlehrer and Otto (1998); Otto (2001).
    """
    as_measure(start)
    check_number("time", time, above=0.0)
    count = _STEPS if steps is None else check_count("steps", steps)
    law = GradientFlow(functional, geometry=Wasserstein() if geometry is None else geometry)
    method = Method(law, chosen(law, start) if scheme is None else scheme, float(time) / count)
    if "record" not in options:
        options["record"] = _record(method, start, count)
    return run(method, start, count, **options)


def _record(method: Method, start: AbstractMeasure, steps: int) -> Record:
    functional: Any = method.objective
    stride = max(1, steps // _FRAMES)
    if not isinstance(functional, AbstractFunctional) or functional.without_value(start):
        return Record((), positions=stride)
    # With noise the objective is what the noise is not, whose slope is no dissipation.
    return Record(("loss",) if method.normals else ("loss", "gradient_norm"), positions=stride)
