"""Functions of two parameters that a page may play on, each with what is known of it."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._errors import InputError
from .._methods.method import Method
from .._methods.row import Row

# A start near the rim of the sphere, seen from above, is on it.
_RIM = 0.999


def _descent(f: Any, settings: dict[str, float]) -> Method:
    from ..dynamics import GradientFlow
    from ..geometry import Sphere
    from ..schemes import Euler

    return Method(GradientFlow(f, geometry=Sphere()), Euler(), settings["learning_rate"])


def _momentum(f: Any, settings: dict[str, float]) -> Method:
    from .._methods.riemannian_momentum import riemannian_momentum
    from ..geometry import Sphere

    return riemannian_momentum(f, settings["learning_rate"], settings["momentum"], Sphere())


# Rows that have a form on the sphere, and how that is written.
ON_SPHERE: dict[str, tuple[Callable[[Any, dict[str, float]], Method], str]] = {
    "gradient_descent": (
        _descent,
        "tw.Method(tw.GradientFlow(problem, geometry=tw.geometry.Sphere()), tw.Euler(), {learning_rate!r})",
    ),
    "momentum": (_momentum, "tw.riemannian_momentum(problem, {learning_rate!r}, {momentum!r}, tw.geometry.Sphere())"),
}


@dataclasses.dataclass(frozen=True)
class Ground:
    """A function of two parameters, and what of it is known.

    Attributes:
        name: as the page calls it.
        objective: the function.
        start: (2,), where to begin.
        centre: (2,), a minimiser, or the start where none is known.
        curvatures: (2,), eigenvalues of the Hessian at the centre.
        hessian: (2, 2), of it.
        box: (low, high) of both coordinates, what is shown.
        code: how it is written in Python.
        sphere: the function is of three coordinates on the unit sphere, of which two are shown, from above.
    """

    name: str
    objective: Any
    start: np.ndarray
    centre: np.ndarray
    curvatures: np.ndarray
    hessian: np.ndarray
    box: tuple[tuple[float, float], tuple[float, float]]
    code: str
    sphere: bool = False

    @property
    def spectrum(self) -> np.ndarray:
        """The positive curvatures, which bound a step."""
        return np.unique(self.curvatures[self.curvatures > 1e-12])

    def lifted(self, point: np.ndarray) -> np.ndarray:
        """A point of the page as the function takes it: on the sphere its upper half, a point outside on its rim."""
        if not self.sphere:
            return point
        length = float(np.hypot(*point))
        flat = point if length <= _RIM else point * (_RIM / length)
        return np.append(flat, np.sqrt(1.0 - flat @ flat))

    def flattened(self, path: np.ndarray) -> np.ndarray:
        """Points as the page shows them; what is behind the sphere is not."""
        return np.where(path[:, 2:] >= 0.0, path[:, :2], np.nan) if self.sphere else path

    def method(self, row: Row, settings: dict[str, float]) -> Method:
        """A row on this function, on the sphere its own form there."""
        return (
            ON_SPHERE[row.name][0](self.objective, settings) if self.sphere else row.build(self.objective, **settings)
        )


def ground(name: str, objective: Any, start: Any, code: str) -> Ground:
    """A function of two parameters with its curvatures, refused where it has another number of them."""
    first = np.asarray(start, float)
    if first.shape != (2,):
        raise InputError(f"{name} has a start of shape {np.shape(first)}; the playground is for two parameters")
    known = getattr(objective, "minimiser", None)
    centre = first if known is None else np.asarray(known, float)
    with jax.enable_x64(True):
        hessian = np.asarray(_hessian(objective, jnp.asarray(centre)), float)
    if not np.all(np.isfinite(hessian)):
        raise InputError(f"{name} has no finite curvature at {centre.tolist()}")
    middle, reach = 0.5 * (first + centre), max(1.0, float(np.abs(first - centre).max()))
    box = tuple((float(m - 1.1 * reach), float(m + 1.1 * reach)) for m in middle)
    return Ground(name, objective, first, centre, np.linalg.eigvalsh(hessian), hessian, box, code)  # pyright: ignore


def shipped() -> dict[str, Callable[[], Ground]]:
    """Problems of ours with two parameters, each made when it is asked for."""
    from .. import problems

    def make(name: str) -> Ground:
        with jax.enable_x64(True):
            problem = problems.get(name)
            return ground(name, problem.objective, problem.start, f'tw.problems.get("{name}")')

    flat = ("quadratic-2d", "rosenbrock", "beale", "himmelblau", "double-well", "saddle", "canyon", "banana")
    return {name: functools.partial(make, name) for name in flat} | {"sphere": _sphere}


# A quadratic form whose least direction looks at the page, from a little aside.
_FORM = np.array([[5.0, 1.2, -1.0], [1.2, 2.6, -0.6], [-1.0, -0.6, 1.0]])


def _form(x: Any) -> Any:
    return 0.5 * jnp.vdot(x, jnp.asarray(_FORM, x.dtype) @ x)


def _sphere() -> Ground:
    """Half a quadratic form on the unit sphere: its least eigenvector is the minimum."""
    from .._objectives.objective import Objective

    values, vectors = np.linalg.eigh(_FORM)
    least = vectors[:, 0] * np.sign(vectors[2, 0])
    # Of the form on the sphere, at its minimum.
    curvatures = values[1:] - values[0]
    objective = Objective(_form, minimum=0.5 * float(values[0]), minimiser=jnp.asarray(least))
    code = f"tw.Objective(lambda x: 0.5 * x @ jnp.array({_FORM.tolist()}) @ x)"
    box = ((-1.08, 1.08), (-1.08, 1.08))
    return Ground(
        "sphere", objective, np.array([-0.8, -0.45]), least[:2], curvatures, np.diag(curvatures), box, code, sphere=True
    )


@eqx.filter_jit
def _hessian(objective: Any, x: Any) -> Any:
    return jax.hessian(objective.value)(x)
