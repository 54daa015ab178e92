"""The diffusion limit: the stochastic differential equation that a method follows as its step goes to 0."""

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np

from .._errors import InputError, as_reals, check_choice
from .._methods.method import Method
from .._methods.stationary import symmetric
from .._objectives.finite_sum import FiniteSum
from .._objectives.noise import gradient_noise
from .._objectives.objective import AbstractObjective
from ..dynamics import (
    AbstractDamped,
    AbstractDynamics,
    AbstractNoisy,
    AdamFlow,
    GradientFlow,
    OverdampedLangevin,
    UnderdampedLangevin,
)
from ..dynamics._base import check_flat
from . import _langevin

_OF = ("position", "velocity", "phase")


@dataclasses.dataclass(frozen=True, eq=False)
class DiffusionLimit:
    r"""The diffusion limit of a method: a law of motion with the noise of its steps, made by `Method.diffusion_limit`.

    $$d\theta = -b\,\nabla f\,dt + \sqrt D\,dW,\qquad\text{or}\qquad
      d\theta = \eta\,dt,\quad m\,d\eta = -(\nabla f + \lambda\eta)\,dt + m\sqrt D\,dW$$

    Of Adam the limit where noise outweighs the gradient, its memory times held: the squares come to those of the noise,
    so that it is the law in $\theta/\sqrt P$, $P = 1/(\sqrt{\operatorname{diag} C} + \varepsilon)$, of second order
    where it averages the gradient, with the mass $\tau_1/b$ and the friction $1/b$.

    Attributes:
        objective: f, without mini-batches; None if the method has none.
        order: 1 or 2, of the law.
        rate: b, 1 but for a `GradientFlow` with another.
        friction: $\lambda$ of a second-order law.
        mass: m of a second-order law.
        thermal: T of the law itself, 0 where it has none.
        noise: $K = hC$ of the gradient noise, a number (times the identity) or an array (d, d).
        preconditioner: P where it is an array (d,), in whose $\theta/\sqrt P$ the numbers above are; a single number is
            in them; None for none.
    """

    objective: AbstractObjective | None
    order: int
    rate: float
    friction: float
    mass: float
    thermal: float
    noise: float | np.ndarray
    preconditioner: np.ndarray | None = None

    @property
    def diffusion(self) -> Any:
        r"""D, the covariance of the noise per unit time, on the position or, of a second-order law, on the velocity.

        $2bT + b^2hC$, or $(2\lambda T + hC)/m^2$: a number (times the identity) or an array (d, d).
        """
        if self.preconditioner is not None:
            return self._outward(self._inside.diffusion)
        if self.order == 1:
            return self._isotropic(2.0 * self.rate * self.thermal) + self.rate**2 * self.noise
        return (self._isotropic(2.0 * self.friction * self.thermal) + self.noise) / self.mass**2

    @property
    def temperature(self) -> Any:
        r"""T, thermal and of gradient noise: $T + bhC/2$, or $T + hC/2\lambda$; a number, or an array where C is one.

        With a preconditioner that of $\theta/\sqrt P$: $bh\sqrt P\,C\sqrt P/2$.

        Raises:
            InputError: there is no friction.
        """
        if self.preconditioner is not None:
            return self._inside.temperature
        if self.order == 1:
            return self._isotropic(self.thermal) + 0.5 * self.rate * self.noise
        self._check_friction()
        return self._isotropic(self.thermal) + self.noise / (2.0 * self.friction)

    @property
    def law(self) -> AbstractDynamics:
        """The diffusion limit as a law of motion to run, `tw.Method(limit.law, tw.Splitting("BAOAB"), 0.1)`.

        Raises:
            InputError: its noise is not the same in all directions, there is no friction, or the rate is not 1.
        """
        if self.preconditioner is not None:
            raise InputError(
                "a law of motion has one mass, but the entries of P differ; use .covariance, or a number for "
                "noise_covariance"
            )
        temperature = np.asarray(self.temperature)
        if temperature.ndim:
            first = temperature[0, 0]
            if not np.allclose(temperature, first * np.eye(len(temperature)), rtol=1e-12, atol=1e-12 * abs(first)):
                raise InputError(
                    "a law of motion has one temperature, but this noise is not the same in all directions; "
                    "use .covariance, or a number for noise_covariance"
                )
            temperature = first
        if self.order == 1:
            if self.rate != 1.0:
                raise InputError(
                    f"OverdampedLangevin has the rate 1, but this law has {self.rate:g}; "
                    "use a GradientFlow of rate 1 with a step so many times as large"
                )
            return OverdampedLangevin(self.objective, float(temperature))
        return UnderdampedLangevin(self.objective, self.friction, float(temperature), self.mass)

    def drift(self, hessian: Any) -> np.ndarray:
        r"""M of $dz = Mz\,dt + \text{noise}$ on a quadratic, (d, d), or (2d, 2d) of position, then velocity."""
        if self.preconditioner is not None:
            roots = np.tile(np.sqrt(self.preconditioner), self.order)
            return roots[:, None] * self._inside.drift(self._inward(hessian)) / roots
        hessian = np.atleast_2d(symmetric("hessian", hessian, None))
        if self.order == 1:
            return -self.rate * hessian
        eye = np.eye(len(hessian))
        return np.block([[0.0 * eye, eye], [-hessian / self.mass, -self.friction / self.mass * eye]])

    def stationary_covariance(self, hessian: Any, of: str = "position") -> Any:
        r"""The covariance to which the diffusion limit settles on a quadratic, $M\Sigma + \Sigma M^\top + D = 0$.

        $\Sigma = TH^{-1}$ where the temperature is a number.

        Arguments:
            hessian: H, a curvature or a symmetric array (d, d).
            of: "position", "velocity", or "phase" for both: (2d, 2d).

        Raises:
            InputError: there is no stationary law: no friction, or a direction without curvature.
        """
        if self.preconditioner is not None:
            return self._outward(self._inside.stationary_covariance(self._inward(hessian), of))
        values, vectors, scalar = self._modes(hessian, of)
        if self.order == 2:
            self._check_friction()
        if not values.min() > 0.0:
            raise InputError(
                f"there is no stationary law: the smallest curvature is {values.min():.6g}; "
                "take a Hessian that is positive definite"
            )
        diffusion = self._diffusion_in(vectors)
        if self.order == 1:
            rates = self.rate * values
            found = vectors @ (diffusion / (rates[:, None] + rates[None, :])) @ vectors.T
            return float(found[0, 0]) if scalar else 0.5 * (found + found.T)
        blocks = _langevin.underdamped_stationary(values / self.mass, self.friction / self.mass, diffusion)
        return _part(_langevin.phase(blocks, vectors), of, scalar)

    def covariance(self, hessian: Any, time: Any, start: Any = None, of: str = "position") -> Any:
        r"""The covariance at a time on a quadratic, exact, at any damping.

        $$\Sigma_t = e^{Mt}\Sigma_0e^{M^\top t} + \int_0^t e^{Ms}De^{M^\top s}\,ds$$

        Arguments:
            hessian: H, a curvature or a symmetric array (d, d), of any sign.
            time: t, a number or an array, in units of the law's time.
            start: the covariance at time 0, of the position (d, d), or of position and velocity (2d, 2d); a point
                if None.
            of: "position", "velocity", or "phase" for both: (2d, 2d).

        Returns:
            (d, d), or a number where the Hessian is one (a phase is (2, 2)); with a leading axis for each of
            `time`'s own.

        Raises:
            InputError: a time is negative, or the start has another shape.
        """
        if self.preconditioner is not None:
            begin = self._start(start, len(self.preconditioner))
            roots = np.tile(np.sqrt(self.preconditioner), len(begin) // len(self.preconditioner))
            inside = begin / roots[:, None] / roots
            return self._outward(self._inside.covariance(self._inward(hessian), time, inside, of))
        values, vectors, scalar = self._modes(hessian, of)
        times = _times(time)
        begin = self._start(start, len(values))
        diffusion = self._diffusion_in(vectors)
        found = [self._at(t, values, vectors, diffusion, begin, of, scalar) for t in times.ravel().tolist()]
        return found[0] if times.ndim == 0 else np.array(found).reshape(times.shape + np.shape(found[0]))

    @property
    def _inside(self) -> "DiffusionLimit":
        r"""The same in $\theta/\sqrt P$, where there is no preconditioner."""
        roots = np.sqrt(self.preconditioner)  # pyright: ignore[reportArgumentType, reportCallIssue]
        return dataclasses.replace(self, objective=None, noise=roots[:, None] * self.noise * roots, preconditioner=None)

    def _inward(self, hessian: Any) -> np.ndarray:
        roots = np.sqrt(self.preconditioner)  # pyright: ignore[reportArgumentType, reportCallIssue]
        return roots[:, None] * symmetric("hessian", hessian, None if np.ndim(hessian) else len(roots)) * roots

    def _outward(self, covariance: Any) -> np.ndarray:
        """A covariance of position, velocity or both, with leading axes, in the parameters themselves."""
        assert self.preconditioner is not None
        roots = np.tile(np.sqrt(self.preconditioner), np.shape(covariance)[-1] // len(self.preconditioner))
        return roots[:, None] * covariance * roots

    def _at(self, time: float, values: Any, vectors: Any, diffusion: Any, begin: Any, of: str, scalar: bool) -> Any:
        if self.order == 1:
            rates = self.rate * values
            decay = np.exp(-rates * time)
            inside = _langevin.overdamped(rates, diffusion, time)
            inside = inside + decay[:, None] * (vectors.T @ begin @ vectors) * decay
            found = vectors @ inside @ vectors.T
            return float(found[0, 0]) if scalar else 0.5 * (found + found.T)
        stiffness, friction = values / self.mass, self.friction / self.mass
        blocks = _langevin.underdamped(stiffness, friction, diffusion, time)
        if begin.any():
            step = _langevin.propagators(stiffness, friction, time)
            blocks = blocks + _langevin.carried(step, _langevin.blocks_of(begin, vectors))
        return _part(_langevin.phase(blocks, vectors), of, scalar)

    def _start(self, start: Any, d: int) -> np.ndarray:
        if start is None:
            return np.zeros((self.order * d,) * 2)
        if self.order == 2 and np.ndim(start) == 2 and np.shape(start) == (2 * d, 2 * d):
            return symmetric("start", start, 2 * d)
        position = symmetric("start", start, d)
        return position if self.order == 1 else np.kron(np.diag([1.0, 0.0]), position)

    def _modes(self, hessian: Any, of: str) -> tuple[np.ndarray, np.ndarray, bool]:
        check_choice("of", of, _OF)
        if self.order == 1 and of == "velocity":
            raise InputError("a first-order law has no velocity")
        hessian = symmetric("hessian", hessian, None)
        d = hessian.shape[0] if hessian.ndim else 1
        if np.ndim(self.noise) and np.shape(self.noise) != (d, d):
            raise InputError(f"hessian must have the shape of the noise, {np.shape(self.noise)}, but has {(d, d)}")
        values, vectors = np.linalg.eigh(np.atleast_2d(hessian))
        return values, vectors, not hessian.ndim

    def _diffusion_in(self, vectors: np.ndarray) -> np.ndarray:
        diffusion = self.diffusion
        return vectors.T @ diffusion @ vectors if np.ndim(diffusion) else float(diffusion) * np.eye(len(vectors))

    def _isotropic(self, value: float) -> Any:
        return value * np.eye(len(self.noise)) if isinstance(self.noise, np.ndarray) else value

    def _check_friction(self) -> None:
        if self.friction == 0.0:
            mean = np.trace(self.noise) / len(self.noise) if isinstance(self.noise, np.ndarray) else self.noise
            raise InputError(
                "there is no stationary law and no temperature: without friction the energy grows by "
                f"{0.5 * mean / self.mass:.4g} a unit of time in every direction; use a friction greater than 0"
            )

    def __str__(self) -> str:
        if self.preconditioner is not None:
            found = np.array2string(np.asarray(self.preconditioner), precision=4, prefix="P = ")
            return f"in θ/√P:\n{self._inside}\nP = {found}"
        matrix = isinstance(self.noise, np.ndarray)
        noise = "√D dW" if matrix else "√(2T) dW"
        if self.order == 1:
            rate = "" if self.rate == 1.0 else f"{self.rate:.4g} "
            if not matrix and self.rate != 1.0:
                noise = f"√({2.0 * self.rate:.4g} T) dW"
            lines = [f"dθ = -{rate}∇f dt + {noise}"]
        else:
            mass = "" if self.mass == 1.0 else f"{self.mass:.4g} "
            if matrix:
                noise = f"{mass}√D dW"
            elif self.friction:
                noise = f"√({2.0 * self.friction:.4g} T) dW"
            else:
                noise = f"{np.sqrt(self.noise):.4g} dW"
            drag = f"(∇f + {self.friction:.4g} η)" if self.friction else "∇f"
            lines = [f"dθ = η dt, {mass}dη = -{drag} dt + {noise}"]
        if matrix:
            lines.append("D = " + np.array2string(np.asarray(self.diffusion), precision=4, prefix="D = "))
        if self.order == 2 and not self.friction:
            return "\n".join([*lines, "no friction: the energy grows for ever"])
        if not matrix:
            parts = f" ({self.thermal:.4g} thermal, the rest of gradient noise)" if self.thermal and self.noise else ""
            lines.append(f"T = {self.temperature:.4g}{parts}")
        return "\n".join(lines)


def diffusion_limit(method: Method, noise_covariance: Any = None, x: Any = None) -> DiffusionLimit:
    """The diffusion limit of a method: see `Method.diffusion_limit`."""
    law = method.dynamics
    if not method.autonomous:
        raise InputError("a diffusion limit needs constant hyperparameters: no schedule, no law that changes in time")
    check_flat(law, "the diffusion limit")
    # A memory or a thermostat makes another diffusion limit.
    own = law.initial_auxiliary(jnp.zeros(())) is not None
    second = isinstance(law, AbstractDamped)
    adaptive = isinstance(law, AdamFlow)
    if not adaptive and (own or (not second and not isinstance(law, GradientFlow | OverdampedLangevin))):
        raise InputError(
            "a diffusion limit is known of GradientFlow, OverdampedLangevin, HeavyBall, UnderdampedLangevin and "
            f"AdamFlow, but the law is {type(law).__name__}"
        )
    noise: Any = 0.0
    if x is not None:
        if noise_covariance is not None:
            raise InputError("give noise_covariance or x, where it is measured, not both")
        if not isinstance(method.objective, FiniteSum):
            raise InputError("to measure the gradient noise at x the objective must be a tw.FiniteSum")
        noise_covariance = gradient_noise(method.objective, x).of_a_step
    if noise_covariance is not None:
        given = symmetric("noise_covariance", noise_covariance, None)
        given = symmetric("noise_covariance", given, len(given)) if given.ndim else _number(given)
        noise = float(np.asarray(method.step_size)) * given
    if not isinstance(law, AbstractNoisy) and not np.any(noise):
        raise InputError(
            "without noise the diffusion limit is the law itself, method.dynamics; give a noise_covariance"
        )
    # The diffusion limit has the noise of mini-batches already.
    whole = None if method.objective is None else method.objective.whole()
    if isinstance(law, AdamFlow):
        return _of_adam(law, whole, noise, float(np.asarray(method.step_size)))
    thermal = float(np.asarray(getattr(law, "temperature", 0.0)))
    rate = float(np.asarray(getattr(law, "rate", 1.0)))
    friction = float(np.asarray(law.friction_at(None))) if second else 0.0
    mass = float(np.asarray(law.mass)) if second else 1.0
    return DiffusionLimit(whole, 2 if second else 1, rate, friction, mass, thermal, noise)


def _of_adam(law: AdamFlow, whole: AbstractObjective | None, noise: Any, step: float) -> DiffusionLimit:
    """The limit at constant memory times, in which the squares of the gradient come to those of its noise."""
    if not law.preconditioned:
        raise InputError(
            f"the form {law.form!r} of AdamFlow has no diffusion limit that a covariance tells: the mean of a sign is "
            "of the whole law of the noise; run many chains"
        )
    for name in ("share", "decay"):
        if getattr(law, name) is not None:
            raise InputError(f"the diffusion limit is known of AdamFlow without a {name}; leave it out")
    squares = np.diagonal(noise) / step if np.ndim(noise) else np.asarray(noise / step)
    if not squares.min() > 0.0:
        raise InputError("Adam's diffusion limit is where noise outweighs the gradient, but an entry has no noise")
    scale = law.preconditioner(squares)
    rate, folded = float(np.asarray(law.rate)), None
    if scale.ndim and not np.allclose(scale, scale[0], rtol=1e-12, atol=0.0):
        folded = scale
    else:
        rate *= float(scale.reshape(-1)[0])
    if law.first is None:
        return DiffusionLimit(whole, 1, rate, 0.0, 1.0, 0.0, noise, folded)
    return DiffusionLimit(whole, 2, 1.0, 1.0 / rate, float(np.asarray(law.first)) / rate, 0.0, noise, folded)


def _number(value: np.ndarray) -> float:
    if value < 0.0:
        raise InputError(f"noise_covariance must be at least 0, but is {float(value):g}")
    return float(value)


def _times(time: Any) -> np.ndarray:
    times = as_reals("time", time)
    if not times.size or not np.isfinite(times).all() or times.min() < 0.0:
        raise InputError(f"time must be finite and at least 0, but is {time!r}")
    return times


def _part(phase: np.ndarray, of: str, scalar: bool) -> Any:
    d = len(phase) // 2
    if of == "phase":
        return phase
    part = phase[:d, :d] if of == "position" else phase[d:, d:]
    return float(part[0, 0]) if scalar else part
