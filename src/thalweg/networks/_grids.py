"""Grids of times from noise to data."""

from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from .._errors import InputError, check_choice, check_count, check_number
from .._noising.base import AbstractNoising
from .._typed import typed

_SPACINGS = ("time", "noise", "log_snr", "karras")


@typed()
def time_grid(
    noising: AbstractNoising,
    steps: int,
    spacing: str = "karras",
    *,
    start: Annotated[Any, "a real number"] = None,
    end: Annotated[Any, "a real number"] = None,
    rho: float = 7.0,
    to_data: bool = False,
) -> Float[Array, " states"]:
    r"""Times $t_0 > t_1 > \dots > t_n$ from noise to data, for `tw.Method(law, scheme, times=...)`.

    Both ends are in the grid as they are given. In between one of these is evenly spaced: the time; the noise
    $\sigma/\alpha$; $\log(\alpha/\sigma)$; or, as Karras et al. have it, the root $(\sigma/\alpha)^{1/\rho}$, more of
    whose steps are small the greater $\rho$ is.

    Arguments:
        noising: a `tw.networks` noising.
        steps: how many steps there are in all.
        spacing: "karras", "time", "noise" or "log_snr".
        start: the first time; None is the end of the noising, or where that has no signal the time at which
            $\sigma/\alpha$ is 1000, and for "time" the end itself.
        end: the last time, from 0; None is the one at which $\sigma/\alpha$ is 0.002, and for "time" 0.001 of the end.
        rho: $\rho > 0$, of "karras".
        to_data: whether a last step, of the `steps`, goes from `end` on to 0.

    Returns:
        an array (steps + 1,).

    Raises:
        InputError: the ends are not in the noising or not one after the other, "log_snr" has one at which it is
            infinite, the times are so many that two are the same, or the noising is traced.

    >>> import thalweg as tw
    >>> times = tw.networks.time_grid(tw.networks.VarianceExploding(), 4, to_data=True)
    >>> [round(float(time), 3) for time in times]
    [80.0, 9.723, 0.47, 0.002, 0.0]
    >>> tw.networks.time_grid(tw.networks.RectifiedFlow(), 4, "time", end=0.0).tolist()
    [1.0, 0.75, 0.5, 0.25, 0.0]

    Reference: Karras et al. (2022), equation 5.
    """
    count = check_count("steps", steps, at_least=2 if to_data else 1)
    check_choice("spacing", spacing, _SPACINGS)
    check_number("rho", rho, above=0.0)
    with jax.ensure_compile_time_eval():
        return _grid(noising, count, spacing, start, end, rho, to_data)


def _grid(
    noising: AbstractNoising, count: int, spacing: str, start: Any, end: Any, rho: float, to_data: bool
) -> Float[Array, " states"]:
    if isinstance(noising.end, Tracer) or isinstance(noising.noise(noising.end), Tracer):
        raise InputError(
            "a grid of times is made of known numbers, but the noising is traced; make it outside of what is compiled"
        )
    last, even = float(noising.end), spacing == "time"
    for name, value in (("start", start), ("end", end)):
        if value is not None:
            check_number(name, value, at_least=0.0, at_most=last)
    if start is None:
        lit = even or float(noising.signal(last)) > 1e-3 * float(noising.noise(last))
        start = last if lit else float(noising.time_at(-np.log(1000.0)))
    if end is None:
        end = 1e-3 * last if even else float(noising.time_at(-np.log(0.002)))
    start, end = float(start), float(end)
    if not start > end:
        raise InputError(
            f"the times go from noise to data, but start is {start:g} and end {end:g}; give start above end"
        )
    if to_data and end == 0.0:
        raise InputError("to_data adds a step from end to 0, but end is 0 already; leave one of them out")
    part = np.linspace(0.0, 1.0, count if to_data else count + 1)
    ends = np.array([start, end])
    if even:
        times = start + part * (end - start)
    elif spacing == "log_snr":
        levels = np.asarray(noising.log_snr(ends), float)
        if not np.all(np.isfinite(levels)):
            where = ends[~np.isfinite(levels)][0]
            raise InputError(f'log_snr is infinite at time {where:g}; let start and end be inside, or take "karras"')
        times = np.asarray(noising.time_at(levels[0] + part * (levels[1] - levels[0])))
    else:
        power = rho if spacing == "karras" else 1.0
        with np.errstate(divide="ignore"):
            ratio = np.asarray(noising.noise(ends) / noising.signal(ends), float)
        if not np.all(np.isfinite(ratio)):
            raise InputError(f'the noise over the signal is infinite at time {start:g}; give a start below, or "time"')
        roots = ratio ** (1.0 / power)
        with np.errstate(divide="ignore"):
            levels = -np.log((roots[0] + part * (roots[1] - roots[0])) ** power)
        times = np.asarray(noising.time_at(levels), float)
    times = np.array(times, float)
    # Not what a way there and back has made of them.
    times[0], times[len(part) - 1] = start, end
    times = jnp.asarray(np.append(times, 0.0) if to_data else times, float)
    if not np.all(np.diff(np.asarray(times)) < 0.0):
        raise InputError(f"{count} steps are so many that two times are the same in {times.dtype}; take fewer")
    return times
