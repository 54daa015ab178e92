"""The Fisher information of a family of distributions, whose parameters are the point."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._errors import InputError, check_choice
from .._tree import Vector, wide
from ._charts import FAMILIES, Chart, Parts
from ._divergence import divergence
from .base import AbstractMetric, AbstractNoise
from .pullback import only_where


class FisherInformation(AbstractMetric, AbstractNoise):
    r"""The Fisher information of a family of distributions, as the metric of the parameters that it is written in.

    $$F(\theta) = \operatorname{E}_{y\sim p_\theta}\bigl[\nabla\log p_\theta(y)\;\nabla\log p_\theta(y)^\top\bigr]
      = \nabla^2_{\theta'}\operatorname{KL}(p_\theta\,\|\,p_{\theta'})\big|_{\theta'=\theta}$$

    in closed form. A flow in it moves the distribution in the same way in every chart: its velocity is that of a point
    of the family. A step does not, at second order in its length.

    - `"gaussian"`, each entry one: `"log_std"` (mean, log_std), `"std"` (mean, std), `"variance"` (mean, variance),
      `"precision"` (mean, precision), `"natural"` (linear, quadratic), the coefficients of y and its square in
      $\log p$, and `"moments"` (first, second), what they expect;
    - `"multivariate_gaussian"`, leading axes each one: `"cholesky"` (mean, cholesky),
      `"covariance"` (mean, covariance);
    - `"categorical"`, along the last axis: `"logits"`, `"probabilities"`;
    - `"bernoulli"`, each entry one: `"logit"`, `"probability"`; `"poisson"`: `"log_rate"`, `"rate"`.

    A point of two parameters is a dict with their names, or a pair of arrays in this order; of one, every array of a
    tree is a family of its own. Logits that differ by a number are the same distribution, whose functions have no slope
    along it; a velocity has none of it, and is that of the pseudo-inverse. Probabilities keep their sum. Of `cholesky`
    what is above the diagonal is no parameter and stays. Where parameters stand for no distribution, as after too long
    a step, the velocity is NaN, so that a run says so, and an error where nothing is traced.

    Arguments:
        family: one of these.
        chart: one of its charts; the first, if None.

    Raises:
        InputError: the family or the chart is unknown, or a point has other parameters.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> natural = tw.geometry.FisherInformation("gaussian", "natural")
    >>> start = natural.from_chart("variance", {"mean": jnp.array(1.0), "variance": jnp.array(4.0)})
    >>> {name: float(value) for name, value in start.items()}
    {'linear': 0.25, 'quadratic': -0.125}
    >>> slope = {"linear": jnp.array(1.0), "quadratic": jnp.array(0.0)}  # of f = linear
    >>> {name: float(value) for name, value in natural.velocity(start, slope).items()}
    {'linear': 0.375, 'quadratic': -0.0625}

    Reference: Amari (1998); Amari and Nagaoka (2000), chapter 2.
    """

    family: str = eqx.field(static=True)
    chart: str = eqx.field(default=None, static=True)  # pyright: ignore[reportAssignmentType]

    def __init__(self, family: str, chart: str | None = None) -> None:
        check_choice("family", family, FAMILIES)
        charts = FAMILIES[family]
        if chart is not None:
            check_choice(f"chart of {family}", chart, charts)
        self.family, self.chart = family, next(iter(charts)) if chart is None else chart

    def velocity(self, position: Vector, covector: Vector) -> Vector:
        return self._mapped("raised", position, covector)

    def inner(self, position: Vector, u: Vector, v: Vector) -> Float[Array, ""]:
        lowered = self._mapped("lowered", position, v)
        products = jax.tree.map(lambda a, b: jnp.sum(a * b), wide(u), wide(lowered))
        return jnp.asarray(sum(jax.tree.leaves(products)))

    def noise(self, position: Vector, normal: Vector) -> Vector:
        return self._mapped("noise", position, normal)

    def divergence(self, position: Vector) -> Vector:
        if self._own.divergence is not None:
            return self._mapped("divergence", position, position)
        return divergence(self.velocity, position)

    def check(self, position: Vector) -> None:
        """Refuse parameters that stand for no distribution; what is traced passes."""
        for parts in self._cut(wide(position)):
            only_where(jnp.all(self._own.proper(parts)), parts, self._improper)

    def from_chart(self, chart: str, position: Vector) -> Vector:
        """The same distribution in this chart.

        Arguments:
            chart: the one in which it is written, of the same family.
            position: its parameters there.

        Returns:
            the parameters here: a dict by name, of a family of two; of one, a tree as it is given.

        Raises:
            InputError: the chart is unknown, or the parameters stand for no distribution.
        """
        other = FisherInformation(self.family, chart)
        other.check(position)
        found = [self._own.away(other._own.home(parts)) for parts in other._cut(position)]
        if len(self._own.names) > 1:
            return dict(zip(self._own.names, found[0], strict=True))
        return jax.tree.unflatten(jax.tree.structure(position), [parts[0] for parts in found])

    @property
    def _own(self) -> Chart:
        return FAMILIES[self.family][self.chart]

    @property
    def _improper(self) -> str:
        return f"the point is no {self.family} in the chart {self.chart}: give {self._own.says}; take shorter steps"

    def _mapped(self, which: str, position: Vector, vector: Vector) -> Vector:
        """A map of the chart, in float32 at least, in the dtypes of the vector."""
        own, (x, v) = self._own, (wide(position), wide(vector))
        found: list[Any] = []
        for parts, others in zip(self._cut(x), self._cut(v), strict=True):
            image = getattr(own, which)(parts, others)
            found.append(only_where(jnp.all(own.proper(parts)), image, self._improper))
        if len(own.names) > 1 and isinstance(vector, dict):
            named = dict(zip(own.names, found[0], strict=True))
            return {name: named[name].astype(leaf.dtype) for name, leaf in vector.items()}
        leaves, structure = jax.tree.flatten(vector)
        flat = [image for parts in found for image in parts]
        return jax.tree.unflatten(structure, [a.astype(b.dtype) for a, b in zip(flat, leaves, strict=True)])

    def _cut(self, x: Vector) -> list[Parts]:
        """The parameters of each family of a tree: of one parameter of every leaf, of two of the whole."""
        names = self._own.names
        if len(names) == 1:
            return [(leaf,) for leaf in jax.tree.leaves(x)]
        if isinstance(x, dict) and set(x) == set(names):
            return [tuple(x[name] for name in names)]
        leaves = jax.tree.leaves(x)
        if isinstance(x, dict) or len(leaves) != len(names):
            what = (
                f"a dict of {', '.join(map(str, x))}"
                if isinstance(x, dict)
                else f"{len(leaves)} arrays"
                if len(leaves) != 1
                else "one array"
            )
            raise InputError(
                f"the {self.family} in the chart {self.chart} has the parameters {' and '.join(names)}, as a dict or a "
                f"pair of arrays, but the point is {what}"
            )
        return [tuple(leaves)]
