"""The preconditioned curvature of a loop of optax, by the second moment that its state keeps."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree

from .._dictionary.adam import AdamHyperparameters
from .._errors import InputError
from .._methods.method import Method
from .._objectives.curvature import largest_curvature
from .._objectives.objective import Objective, as_objective, as_position
from .._tree import Vector
from .._typed import typed
from ..dynamics import AdamFlow
from ._optax_state import MotionState

# States of optax with a second moment `nu`.
_STATES = (optax.ScaleByAdamState, optax.ScaleByRmsState)


@typed()
def preconditioned_curvature(
    objective: Any,
    params: Vector,
    state: PyTree,
    method: AdamHyperparameters | Method,
    iterations: int = 200,
    tolerance: float = 1e-10,
) -> float:
    r"""The largest curvature that a running Adam sees (0 where no curvature is positive).

    $$\lambda_{\max}\bigl(D^{-1/2}\,\nabla^2 f\,D^{-1/2}\bigr),\qquad D = \sqrt{\hat v} + \varepsilon$$

    of f over what a step is divided by now. Its stability limit is $2(1+\beta_1)/(1-\beta_1)$ over the learning rate,
    `tw.analysis.largest_stable_learning_rate(method, curvature)`. The second moment v is looked for in the state,
    within chains and wrappers: of optax's Adam, AdamW, NAdam and RMSprop, or of `transformation`.

    Arguments:
        objective: f, a `tw.Objective` or a function of the parameters.
        params: pytree of float arrays.
        state: of the optimizer.
        method: what the optimizer is set to, which its state does not know ($\beta_2$, $\varepsilon$):
            `tw.AdamHyperparameters`, or a method such as `tw.adam(None, 1e-3)`.
        iterations: Hessian-vector products at most, each pass.
        tolerance: relative change of the eigenvalue at which to stop; 1e-3 does for a stability margin.

    Returns:
        the curvature, in units of 1 over x; NaN before the first step.

    Raises:
        InputError: the state keeps no second moment, several, or one of other parameters.

    >>> import optax, thalweg as tw, jax, jax.numpy as jnp
    >>> f = lambda x: jnp.sum(jnp.array([1.0, 4.0]) * x**2)
    >>> x, optimizer = jnp.array([1.0, 1.0]), optax.adam(0.1)
    >>> _, state = optimizer.update(jax.grad(f)(x), optimizer.init(x))
    >>> found = tw.adapters.optax.preconditioned_curvature(f, x, state, tw.AdamHyperparameters(0.1))
    >>> round(found, 4)  # after one step v is the squared gradient, and D the gradient
    1.0

    Reference: Cohen et al. (2022).
    """
    f = as_objective(objective)
    if f is None:
        raise InputError("preconditioned_curvature needs an objective, a function of the parameters")
    params = as_position(params)
    law, beta2 = _law(method)
    squares, filled = _second_moment(state, law, beta2)
    if float(filled) <= 0.0 or not (law.corrected or any(bool(jnp.any(v)) for v in jax.tree.leaves(squares))):
        return math.nan
    if jax.tree.structure(squares) != jax.tree.structure(params):
        raise InputError("the second moment in the state is of other parameters than these; give the part it is of")

    def root(v: Any, x: Any) -> Any:
        wide = jnp.asarray(v) / filled
        scale = jnp.sqrt(wide + law.epsilon) if law.form == "inside" else jnp.sqrt(wide) + law.epsilon
        return (1.0 / jnp.sqrt(scale)).astype(x.dtype)

    roots = jax.tree.map(root, squares, params)
    if not all(bool(jnp.all(jnp.isfinite(one))) for one in jax.tree.leaves(roots)):
        raise InputError("an entry of the second moment and epsilon are both 0: its gradient has been 0 so far")
    decay = 0.0 if law.decay is None or not law.coupled else law.decay

    zeros = jax.tree.map(jnp.zeros_like, params)
    return largest_curvature(Objective(_scaled, (f, params, roots, decay)), zeros, iterations, tolerance)


def _scaled(y: Any, args: Any) -> Any:
    """The function with its decay, of parameters over the roots: one function, compiled once for a whole loop."""
    f, params, roots, decay = args
    place = jax.tree.map(lambda x, root, z: x + root * z, params, roots, y)
    return f.value(place) + 0.5 * decay * sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(place))


def _law(method: AdamHyperparameters | Method) -> tuple[AdamFlow, float]:
    """The law, whose form says how a step is divided, and beta2."""
    made = method.method() if isinstance(method, AdamHyperparameters) else method
    law = made.dynamics
    if not isinstance(law, AdamFlow) or not law.preconditioned:
        raise InputError(
            f"{type(law).__name__} keeps no average of squared gradients; give tw.AdamHyperparameters or a method of "
            "tw.adam and its like, or take tw.analysis.largest_curvature"
        )
    beta2 = method.beta2 if isinstance(method, AdamHyperparameters) else made.hyperparameters.get("beta2", 0.0)
    return law, float(beta2)


def _second_moment(state: Any, law: AdamFlow, beta2: float) -> tuple[Any, Any]:
    """The average of squares in a state, and what has come into it."""
    found = [one for one in jax.tree.leaves(state, is_leaf=_keeps) if _keeps(one)]
    if len(found) != 1:
        says = f"keeps {len(found)} of them; give that of one part" if found else "keeps none"
        raise InputError(f"the curvature is of an average of squared gradients, but the state {says}")
    kept = found[0]
    if isinstance(kept, MotionState):
        # Last of those that it is kept of.
        filled = kept.auxiliary["filled"][-1] if law.corrected else 1.0
        squares = kept.auxiliary["square"]
    else:
        squares, filled = kept.nu, 1.0
        if law.corrected:
            if not isinstance(kept, optax.ScaleByAdamState):
                raise InputError("the state is of a method without correction, such as tw.rmsprop(None, 1e-3)")
            filled = 1.0 - beta2 ** jnp.asarray(kept.count, float)
    return squares, filled


def _keeps(part: Any) -> bool:
    if isinstance(part, MotionState):
        return isinstance(part.auxiliary, dict) and "square" in part.auxiliary
    return isinstance(part, _STATES)
