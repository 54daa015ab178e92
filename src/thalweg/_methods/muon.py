"""The alias of Muon: Muon's flow by its splitting, in the numbers and conventions of optax."""

from functools import partial
from typing import Any

from jaxtyping import ArrayLike

from .._errors import InputError
from .._typed import typed
from ..dynamics import MuonFlow
from ..geometry._newton_schulz import QUINTIC
from ..schemes import LieTrotter
from .knobs import LEARNING_RATE_AND_BETA
from .method import Method, Schedule


@typed(
    "learning_rate", "beta", "weight_decay", "adam_learning_rate", "adam_beta1", "adam_beta2", "epsilon",
    "adam_weight_decay",
)  # fmt: skip
def muon(
    objective: Any,
    learning_rate: ArrayLike | Schedule,
    beta: ArrayLike = 0.95,
    weight_decay: ArrayLike = 0.0,
    nesterov: bool = True,
    *,
    adam_learning_rate: ArrayLike | Schedule | None = None,
    adam_beta1: ArrayLike = 0.9,
    adam_beta2: ArrayLike = 0.999,
    adam_weight_decay: ArrayLike | None = None,
    epsilon: ArrayLike = 1e-8,
    layout: str = "in_out",
    scaling: str = "original",
    iterations: int | None = 5,
    coefficients: Any = QUINTIC,
    corrected: bool = True,
    stacked: bool = False,
    iteration_dtype: str | None = None,
) -> Method:
    r"""Muon: an average of the gradient of every matrix with its singular values made nearly 1; Adam for the others.

    $$m^+ = \beta m + (1-\beta)g,\qquad n = \frac{\beta m^+}{1-\beta^{k+1}} + \frac{(1-\beta)\,g}{1-\beta^k},\qquad
      \theta^+ = \theta - \alpha\bigl(\kappa\,D(n) + \lambda\theta\bigr)$$

    and without `nesterov` $n = m^+/(1-\beta^k)$; D and $\kappa$ are those of `tw.MuonFlow`, of which `tw.LieTrotter`
    makes this. The trajectory of `optax.contrib.muon` as it comes: arrays of two axes are matrices, (in, out), and all
    others go by `optax.adamw(nesterov=nesterov)`. That of `torch.optim.Muon`, of matrices alone, with
    `layout="out_in"`, `corrected=False`, `iteration_dtype="bfloat16"`; torch's own default of $\lambda$ is 0.1.

    Arguments:
        objective: $f$, a `tw.Objective` or a function; None for an adapter.
        learning_rate: $\alpha > 0$, or a schedule of the integer step, at which the betas stay.
        beta: $0 \le \beta < 1$, above 0 with `nesterov`.
        weight_decay: $\lambda \ge 0$ of the matrices, decoupled and times the learning rate.
        nesterov: the averages look ahead by one more of the same gradient.
        adam_learning_rate: of all that is no matrix; None is that of the matrices.
        adam_beta1, adam_beta2: their betas.
        adam_weight_decay: their decay; None is none.
        epsilon: $\varepsilon \ge 0$ of Adam, and of the norm by which D divides.
        layout, scaling, iterations, coefficients, corrected, stacked, iteration_dtype: as in `tw.MuonFlow`.

    Raises:
        InputError: a number is out of its range, or a name is unknown.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> f = lambda x: jnp.sum(x["w"] * jnp.array([[3.0, 0.0], [0.0, 0.5]])) + 0.5 * x["b"] ** 2
    >>> method = tw.muon(f, 0.25, iterations=None)
    >>> run = tw.run(method, {"w": jnp.zeros((2, 2)), "b": jnp.zeros(())}, 2)
    >>> run.final.position["w"].round(6).tolist()  # every singular value by the learning rate
    [[-0.5, 0.0], [0.0, -0.5]]

    Reference: Jordan et al. (2024).
    """
    if learning_rate is None:
        raise InputError("learning_rate must be a number or a schedule of the step, but is None")
    law = partial(
        MuonFlow, objective, iterations=iterations, coefficients=coefficients, layout=layout, scaling=scaling,
        corrected=corrected, stacked=stacked, iteration_dtype=iteration_dtype,
    )  # fmt: skip
    numbers = {
        "learning_rate": learning_rate, "beta": beta, "weight_decay": weight_decay, "adam_beta1": adam_beta1,
        "adam_beta2": adam_beta2, "epsilon": epsilon,
    }  # fmt: skip
    given = {"adam_learning_rate": adam_learning_rate, "adam_weight_decay": adam_weight_decay}
    numbers |= {name: value for name, value in given.items() if value is not None}
    return Method(*LEARNING_RATE_AND_BETA.write(numbers, law, LieTrotter(nesterov=nesterov)))
