"""Methods on functions of two parameters, as a page asks for them: every number is the library's."""

import threading
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._errors import InputError, check_number
from .._loops.solve import solve
from .._methods.linearity import has_limit
from .._methods.method import Method
from .._methods.probe import amplification, stable_limit
from .._methods.row import Row
from .._methods.stationary import stationary_covariance
from .._methods.table import find_row
from .._records.sweep import regime
from ..plot._stability import SCHEMES as MAPPED
from ..plot._stability import best_setting, limit_at, radius_at
from ..schemes import RK4, Euler, Leapfrog
from ._grounds import ON_SPHERE, Ground
from ._plain import packed

# Steps come in one of these numbers, so that few programs are compiled.
_STEPS = (100, 400, 1000)
_MOST_METHODS = 6
# Of a continuous path: steps of it, and points that are sent.
_FINE, _SHOWN = 4000, 400
_CELLS = 97
# A point so many pictures away is not drawn.
_FAR = 50.0
ROWS = (
    "gradient_descent", "momentum", "nesterov", "midpoint_momentum", "adam", "rmsprop", "nadam", "lion", "sign_descent",
    "heun", "rk4", "rkc", "proximal_point", "rosenbrock_euler", "leapfrog", "heavy_ball_rk4", "nesterov_flow",
    "nesterov_flow_rk4", "sgld", "baoab", "obabo",
)  # fmt: skip


class Playground:
    """Answers to what a page asks of the functions that it may use.

    Arguments:
        grounds: by name, each made when it is first asked for.
    """

    def __init__(self, grounds: dict[str, Callable[[], Ground]]) -> None:
        self._make, self._made = grounds, {}
        self._lock = threading.Lock()
        self._limits: dict[Any, Any] = {}

    @property
    def names(self) -> list[str]:
        """The functions."""
        return list(self._make)

    def _ground(self, name: Any) -> Ground:
        if not isinstance(name, str) or name not in self._make:
            raise InputError(f"the playground has {', '.join(self._make)}")
        if name not in self._made:
            self._made[name] = self._make[name]()
        return self._made[name]

    def landscape(self, name: Any, aspect: Any = 1.0, zoom: Any = 1.0) -> dict[str, Any]:
        """Values of a function on a grid, from the lower left on, row by row.

        Arguments:
            name: of the function.
            aspect: the width of what is shown over its height.
            zoom: its size over that in which the start and the minimum are well seen.
        """
        check_number("aspect", aspect, at_least=0.1, at_most=10.0)
        check_number("zoom", zoom, at_least=0.01, at_most=100.0)
        with self._lock, jax.enable_x64(True):
            found = self._ground(name)
            box = tuple(
                ((low + high) / 2 - part, (low + high) / 2 + part)
                for (low, high), wide in zip(found.box, (max(aspect, 1.0), max(1.0 / aspect, 1.0)), strict=True)
                for part in [0.5 * (high - low) * wide * zoom]
            )
            x, y = (np.linspace(low, high, _CELLS) for low, high in box)
            grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
            values = np.asarray(_values(found.objective, jnp.asarray(_above(grid) if found.sphere else grid)), float)
            least = float(np.nanmin(values, initial=np.inf, where=np.isfinite(values)))
            known = found.objective.minimum
            floor = least if known is None else min(float(known), least)
            return {
                "name": found.name, "box": box, "cells": _CELLS, "values": packed(values - floor), "floor": floor,
                "start": found.start, "centre": found.centre, "curvatures": found.curvatures,
                "rows": list(ON_SPHERE) if found.sphere else None,
            }  # fmt: skip

    def answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Paths of methods from a start, with what the step itself says of each.

        Arguments:
            asked: `problem`; `start`, two numbers; `steps`; `seed`; `methods`, each with a `name` and `settings`; and
                `limits`, False for a drag on its way, which does not wait for a stability limit that is not known yet,
                but has it `pending`.
        """
        steps = asked.get("steps", 100)
        if not isinstance(steps, int) or isinstance(steps, bool) or not 1 <= steps <= _STEPS[-1]:
            raise InputError(f"steps must be a whole number from 1 to {_STEPS[-1]}, but is {steps!r}")
        seed = asked.get("seed", 0)
        if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**31:
            raise InputError("seed must be a whole number from 0 on")
        methods = asked.get("methods")
        if not isinstance(methods, list) or not 1 <= len(methods) <= _MOST_METHODS:
            raise InputError(f"from 1 to {_MOST_METHODS} methods go at once")
        with self._lock, jax.enable_x64(True):
            found = self._ground(asked.get("problem"))
            start = _point(asked.get("start", found.start.tolist()))
            wait = asked.get("limits", True) is not False
            answers = [self._one(found, each, start, steps, seed, wait) for each in methods]
            return {"methods": answers, "start": start, "python": _python(found, answers, start, steps, seed)}

    def _one(self, found: Ground, asked: Any, start: np.ndarray, steps: int, seed: int, wait: bool) -> dict[str, Any]:
        row, settings = chosen(asked)
        if found.sphere and row.name not in ON_SPHERE:
            raise InputError(f"on the sphere there are {' and '.join(ON_SPHERE)}")
        method, first = found.method(row, settings), found.lifted(start)
        whole = next(count for count in _STEPS if count >= steps)
        key = jnp.asarray(seed) if method.stochastic else None
        path, losses = (np.asarray(one) for one in _path(method, jnp.asarray(first), whole, key))
        path = found.flattened(path)
        reach = _FAR * max(high - low for low, high in found.box) + float(np.abs(start - found.centre).max())
        seen = steps + 1 if found.sphere else _within(path[: steps + 1], found.centre, reach)
        about = {"name": row.name, "settings": settings, "path": path[:seen], "losses": losses[: steps + 1]}
        about["end"] = path[steps] if np.all(np.isfinite(path[steps])) else None
        about["ran"] = regime(losses[: steps + 1])
        about["draws"] = method.stochastic
        if method.stochastic and about["end"] is not None:
            about["ran"] = "wandering"
        flow = self._continuous(found, method, first, steps, reach)
        return about | flow | self._linear(found, row, method, settings, wait)

    def _continuous(self, found: Ground, method: Method, start: np.ndarray, steps: int, reach: float) -> dict[str, Any]:
        """The law of motion itself, followed for the same time at much smaller steps."""
        if method.stochastic:
            return {"flow": None, "no_flow": "a law with noise has no one path"}
        # On the sphere by the method's own scheme, along geodesics.
        scheme = Leapfrog() if found.sphere and method.dynamics.order == 2 else Euler() if found.sphere else RK4()
        try:
            scheme.check(method.dynamics)
        except InputError as error:
            return {"flow": None, "no_flow": str(error)}
        fine = Method(method.dynamics, scheme, steps * jnp.asarray(method.step_size) / _FINE)
        flow = np.asarray(_fine(fine, jnp.asarray(start)))
        if found.sphere:
            return {"flow": found.flattened(flow), "no_flow": None}
        return {"flow": flow[: _within(flow, found.centre, reach)], "no_flow": None}

    def _linear(
        self, found: Ground, row: Row, method: Method, settings: dict[str, float], wait: bool
    ) -> dict[str, Any]:
        """Facts that the step tells near the centre: its limit, its contraction, its regime, its stationary law."""
        # Near its minimum a manifold is flat.
        method = row.build(None, **settings) if found.sphere else method
        empty = dict.fromkeys(("limit", "limit_of", "rate", "regime", "law", "margin", "pending"))
        spectrum = found.spectrum
        if not has_limit(method) or method.dynamics.preconditioned or not spectrum.size:
            return empty | {"regime": "not told by a curvature: the law is not linear"}
        others = tuple(sorted((name, value) for name, value in settings.items() if name != row.knob))
        key = (found.name, row.name, others)
        if key not in self._limits and wait:
            if len(self._limits) > 10_000:
                self._limits.clear()
            self._limits[key] = stable_limit(method, spectrum)
        of, limit = self._limits.get(key, (row.knob, None))
        eigenvalues = np.linalg.eigvals(np.atleast_2d(amplification(method, spectrum)))
        radius = float(np.abs(eigenvalues).max())
        return empty | {
            "limit": limit, "limit_of": of, "rate": radius, "pending": limit is None,
            "margin": limit / settings[of] if limit is not None and settings[of] else None,
            "regime": _words(eigenvalues, radius), "law": _law(method, found) if method.stochastic else None,
        }  # fmt: skip

    def stability(self, asked: dict[str, Any]) -> dict[str, Any]:
        """The spectral radius over learning rate and momentum, the limit at each momentum, and the best setting."""
        name = asked.get("method")
        if name not in MAPPED:
            raise InputError(f"there are maps of {', '.join(MAPPED)}")
        with self._lock, jax.enable_x64(True):
            found = self._ground(asked.get("problem"))
            if not found.spectrum.size:
                raise InputError(f"{found.name} has no positive curvature, so that no learning rate has a limit")
            make, spectrum = find_row(name).make, found.spectrum
            momenta = np.linspace(0.0, 0.995, 60)
            limits = limit_at(make, spectrum[-1:], momenta)
            rates = np.geomspace(1e-3, 1.0, 80) * 1.3 * limits.max()
            radii = radius_at(make, spectrum, *(mesh.ravel() for mesh in np.meshgrid(rates, momenta)))
            best = best_setting(make, spectrum) if len(spectrum) > 1 else None
            return {
                "rates": rates, "momenta": momenta, "radius": packed(radii), "limits": limits, "best": best,
                "method": name,
            }  # fmt: skip

    def best(self, asked: dict[str, Any]) -> dict[str, Any]:
        """The settings of least spectral radius near the centre: the step, and the momentum where there is one."""
        with self._lock, jax.enable_x64(True):
            found = self._ground(asked.get("problem"))
            row, settings = chosen(asked)
            spectrum = found.spectrum
            if not spectrum.size or not has_limit(row.method) or row.method.dynamics.preconditioned or not row.knob:
                raise InputError(f"no step of {row.name} is known to be best here: its law is not linear")
            if row.name in MAPPED and len(spectrum) > 1:
                rate, momentum = best_setting(row.make, spectrum)
                return {"settings": settings | {"learning_rate": rate, "momentum": momentum}}
            return {"settings": settings | {row.knob: _best_step(row, settings, spectrum)}}


def _above(grid: np.ndarray) -> np.ndarray:
    """Points of the upper half of the sphere, not finite beside it."""
    with np.errstate(invalid="ignore"):
        return np.column_stack([grid, np.sqrt(1.0 - np.sum(grid**2, axis=1))])


def chosen(asked: Any) -> tuple[Row, dict[str, float]]:
    """A row of ours by name, with all of its numbers."""
    name, given = (asked.get("name"), asked.get("settings", {})) if isinstance(asked, dict) else (None, {})
    if not isinstance(name, str) or name not in ROWS:
        raise InputError(f"a method is one of {', '.join(ROWS)}")
    if not isinstance(given, dict) or len(given) > 20:
        raise InputError("settings are numbers by name")
    row = find_row(name)
    for knob, value in given.items():
        check_number(knob, value, at_least=0.0, below=1e6)
    row = row.at(**{knob: float(value) for knob, value in given.items()})
    return row, {name: float(value) for name, value in row.defaults.items()}


@eqx.filter_jit
def _values(objective: Any, grid: Any) -> Any:
    return jax.vmap(objective.value)(grid)


@eqx.filter_jit
def _path(method: Method, start: Any, steps: int, key: Any) -> tuple[Any, Any]:
    # Made inside, or the seed would be a program of its own.
    key = None if key is None else jax.random.key(key)
    found = solve(method, start, steps, key, save=lambda state: state.position)
    return found.saved, jax.vmap(method.dynamics.objective.value)(found.saved)  # pyright: ignore


@eqx.filter_jit
def _fine(method: Method, start: Any) -> Any:
    return solve(method, start, _FINE, save=lambda state: state.position).saved[:: _FINE // _SHOWN]


def _within(path: np.ndarray, centre: np.ndarray, reach: float) -> int:
    """Points of a path until it leaves for far away, that one among them."""
    with np.errstate(invalid="ignore"):
        gone = ~(np.abs(path - centre).max(axis=1) <= reach)
    if not gone.any():
        return len(path)
    at = int(gone.argmax())
    return at + bool(np.all(np.isfinite(path[at])) and np.abs(path[at]).max() < 1e12)


def _words(eigenvalues: np.ndarray, radius: float) -> str:
    if radius > 1.0 + 1e-9:
        return "diverges"
    if radius > 1.0 - 1e-9:
        return "at the limit"
    if np.any(np.abs(np.imag(eigenvalues)) > 1e-7):
        return "underdamped: oscillates as it comes near"
    return (
        "zigzags: each step goes beyond"
        if np.real(eigenvalues).min() < -1e-9
        else "overdamped: comes near without a swing"
    )


def _law(method: Method, found: Ground) -> dict[str, Any] | None:
    """The covariance to which a sampler settles near the centre, and that of the law it is to sample."""
    if np.any(found.curvatures <= 1e-12):
        return None
    temperature = float(method.dynamics.temperature)  # pyright: ignore[reportAttributeAccessIssue]
    exact = temperature * np.linalg.inv(found.hessian)
    try:
        own = stationary_covariance(method, found.hessian)
    except InputError:
        own = None
    return {"own": own, "exact": exact, "centre": found.centre}


def _best_step(row: Row, settings: dict[str, float], spectrum: np.ndarray) -> float:
    from scipy.optimize import minimize_scalar

    assert row.knob is not None
    knob = row.knob
    _, limit = stable_limit(row.build(None, **settings), spectrum)
    top = limit if np.isfinite(limit) and limit > 0 else 100.0 / spectrum[-1]

    def radius(step: float) -> float:
        method = row.build(None, **(settings | {knob: float(step)}))
        return float(np.abs(np.linalg.eigvals(np.atleast_2d(amplification(method, spectrum)))).max())

    coarse = np.geomspace(1e-3, 1.0, 40) * top
    at = int(np.argmin([radius(step) for step in coarse]))
    low, high = coarse[max(at - 1, 0)], coarse[min(at + 1, len(coarse) - 1)]
    found: Any = minimize_scalar(radius, bounds=(low, high), method="bounded", options={"xatol": 1e-9 * top})
    return float(found.x)


def _point(given: Any) -> np.ndarray:
    good = isinstance(given, list) and len(given) == 2
    if not good or not all(isinstance(x, int | float) and not isinstance(x, bool) and abs(x) < 1e6 for x in given):
        raise InputError("start must be two numbers")
    return np.asarray(given, float)


def _python(found: Ground, answers: list[dict[str, Any]], start: Any, steps: int, seed: int) -> str:
    """The same in Python."""
    from .. import __all__ as public

    lines = [
        "import jax", "import jax.numpy as jnp", "import thalweg as tw", "",
        'jax.config.update("jax_enable_x64", True)',
        f"problem = {found.code}", f"start = jnp.array({found.lifted(start).tolist()})", "runs = {}",
    ]  # fmt: skip
    for i, one in enumerate(answers, 1):
        name = one["name"]
        numbers = ", ".join(f"{knob}={value!r}" for knob, value in one["settings"].items())
        own = f'next(row for row in tw.table() if row.name == "{name}").build'
        key = f", key={seed}" if one["draws"] else ""
        made = f"{f'tw.{name}' if name in public else own}(problem.objective, {numbers})"
        made = ON_SPHERE[name][1].format(**one["settings"]) if found.sphere else made
        lines += [
            f"method = {made}",
            f'runs["{i}. {name}"] = tw.run(method, start, steps={steps}{key}, record=1)',
        ]
    return "\n".join([*lines, "print(tw.compare_runs(runs))", ""])
