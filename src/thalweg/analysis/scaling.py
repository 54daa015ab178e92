"""The scaling rules of SGD, momentum and Adam: what follows a change of the batch size."""

import dataclasses

from .._dictionary.adam import AdamHyperparameters as AdamHyperparameters
from .._dictionary.conventions import Hyperparameters
from .._errors import InputError, check_choice, check_number
from .._typed import typed

SGD_RULES = ("linear", "square root", "law")
ADAM_RULES = ("square root", "linear")


@typed("hyperparameters")
def scale_sgd(hyperparameters: Hyperparameters, batch_size: float | int, rule: str = "linear") -> Hyperparameters:
    r"""SGD or momentum at another batch size, $\kappa$ times as large, at the same temperature.

    - "linear": $\alpha' = \kappa\alpha$ at the same momentum. It keeps $T = \alpha C/2B(1-\beta)$, hence the
      overdamped limit; with momentum the friction and the inertia of the motion change.
    - "square root": $\alpha' = \sqrt\kappa\,\alpha$ at the same momentum. It keeps $\alpha^2C/B$, the noise of one
      step, and cools by $\sqrt\kappa$.
    - "law": friction and temperature are both kept, so that the whole motion is, at steps $h' = \kappa h$:
      `Hyperparameters.retune`. Near $\beta = 1$ that is $\alpha' \approx \kappa^2\alpha$ and
      $1-\beta' \approx \kappa(1-\beta)$. Without momentum it is the linear rule.

    Both hold at leading order in the step, which grows with $\kappa$.

    Arguments:
        hyperparameters: the optimizer as it is, with its batch size.
        batch_size: the new one.
        rule: "linear", "square root" or "law"; `batch_rules` shows them side by side.

    Returns:
        the `Hyperparameters` at the new batch size.

    Raises:
        InputError: there is no batch size to begin with, or the law asks for a negative momentum.

    >>> import thalweg as tw
    >>> now = tw.Hyperparameters(0.1, 0.9, batch_size=64)
    >>> tw.analysis.scale_sgd(now, 128).learning_rate
    0.2
    >>> after = tw.analysis.scale_sgd(now, 128, rule="law")
    >>> round(after.learning_rate, 4), round(after.momentum, 4)  # about 4 times, and 1 - 2 * 0.1
    (0.381, 0.8095)

    Reference: Goyal et al. (2017) for the linear rule.
    """
    check_choice("rule", rule, SGD_RULES)
    if not isinstance(hyperparameters, Hyperparameters):
        raise InputError(f"hyperparameters must be tw.Hyperparameters, but is {hyperparameters!r}")
    kappa = _ratio(hyperparameters.batch_size, batch_size, "Hyperparameters")
    if rule == "law":
        return hyperparameters.retune(batch_size=batch_size)
    by = kappa if rule == "linear" else kappa**0.5
    return dataclasses.replace(hyperparameters, learning_rate=by * hyperparameters.learning_rate, batch_size=batch_size)


@typed("adam")
def scale_adam(adam: AdamHyperparameters, batch_size: float | int, rule: str = "square root") -> AdamHyperparameters:
    r"""Adam at another batch size, $\kappa$ times as large, following the same stochastic differential equation.

    $$\alpha' = \sqrt\kappa\,\alpha,\qquad 1-\beta_i' = \kappa(1-\beta_i),\qquad \epsilon' = \epsilon/\sqrt\kappa$$

    and $\omega' = \sqrt\kappa\,\omega$ of a decoupled decay, of which a step takes $\alpha\omega$.

    Where noise outweighs the gradient, $\sqrt v$ is the noise of a batch, $\sqrt{C/B}$: a step of Adam is one of SGD
    with the learning rate $\alpha\sqrt{B/C}$, whose temperature is $\tfrac12\alpha\sqrt{C/B}$. In one step of the new
    batch pass $\kappa$ of the old, in which the averages forget as much. It holds at leading order in
    $\kappa(1-\beta_i)$, and not where the gradient outweighs its noise.

    Arguments:
        adam: as it is, with its batch size.
        batch_size: the new one.
        rule: "square root", or "linear" for $\alpha' = \kappa\alpha$ and no other change, which is SGD's and heats
            Adam up by $\sqrt\kappa$.

    Returns:
        the `AdamHyperparameters` at the new batch size.

    Raises:
        InputError: there is no batch size to begin with, or an average would have to forget more than all.

    >>> import thalweg as tw
    >>> now = tw.AdamHyperparameters(1e-3, 0.9, 0.999, batch_size=256)
    >>> after = tw.analysis.scale_adam(now, 1024)
    >>> after.learning_rate, round(after.beta1, 9), round(after.beta2, 9), after.epsilon
    (0.002, 0.6, 0.996, 5e-09)

    Reference: Malladi et al. (2022).
    """
    check_choice("rule", rule, ADAM_RULES)
    if not isinstance(adam, AdamHyperparameters):
        raise InputError(f"adam must be tw.AdamHyperparameters, but is {adam!r}")
    kappa = _ratio(adam.batch_size, batch_size, "AdamHyperparameters")
    if rule == "linear":
        return dataclasses.replace(adam, learning_rate=kappa * adam.learning_rate, batch_size=batch_size)
    betas = {}
    for name in ("beta1", "beta2"):
        beta = float(getattr(adam, name))
        betas[name] = 1.0 - kappa * (1.0 - beta)
        if betas[name] < 0.0:
            raise InputError(
                f"{name} {beta:g} at {kappa:g} times the batch would have to be {betas[name]:.4g}, less than 0; "
                f"the batch can grow {1.0 / (1.0 - beta):.4g} times at most"
            )
    root = kappa**0.5
    decay = adam.weight_decay * (1.0 if adam.coupled else root)
    return dataclasses.replace(
        adam, learning_rate=root * adam.learning_rate, **betas, epsilon=adam.epsilon / root, batch_size=batch_size,
        weight_decay=decay,
    )  # fmt: skip


def _ratio(now: float | int | None, batch_size: float | int, of: str) -> float:
    if now is None:
        raise InputError(f"a new batch_size needs the one that it replaces: {of}(..., batch_size=)")
    check_number("batch_size", batch_size, above=0.0)
    return float(batch_size) / float(now)
