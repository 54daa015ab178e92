"""The step of a sampler: chosen by the curvature, and what is wrong with one that was given."""

import math
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from scipy.linalg import LinAlgWarning

from .. import schemes
from .._errors import InputError
from .._methods.drawing import JUDGED, PILOT
from .._methods.linearity import has_limit
from .._methods.method import Method
from .._methods.probe import largest_stable_step
from .._methods.stationary import stationary_covariance
from .._objectives.curvature import curvature_scale
from .._objectives.finite_sum import FiniteSum
from .._objectives.noise import gradient_noise
from .._tree import Unravel, on_device, size
from ..dynamics import AbstractDynamics
from ..geometry.base import named
from ..schemes import AbstractScheme, State
from ..schemes._advice import advice, right_scheme
from .chains import Plan, acceptance, advance, start_chains

# Of the stability limit on a Gaussian; a law with tails needs the other half.
_FRACTION = 0.5
_BIAS, _LARGE_BIAS = 0.02, 0.1
# The curvature is looked at where so many chains come by (or all, where they are not many more), at so many points of
# each, so many steps apart.
_PILOT_CHAINS, _PILOT_MOST, _POINTS, _PILOT_STEPS, _PILOTS, _HALVINGS = 4, 8, 16, 16, 3, 12
_NOISE_SAMPLES = 1000
# The acceptance at which Metropolis-adjusted Langevin moves fastest in many dimensions (Roberts and Rosenthal 1998).
_ACCEPTANCE, _FEW = 0.574, 0.1
_ROUNDS, _GAIN = 12, 3.0


class SamplingWarning(UserWarning):
    """A fault of a set of draws, with its cause and remedy."""


def warn(text: str) -> None:
    """Warn the caller of `tw.sample`."""
    warnings.warn(text, SamplingWarning, stacklevel=4)


class Chunks(NamedTuple):
    """Chunks of the run itself, whose compiled program looks for the step, too.

    `move(method, states, key, low, high)` makes the draws from `low` to `high`, of `thin` steps each.
    """

    move: Callable[[Method, State, Any, int, int], State]
    thin: int


def draft(law: AbstractDynamics, scheme: AbstractScheme | None) -> Method:
    """A law with a scheme, the step still to be found."""
    found = Method(law, scheme or _default_scheme(law), 1.0)
    if law.geometry is not None:
        raise InputError(
            f"a step is chosen by the curvature of flat space, but {type(law).__name__} has the geometry "
            f"{named(law.geometry)}; give one: tw.Method(law, {advice(law)}, step_size)"
        )
    if not found.autonomous:
        raise InputError("a law that changes in time needs a step: tw.Method(law, scheme, step_size)")
    return found


def choose_step(found: Method, cut: Unravel, positions: Any, key: Any, chunks: Chunks) -> Method:
    """A method with a step that suits where its chains come by.

    Arguments:
        found: a draft.
        cut: makes a tree of a raveled position.
        positions: of the chains, (chains, d).
        key: of the run.
        chunks: of the run.
    """
    scheme = found.scheme
    curvature = _curvature(found, cut, np.asarray(positions)[:1])
    if not curvature:
        raise InputError(
            "a step is chosen by the curvature at the start, which is zero or cannot be had; "
            f"give one: tw.Method(law, {scheme!r}, step_size)"
        )
    if len(positions) > _PILOT_MOST:
        positions, chunks = positions[:_PILOT_CHAINS], _few(found.flattened(cut), positions)
    if scheme.exact_law:
        return _by_acceptance(found, cut, positions, curvature, key, chunks)
    found = found.with_step_size(_step(found, curvature))
    ends, rounds = positions, 0
    for _ in range(_HALVINGS):
        states, passed = _pilot(found.flattened(cut), ends, jax.random.fold_in(key, rounds), chunks)
        if not np.isfinite(passed).all():
            found = found.with_step_size(_short(0.5 * float(found.step_size)))  # pyright: ignore[reportArgumentType]
            continue
        # The farther the chains have gone, the better is it known where they go.
        ends, rounds = states.position, rounds + 1
        curvature = max(curvature, _curvature(found, cut, passed) or 0.0)
        found = found.with_step_size(min(_step(found, curvature), float(found.step_size)))  # pyright: ignore
        if rounds == _PILOTS:
            return found
    raise InputError(f"the chains diverge even at a step of {float(found.step_size):.3g}; begin nearer to the law")  # pyright: ignore


def _default_scheme(law: AbstractDynamics) -> AbstractScheme:
    name, arguments = right_scheme(law)
    return getattr(schemes, name)(*arguments)


def _few(method: Method, positions: Any) -> Chunks:
    """Chunks of a few chains, where those of the run would cost much."""
    plan = Plan.of(method, _PILOT_CHAINS, positions.shape[1], _PILOT_STEPS, False)
    reference = {"position": positions[:_PILOT_CHAINS]}

    def move(method: Method, states: State, key: Any, low: int, high: int) -> State:
        return advance(method, states, key, np.int64(low), np.int64(high), reference, plan, 1, False)[0]

    return Chunks(move, _PILOT_STEPS)


def _pilot(method: Method, positions: Any, key: Any, chunks: Chunks) -> tuple[State, np.ndarray]:
    """Some chains after some steps, and where they came by."""
    states = start_chains(method, positions)
    key, each, passed = jax.random.fold_in(key, PILOT), -(-_PILOT_STEPS // chunks.thin), []
    for i in range(_POINTS):
        states = chunks.move(method, states, key, i * each, (i + 1) * each)
        passed.append(np.asarray(states.position))
    return states, np.concatenate(passed)


def _by_acceptance(method: Method, cut: Unravel, positions: Any, curvature: float, key: Any, chunks: Chunks) -> Method:
    """The step at which a method that rejects accepts as often as is best for it."""
    # The exponent at which the acceptance does not depend on the dimension.
    step = positions.shape[1] ** (-1 / 3) / curvature
    for round_ in range(_ROUNDS):
        trial = method.with_step_size(step).flattened(cut)
        states, _ = _pilot(trial, positions, jax.random.fold_in(key, round_), chunks)
        accepted = acceptance(method, states)
        if accepted is None:
            return method.with_step_size(_short(step))
        found = float(np.mean(np.asarray(accepted)))
        step *= float(np.exp(np.clip(_GAIN / (1 + round_ / 4) * (found - _ACCEPTANCE), -1.5, 1.5)))
        positions = states.position
    return method.with_step_size(_short(step))


def _step(method: Method, curvature: float) -> float:
    """Half the stability limit, or less: where a Gaussian of this curvature has a variance 2 % off."""
    limit = largest_stable_step(method, curvature)
    if not 0 < limit < float("inf"):
        raise InputError(
            f"no step is suggested for {type(method.scheme).__name__}, whose stability limit is {limit}; give one: "
            "tw.Method(law, scheme, step_size)"
        )
    step = _FRACTION * limit
    while abs(_bias(method.with_step_size(step), curvature, limit)) > _BIAS and step > 1e-4 * limit:
        step *= 0.9
    return _short(step)


def _short(step: float) -> float:
    """A step of three digits, which is the same number after it was written and read."""
    unit = 10.0 ** (math.floor(math.log10(step)) - 2)
    return float(f"{math.floor(step / unit) * unit:.3g}")


def _bias(method: Method, curvature: float, limit: float) -> float:
    """Relative error of the variance of a Gaussian, against the law without steps."""
    law = method.dynamics
    try:
        with warnings.catch_warnings():
            # Velocities and positions of a stiff spring are of other sizes, which the solver takes for a bad condition.
            warnings.simplefilter("ignore", LinAlgWarning)
            found = float(stationary_covariance(method, curvature))
            if getattr(law, "canonical", False):
                # Without a temperature there is no variance to be off.
                temperature = float(law.temperature)  # pyright: ignore[reportAttributeAccessIssue]
                return found * curvature / temperature - 1.0 if temperature else 0.0
            return found / float(stationary_covariance(method.with_step_size(1e-3 * limit), curvature)) - 1.0
    except InputError:
        # A law that is not linear has no such prediction.
        return 0.0


def _curvature(method: Method, cut: Callable, positions: Any) -> float | None:
    """The largest curvature at some raveled positions."""
    return max(_curvatures(method, cut, positions), default=0.0) or None


def _curvatures(method: Method, cut: Callable, positions: Any) -> list[float]:
    """The curvature at each where it is finite; none, where the objective has no second derivatives."""
    objective = method.objective
    found = []
    for row in np.asarray(positions):
        try:
            found.append(curvature_scale(objective, cut(on_device(row)), 100, 1e-3))
        except Exception:
            # An objective without second derivatives has none to tell.
            return []
    return [value for value in found if np.isfinite(value)]


class StepFound(NamedTuple):
    """Faults of a step, the largest curvature met, what mini-batches add to the temperature, the usual curvature."""

    texts: list[str]
    curvature: float = 0.0
    heat: float = 0.0
    usual: float = 0.0


def step_warnings(
    method: Method, cut: Unravel, first: Any, positions: np.ndarray, key: Any, acceptance: float | None = None
) -> StepFound:
    """Faults of the step of a method on the way of its chains: one line each, with the cause and the remedy.

    Arguments:
        method: the sampler.
        cut: makes a tree of a raveled position.
        first: where the first chain began.
        positions: some of where the chains have been, (n, d).
        key: of the run.
        acceptance: the fraction of steps that were accepted, None where none is rejected.
    """
    if not method.autonomous:
        return StepFound([])
    texts = []
    rows = [row for row in positions if np.isfinite(np.asarray(row, float)).all()]
    at_start = _curvature(method, lambda tree: tree, [first])
    met = _curvatures(method, cut, rows)
    curvature = max(at_start or 0.0, *met, 0.0)
    step = float(method.step_size)  # pyright: ignore[reportArgumentType]
    # That none was is told of chains that never moved.
    if acceptance is not None and 0.0 < acceptance < _FEW:
        texts.append(f"of the steps of {step:.4g} only {acceptance:.2%} were accepted; take a shorter step")
    if curvature and not method.scheme.exact_law and has_limit(method):
        limit = largest_stable_step(method, curvature)
        bias = _bias(method, curvature, limit) if method.normals and 0 < limit < float("inf") else 0.0
        if step >= limit:
            texts.append(
                f"the step {step:.4g} is beyond its stability limit {limit:.4g} at the largest curvature met, "
                f"{curvature:.4g}; take {_step(method, curvature):.4g}"
            )
        elif abs(bias) > _LARGE_BIAS:
            texts.append(
                f"at the step {step:.4g} the variance in the direction of the largest curvature, {curvature:.4g}, is "
                f"{abs(bias):.0%} too {'large' if bias > 0 else 'small'}; at {_step(method, curvature):.4g} it is "
                f"within {_BIAS:.0%}"
            )
    heating, heat = _heat(method, rows, cut, key)
    return StepFound(texts + heating, curvature, heat, float(np.median(met)) if met else 0.0)


def _heat(method: Method, rows: list[np.ndarray], cut: Callable, key: Any) -> tuple[list[str], float]:
    """Warn where mini-batches add much to the temperature, as the diffusion limit of the method has it."""
    objective = method.objective
    if not isinstance(objective, FiniteSum) or not objective.stochastic or not method.normals or not rows:
        return [], 0.0
    count, x = min(objective.samples, _NOISE_SAMPLES), cut(on_device(rows[0]))
    noise = gradient_noise(objective, x, count, jax.random.fold_in(key, JUDGED))
    try:
        cold, warm = (float(method.temperature(share * noise.factor * noise.trace / size(x))) for share in (0.0, 1.0))
    except InputError:
        # A law without a diffusion limit: of a memory, or of a friction that balances what mini-batches add.
        return [], 0.0
    added = warm - cold
    if added <= _LARGE_BIAS * cold or not cold:
        return [], added
    return [
        f"the mini-batches heat the chains: their noise adds {added:.3g} to the temperature {cold:.3g}; "
        f"take a step {added / (_LARGE_BIAS * cold):.2g} times shorter, or larger batches"
    ], added
