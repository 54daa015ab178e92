"""The likelihood of data under a diffusion model."""

from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from .._errors import InputError, as_key, check_arguments, check_choice, check_count
from .._loops.solve import solve
from .._methods.method import Method
from .._objectives.objective import as_position
from .._tree import Vector, inner, size
from .._typed import typed
from ..dynamics import Field, Phase, ProbabilityFlow
from ..schemes._denoising import AbstractDenoising

_DIVERGENCES = ("exact", "hutchinson")


class LogLikelihood(NamedTuple):
    """The log density that a flow gives to data.

    `value` is it, under the law at the noisy end that was given, or $N(0, \\sigma^2)$; `end` is where the flow leads
    there. `prior_bias` is what $N(0, \\sigma^2)$ gives more to that end than the law that was given; None without one.
    """

    value: Float[Array, ""]
    end: PyTree
    prior_bias: Float[Array, ""] | None


@typed()
def log_likelihood(
    method: Method,
    x: PyTree,
    *,
    divergence: str = "exact",
    key: Any = None,
    probes: int = 1,
    end_law: Annotated[Callable, "a function of x, its log density at the first of the times"] | None = None,
) -> LogLikelihood:
    r"""The log density of data under a probability flow, by the instantaneous change of variables.

    $$\log p_{t_n}(x) = \log p_{t_0}(x_{t_0}) + \int_{t_n}^{t_0}\nabla\cdot v(t, x_t)\,dt$$

    along the flow from x forwards in time, through the times of the method the other way round, by its scheme; the
    integral is a variable of the same motion, of the scheme's order. $t_n$ is the last of the times: where there is
    noise left then, it is the density of the data with that noise. A pure function of x and of the network:
    `jax.vmap` it over data, differentiate it for a training by likelihood.

    Arguments:
        method: a `tw.ProbabilityFlow` by a Runge-Kutta scheme, with its `times`.
        x: one of the data, a pytree.
        divergence: "exact", at the cost of one more product a dimension; "hutchinson", the estimate
            $z\cdot\partial_xv\,z$ with random signs z, the same all the way, whose mean is right.
        key: a seed or JAX key, for "hutchinson".
        probes: how many z.
        end_law: the log density at the noisy end, a function of x; None is that of $N(0, \sigma^2)$, from which samples
            begin.

    Returns:
        a `LogLikelihood`: `.value`, `.end`, `.prior_bias`.

    Raises:
        InputError: the law is no probability flow, there are no times, the scheme evaluates no right-hand side, or
            there is no key.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> data, noising = tw.networks.GaussianMixture(jnp.array([1.0]), 0.25), tw.networks.VarianceExploding()
    >>> times = tw.networks.time_grid(noising, 100, end=0.0)
    >>> method = tw.Method(tw.ProbabilityFlow(noising, data.denoiser(noising)), tw.RK4(), times=times)
    >>> exact = lambda x: data.log_density(noising, 80.0, x)
    >>> found = tw.networks.log_likelihood(method, jnp.array([1.5]), end_law=exact)
    >>> round(float(found.value), 5), round(float(data.log_density(noising, 0.0, jnp.array([1.5]))), 5)
    (-0.72579, -0.72579)

    Reference: Song et al. (2021), appendix D.2; Chen et al. (2018), theorem 1.
    """
    law = method.dynamics
    if not isinstance(law, ProbabilityFlow):
        raise InputError(f"a likelihood is that of a flow, a tw.ProbabilityFlow, but the law is {type(law).__name__}")
    if method.grid is None:
        raise InputError("give the method its times, tw.Method(law, scheme, times=tw.networks.time_grid(noising, 50))")
    if isinstance(method.scheme, AbstractDenoising):
        raise InputError(
            f"{type(method.scheme).__name__} moves no divergence with the flow; take tw.RK4() or another Runge-Kutta "
            "scheme for the likelihood"
        )
    check_choice("divergence", divergence, _DIVERGENCES)
    check_count("probes", probes)
    x = as_position(x)
    signs = None
    if divergence == "hutchinson":
        if key is None:
            raise InputError('divergence="hutchinson" draws random signs; give a key, such as key=0')
        signs = _signs(as_key(key), x, probes)
    if end_law is not None:
        check_arguments("end_law", end_law, "x")
    grid = method.grid.times
    times = grid[::-1] if method.grid.backwards else grid
    _check_flow(law, times[0], x)
    field = Field(_with_divergence, (law, signs))
    end, spread = solve(Method(field, method.scheme, times=times), (x, jnp.zeros((), float))).final.position
    noise, d = law.noising.noise(times[-1]), size(x)
    normal = -0.5 * inner(end, end) / noise**2 - d * (jnp.log(noise) + 0.5 * jnp.log(2.0 * jnp.pi))
    if end_law is None:
        return LogLikelihood(normal + spread, end, None)
    exact = jnp.asarray(end_law(end), float)
    return LogLikelihood(exact + spread, end, normal - exact)


def _check_flow(law: ProbabilityFlow, time: Any, x: Vector) -> None:
    """Refuse data that the score does not take, in one line."""
    try:
        eqx.filter_eval_shape(lambda x: law.rates(time, Phase(x), law.evaluate(time, Phase(x))), x)
    except InputError:
        raise
    except Exception as error:
        line = (str(error).strip().splitlines() or [""])[0]
        raise InputError(
            f"the score raised {type(error).__name__} at x, which must be one of the data as the score takes it: {line}"
        ) from error


def _with_divergence(t: Any, both: tuple[Vector, Array], args: tuple[ProbabilityFlow, Any]) -> tuple[Vector, Array]:
    (x, _), (law, signs) = both, args

    def velocity(x: Vector) -> Vector:
        phase = Phase(x)
        return law.rates(t, phase, law.evaluate(t, phase)).position

    def along(z: Vector) -> Array:
        return inner(z, jax.jvp(velocity, (x,), (z,))[1]).astype(float)

    if signs is not None:
        return velocity(x), jnp.mean(jax.vmap(along)(signs))
    flat, cut = ravel_pytree(x)
    return velocity(x), jnp.sum(jax.vmap(lambda e: along(cut(e)))(jnp.eye(flat.size, dtype=flat.dtype)))


def _signs(key: Any, x: Vector, probes: int) -> Vector:
    leaves, structure = jax.tree.flatten(x)
    keys = jax.random.split(key, len(leaves))
    drawn = [jax.random.rademacher(k, (probes, *leaf.shape), leaf.dtype) for k, leaf in zip(keys, leaves, strict=True)]
    return jax.tree.unflatten(structure, drawn)
