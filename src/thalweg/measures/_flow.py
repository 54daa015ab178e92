"""A flow of a distribution, by a name of its own."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from .._errors import InputError, check_count, check_number
from .._loops.run import run
from .._measures.base import AbstractMeasure, known
from .._measures.carried import carrying
from .._measures.functional import AbstractFunctional, as_measure
from .._methods.method import Method
from .._records.run import Record, Run
from .._typed import typed
from ..dynamics import GradientFlow, NonreversibleFlow
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
    drift: Callable | None = None,
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
        drift: b, a function of a point (d,) that gives a velocity (d,): the law is `tw.NonreversibleFlow`, with
            $-\nabla\cdot(q\,b)$ added to the rate. F then need not fall, and its dissipation is not kept.
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
    space = Wasserstein() if geometry is None else geometry
    law = (
        GradientFlow(functional, geometry=space)
        if drift is None
        else NonreversibleFlow(functional, drift, geometry=space)
    )
    if isinstance(law, NonreversibleFlow):
        # Before a scheme is looked for, each of which would refuse it in words of its own.
        pushed = carrying(law.drift, start, "upwind")
        if known(*jax.tree.leaves(pushed)) and not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(pushed)):
            raise InputError("drift must be finite all over the start, but is not everywhere")
    method = Method(law, chosen(law, start) if scheme is None else scheme, float(time) / count)
    if "record" not in options:
        options["record"] = _record(method, start, count)
    return run(method, start, count, **options)


def _record(method: Method, start: AbstractMeasure, steps: int) -> Record:
    functional: Any = method.objective
    stride = max(1, steps // _FRAMES)
    if not isinstance(functional, AbstractFunctional) or functional.without_value(start):
        return Record((), positions=stride)
    # With noise the objective is what the noise is not, whose slope is no dissipation; nor is it that with a drift.
    return Record(
        ("loss",) if method.normals or isinstance(method.dynamics, NonreversibleFlow) else ("loss", "gradient_norm"),
        positions=stride,
    )
