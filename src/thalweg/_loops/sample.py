"""Sampling: many chains of a method, what they drew, and how well."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from .._errors import InputError, as_key, check_choice, check_count
from .._methods.drawing import STARTS
from .._methods.method import Method
from .._objectives.objective import as_position
from .._objectives.stream import Stream
from .._records.directory import check_out
from .._records.keeper import AbstractKeeper, Files, Memory, Summing
from .._records.sums import Sums
from .._tree import on_device
from .._typed import typed
from ..dynamics import AbstractDynamics, AbstractNoisy
from ..dynamics._base import check_flat
from ..schemes import AbstractScheme
from .drive import drive
from .sampling import Sampling
from .sampling_step import warn
from .starting import check_host
from .stopwatch import Stopwatch


@typed("method")
def sample(
    method: Method | AbstractDynamics,
    x0: PyTree | Callable,
    draws: int = 1000,
    chains: int = 4,
    warmup: int = 1000,
    thin: int = 1,
    key: Any = 0,
    *,
    keep: str = "draws",
    scheme: AbstractScheme | None = None,
    energies: bool | None = None,
    diagnostics: bool | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    progress: bool | None = None,
    source: Mapping[str, Any] | None = None,
) -> Any:
    r"""Draw from the law to which a method settles: several chains side by side.

    A method of temperature T samples $p(\theta) \propto e^{-f(\theta)/T}$, up to the bias of its step; with T = 1
    and f a negative log density, that density.

    Arguments:
        method: a `tw.Method` that draws, such as `tw.sgld(f, 0.1)`; or a law of motion with a temperature, such as
            `tw.UnderdampedLangevin(f, friction=1.0, temperature=1.0)`, for which the step is chosen: by the curvature
            where the chains go, half its stability limit or less, such that a Gaussian of that curvature is sampled
            within 2 %. A law in a geometry needs its step, as a `tw.Method`.
        x0: the start of every chain, a pytree of float arrays; or a function of a key that draws one.
        draws: how many are kept of each chain.
        chains: how many.
        warmup: draws thrown away at first.
        thin: steps a draw.
        key: a seed or JAX key.
        keep: "draws", or "moments": means and variances alone, in the memory of a few hundred draws however many
            there are.
        scheme: of a law without a step; BAOAB, or the method of Leimkuhler and Matthews for an overdamped law, if None.
        energies: whether to keep the energy of every draw, one evaluation of f; None does so for draws.
        diagnostics: whether to compute effective sample sizes and the like; None does so up to 500 parameters.
        out: a directory to write to as it goes; None keeps the draws in memory.
        resume: go on from the last checkpoint in `out` (from the start, if there is none yet), to the same draws, bit
            for bit, as if it had never been stopped.
        progress: True or False; None shows it where it takes longer than a second.
        source: what `thalweg resume` needs to rebuild the method, kept in run.toml.

    Returns:
        an `xarray.DataTree` as ArviZ takes it: `posterior` (chain, draw, ...); `sample_stats` with `energy`,
        `potential` and `kinetic_temperature`, where they are kept; `diagnostics` over `statistic`: mean, sd, mcse_mean,
        mcse_sd, ess_bulk, ess_tail, r_hat (by ArviZ), and `bfmi`. Its attributes tell the method, status, gradients,
        `warnings` and `notes`, and the counts behind them: `nonfinite_potentials`, `nonfinite_gradients`,
        `energy_jumps`, `unmoved_chains`, `kinetic_temperature`.

    Raises:
        InputError: before anything is traced or written, with one line that says what is wrong.
        RecordError: the directory could not be written.
        KeyboardInterrupt: Ctrl-C, once all is saved (what is in memory is returned instead).

    Warns:
        SamplingWarning: the step is beyond its stability limit, its bias is large, or mini-batches heat the chains;
            potential or gradient are not finite where chains come by; the energy jumps, or the kinetic temperature is
            none that the step makes; chains never move; f holds them nowhere; r-hat is above 1.01 or an effective
            sample size below 400.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> f = lambda x: 0.5 * jnp.sum(jnp.array([1.0, 4.0]) * x**2)
    >>> tree = tw.sample(tw.UnderdampedLangevin(f, friction=1.0, temperature=1.0), jnp.zeros(2), draws=4000)
    >>> tree["posterior"]["x"].shape
    (4, 4000, 2)
    >>> tree["diagnostics"]["x"].sel(statistic="sd").round(1).values.tolist()
    [1.0, 0.5]

    Reference: for the diagnostics, Vehtari et al. (2021).
    """
    from .._records.samples import require_soon

    watch = Stopwatch()
    check_host("tw.sample", method, x0, key)
    method = _check(method, scheme, keep, energies, diagnostics, resume, out)
    counts = {
        "draws": check_count("draws", draws), "chains": check_count("chains", chains),
        "warmup": check_count("warmup", warmup, at_least=0), "thin": check_count("thin", thin),
    }  # fmt: skip
    key, moments = as_key(key), keep == "moments"
    starts = _starts(x0, key, counts["chains"])
    require_soon()
    job = Sampling(
        method, starts, **counts, key=key, moments=moments, energies=not moments if energies is None else energies,
        scheme=scheme, watch=watch, by_command=source is not None,
    )  # fmt: skip
    memory = Memory()
    store: AbstractKeeper = memory
    if out is not None:
        config = job.config() | ({} if source is None else {"source": dict(source)})
        store = Files(Path(out), config, resume)
    sums = Sums(job.total, job.warmup, job.blocks.cell) if moments else None
    texts = job.warnings
    try:
        drive(job, store if sums is None else Summing(sums, store), progress)
        arrays = sums or memory.arrays
        tree = job.tree(arrays, diagnostics) if store.path is None else read_samples(store.path, diagnostics)
        texts = json.loads(tree.attrs["warnings"])
        return tree
    except BaseException:
        texts = job.warnings
        raise
    finally:
        for text in texts:
            warn(text)


@typed()
def read_samples(path: str | Path, diagnostics: bool | None = None) -> Any:
    """Read what `tw.sample` wrote to a directory, also where it was killed or is still being written.

    Arguments:
        path: the directory.
        diagnostics: as in `tw.sample`.

    Returns:
        an `xarray.DataTree`, as `tw.sample` gives it; what was drawn after the last checkpoint is left out.

    Raises:
        InputError: it holds no samples, or no checkpoint yet.
    """
    from .._records.samples import read

    return read(Path(path), diagnostics)


def _check(
    method: Any, scheme: Any, keep: Any, energies: Any, diagnostics: Any, resume: bool, out: Any
) -> Method | AbstractDynamics:
    if isinstance(method, Method):
        if scheme is not None:
            raise InputError("a tw.Method has its scheme; give scheme with a law of motion only")
        if not method.stochastic:
            raise InputError(
                "this method draws nothing, so it samples nothing; use tw.run, or a law with a temperature"
            )
    elif not isinstance(method, AbstractDynamics):
        raise InputError(
            "method must be a tw.Method such as tw.sgld(f, 0.1), or a law such as "
            f"tw.UnderdampedLangevin(f, friction=1.0, temperature=1.0), but is {method!r}"
        )
    elif not isinstance(method, AbstractNoisy):
        raise InputError(f"{type(method).__name__} has no noise to sample with; use a law with a temperature")
    law = method.dynamics if isinstance(method, Method) else method
    if not isinstance(law, AbstractNoisy):
        # What mini-batches alone settle to is known of no geometry.
        check_flat(law, "sampling")
    if method.objective is None:
        raise InputError("this method was built without an objective; give one to sample, such as tw.sgld(f, 0.1)")
    if isinstance(method.objective, Stream):
        raise InputError(
            "sampling from a stream is not built: give a tw.FiniteSum, or make one path of it with tw.run(method, ...)"
        )
    check_choice("keep", keep, ("draws", "moments"))
    for name, value in (("energies", energies), ("diagnostics", diagnostics)):
        if value is not None and not isinstance(value, bool):
            raise InputError(f"{name} must be True, False or None, but is {value!r}")
    check_out(out, resume)
    return method


def _starts(x0: Any, key: Any, chains: int) -> PyTree:
    if callable(x0):
        keys = jax.random.split(jax.random.fold_in(key, STARTS), chains)
        try:
            each = [as_position(x0(one)) for one in keys]
        except InputError:
            raise
        except Exception as error:
            raise InputError(f"x0, a function of a key, raised {type(error).__name__}: {error}") from error
        first, *others = [[(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(start)] for start in each]
        if any(other != first for other in others):
            raise InputError("x0 must draw starts of the same shapes and dtypes for every key")
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *each)
    x0 = as_position(x0)
    return jax.tree.map(lambda leaf: on_device(np.broadcast_to(leaf, (chains, *leaf.shape))), x0)
