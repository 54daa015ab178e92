"""The aliases of Adam's family: Adam's flow by its splitting, in the numbers and conventions of optax."""

from collections.abc import Callable
from functools import partial
from typing import Any

from jaxtyping import ArrayLike

from .._typed import typed
from ..dynamics import AdamFlow
from ..schemes import LieTrotter
from .knobs import LEARNING_RATE_AND_BETAS
from .method import Method, Schedule


def _by_splitting(law: Callable[..., AdamFlow], scheme: LieTrotter, **numbers: Any) -> Method:
    return Method(*LEARNING_RATE_AND_BETAS.write(numbers, law, scheme))


@typed("learning_rate", "beta1", "beta2", "epsilon")
def adam(
    objective: Any,
    learning_rate: ArrayLike | Schedule,
    beta1: ArrayLike = 0.9,
    beta2: ArrayLike = 0.999,
    epsilon: ArrayLike = 1e-8,
) -> Method:
    r"""Adam: averages of the gradient and of its square, corrected for their start at zero.

    $$m^+ = \beta_1m + (1-\beta_1)g,\qquad v^+ = \beta_2v + (1-\beta_2)g^2,\qquad
      \theta^+ = \theta - \alpha\,\frac{m^+/(1-\beta_1^k)}{\sqrt{v^+/(1-\beta_2^k)} + \varepsilon}$$

    The trajectory of `optax.adam` and `torch.optim.Adam`: `tw.LieTrotter` on `tw.AdamFlow` with
    $\tau_i = -\alpha/\ln\beta_i$.

    Arguments:
        objective: $f$, a `tw.Objective` or a function; None for an adapter.
        learning_rate: $\alpha > 0$, or a schedule of the integer step, at which the betas stay.
        beta1: $0 \le \beta_1 < 1$.
        beta2: $0 \le \beta_2 < 1$.
        epsilon: $\varepsilon \ge 0$, outside of the root and after the correction.

    Raises:
        InputError: a number is out of its range.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> run = tw.run(tw.adam(lambda x: 0.5 * jnp.sum(x**2), 0.5), jnp.array([4.0, -2.0]), 2)
    >>> [round(x, 3) for x in run.final.position.tolist()]  # each by the learning rate, at first
    [3.003, -1.009]

    Reference: Kingma and Ba (2015), algorithm 1.
    """
    law = partial(AdamFlow, objective)
    return _by_splitting(law, LieTrotter(), learning_rate=learning_rate, beta1=beta1, beta2=beta2, epsilon=epsilon)


@typed("learning_rate", "beta1", "beta2", "epsilon", "weight_decay")
def adamw(
    objective: Any,
    learning_rate: ArrayLike | Schedule,
    beta1: ArrayLike = 0.9,
    beta2: ArrayLike = 0.999,
    epsilon: ArrayLike = 1e-8,
    weight_decay: ArrayLike = 1e-4,
) -> Method:
    r"""Adam with decoupled weight decay.

    $$\theta^+ = \theta - \alpha\Bigl(\frac{\hat m}{\sqrt{\hat v} + \varepsilon} + \lambda\theta\Bigr)$$

    The trajectory of `optax.adamw` and `torch.optim.AdamW`, whose own default of $\lambda$ is 0.01. The decay is scaled
    by the learning rate, and its schedule.

    Arguments:
        objective, learning_rate, beta1, beta2, epsilon: as in `adam`.
        weight_decay: $\lambda \ge 0$.

    Raises:
        InputError: a number is out of its range.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> method = tw.adamw(lambda x: 0.0 * jnp.sum(x), 0.5, weight_decay=0.2)
    >>> [round(x, 6) for x in tw.run(method, jnp.array([1.0]), 2).final.position.tolist()]  # 0.9 squared
    [0.81]

    Reference: Loshchilov and Hutter (2019), algorithm 2.
    """
    law = partial(AdamFlow, objective)
    return _by_splitting(
        law, LieTrotter(), learning_rate=learning_rate, beta1=beta1, beta2=beta2, epsilon=epsilon,
        weight_decay=weight_decay,
    )  # fmt: skip


@typed("learning_rate", "beta1", "beta2", "epsilon", "momentum_decay")
def nadam(
    objective: Any,
    learning_rate: ArrayLike | Schedule,
    beta1: ArrayLike = 0.9,
    beta2: ArrayLike = 0.999,
    epsilon: ArrayLike = 1e-8,
    momentum_decay: ArrayLike | None = None,
) -> Method:
    r"""Adam whose average looks ahead by one more of the same gradient.

    $$\theta^+ = \theta - \frac\alpha{\sqrt{\hat v} + \varepsilon}\Bigl(
      \frac{\beta_1m^+}{1-\beta_1^{k+1}} + \frac{(1-\beta_1)\,g}{1-\beta_1^k}\Bigr)$$

    The trajectory of `optax.nadam`; with a `momentum_decay`, of which torch's default is 0.004, that of
    `torch.optim.NAdam`, a different method: its $\beta_1$ begins at half and rises, $\beta_1(1 - 0.96^{k\psi}/2)$.

    Arguments:
        objective, learning_rate, beta1, beta2, epsilon: as in `adam`, with $\beta_1 > 0$.
        momentum_decay: $\psi \ge 0$ of torch's; None for optax's.

    Raises:
        InputError: a number is out of its range.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> f = lambda x: 0.5 * jnp.sum(x**2)
    >>> one, other = (tw.run(tw.nadam(f, 0.5, momentum_decay=d), jnp.array([4.0]), 1) for d in (None, 0.004))
    >>> round(float(one.final.position[0]), 4), round(float(other.final.position[0]), 4)
    (3.2632, 3.4718)

    Reference: Dozat (2016), algorithm 2.
    """
    schedule = {} if momentum_decay is None else {"momentum_decay": momentum_decay}
    return _by_splitting(
        partial(AdamFlow, objective), LieTrotter(nesterov=True), learning_rate=learning_rate, beta1=beta1, beta2=beta2,
        epsilon=epsilon, **schedule,
    )  # fmt: skip


@typed("learning_rate", "beta2", "epsilon")
def rmsprop(
    objective: Any, learning_rate: ArrayLike | Schedule, beta2: ArrayLike = 0.9, epsilon: ArrayLike = 1e-8
) -> Method:
    r"""Descent over the root of an average of the squared gradient, which starts at zero.

    $$v^+ = \beta_2v + (1-\beta_2)g^2,\qquad \theta^+ = \theta - \alpha\,\frac{g}{\sqrt{v^+ + \varepsilon}}$$

    The trajectory of `optax.rmsprop`, with $\varepsilon$ inside of the root; `torch.optim.RMSprop` has it outside:
    `tw.AdamFlow(f, first=None, second=..., corrected=False)`.

    Arguments:
        objective, learning_rate: as in `adam`.
        beta2: $0 \le \beta_2 < 1$, by the name of `decay` in optax, of `alpha` in torch.
        epsilon: $\varepsilon \ge 0$, in units of the squared gradient.

    Raises:
        InputError: a number is out of its range.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> run = tw.run(tw.rmsprop(lambda x: 0.5 * jnp.sum(x**2), 0.1, beta2=0.75, epsilon=0.0), jnp.array([4.0]), 1)
    >>> round(float(run.final.position[0]), 6)  # by the learning rate over the root of 1 - 0.75
    3.8

    Reference: Hinton (2012), lecture 6e.
    """
    law = partial(AdamFlow, objective, first=None, form="inside", corrected=False)
    return _by_splitting(law, LieTrotter(), learning_rate=learning_rate, beta2=beta2, epsilon=epsilon)


@typed("learning_rate", "beta1", "beta2", "weight_decay")
def lion(
    objective: Any,
    learning_rate: ArrayLike | Schedule,
    beta1: ArrayLike = 0.9,
    beta2: ArrayLike = 0.99,
    weight_decay: ArrayLike = 0.0,
) -> Method:
    r"""Signed momentum: the sign of an average that the newest gradient counts more in.

    $$\theta^+ = \theta - \alpha\bigl(\operatorname{sign}(\beta_1m + (1-\beta_1)g) + \lambda\theta\bigr),\qquad
      m^+ = \beta_2m + (1-\beta_2)g$$

    The trajectory of `optax.lion`, whose own default of $\lambda$ is 0.001. In the new average the mean is
    $\tfrac{\beta_1}{\beta_2}m^+ + (1 - \tfrac{\beta_1}{\beta_2})g$.

    Arguments:
        objective, learning_rate: as in `adam`.
        beta1: $0 \le \beta_1 < 1$.
        beta2: $0 < \beta_2 < 1$.
        weight_decay: $\lambda \ge 0$, decoupled.

    Raises:
        InputError: a number is out of its range.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> run = tw.run(tw.lion(lambda x: 0.5 * jnp.sum(x**2), 0.25), jnp.array([4.0, -0.5]), 2)
    >>> run.final.position.tolist()
    [3.5, 0.0]

    Reference: Chen, Liang, Huang et al. (2023), algorithm 2.
    """
    law = partial(AdamFlow, objective, second=None, epsilon=0.0, form="sign", corrected=False)
    return _by_splitting(
        law, LieTrotter(), learning_rate=learning_rate, beta1=beta1, beta2=beta2, weight_decay=weight_decay
    )
