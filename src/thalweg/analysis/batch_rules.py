"""The rules for another batch size side by side: what each changes, what it keeps, and what of the motion is left."""

import dataclasses
from typing import TYPE_CHECKING, Any

from .._dictionary.conventions import Hyperparameters
from .._dictionary.translate import translate
from .._errors import InputError
from .._showing.text import make_table, plain
from .._typed import typed
from .scaling import ADAM_RULES, SGD_RULES, AdamHyperparameters, scale_adam, scale_sgd

if TYPE_CHECKING:
    from rich.table import Table

_KEEPS = {
    "as it is": "",
    "linear": "temperature of slow motion",
    "square root": "noise of one step",
    "law": "friction and temperature: the whole motion",
}
_KEEPS_OF_ADAM = {"as it is": "", "square root": "the stochastic differential equation", "linear": "nothing of it"}


@dataclasses.dataclass(frozen=True)
class BatchRule:
    r"""One rule at the new batch size.

    Attributes:
        rule: its name, "as it is" for what there was.
        hyperparameters: by it; None where it has none.
        keeps: what stays the same.
        why: it has none.
        step: h, the time a step takes; the unit of time is the one in which the mass is 1.
        friction: $\lambda$, the part of the velocity that is lost in a unit of time.
        temperature: T, in units of the variance of one sample's gradient.
        step_noise: the variance that the noise of a batch adds to the parameters in one step, $(\alpha k)^2/B$ with the
            weight k of a gradient, in the same units.
    """

    rule: str
    hyperparameters: Hyperparameters | AdamHyperparameters | None
    keeps: str
    why: str = ""
    step: float | None = None
    friction: float | None = None
    temperature: float | None = None
    step_noise: float | None = None


@dataclasses.dataclass(frozen=True)
class BatchRules:
    """The rules side by side; prints as a table.

    Attributes:
        rules: the first as it is, then one each.
        batch_size: the new one.
        ratio: to the old one.
    """

    rules: tuple[BatchRule, ...]
    batch_size: float
    ratio: float

    def __getitem__(self, rule: str) -> BatchRule:
        for one in self.rules:
            if one.rule == rule:
                return one
        raise KeyError(rule)

    def as_list(self) -> list[dict[str, Any]]:
        """One dictionary a rule."""
        return [dataclasses.asdict(one) for one in self.rules]

    def as_table(self) -> "Table":
        """The rules as a rich table."""
        adam = isinstance(self.rules[0].hyperparameters, AdamHyperparameters)
        names = ("learning_rate", "beta1", "beta2", "epsilon") if adam else ("learning_rate", "momentum")
        rows = []
        for one in self.rules:
            numbers = [getattr(one.hyperparameters, name, None) for name in names]
            motion = () if adam else (one.step, one.friction, one.temperature, one.step_noise)
            batch = getattr(one.hyperparameters, "batch_size", None)
            rows.append((one.rule, *numbers, batch, *motion, one.keeps if one.hyperparameters else f"none: {one.why}"))
        motion = () if adam else ("time step", "friction", "temperature", "noise of a step")
        columns = ("rule", *(name.replace("_", " ") for name in names), "batch", *motion, "keeps")
        return make_table(columns, rows, f"The batch {self.ratio:g} times as large")

    def __repr__(self) -> str:
        return plain(self.as_table())


@typed("hyperparameters")
def batch_rules(hyperparameters: Hyperparameters | AdamHyperparameters, batch_size: float | int) -> BatchRules:
    r"""The linear, the square-root and the law-of-motion rule for another batch size, side by side.

    For a batch $\kappa$ times as large, with the temperature $T = \alpha C/2B(1-\beta)$ of momentum, C the variance of
    a sample's gradient:

    - "linear": $\alpha' = \kappa\alpha$. It keeps T, hence the motion where friction outweighs inertia.
    - "square root": $\alpha' = \sqrt\kappa\,\alpha$. It keeps $\alpha^2 C/B$, the noise of one step, and cools by
      $\sqrt\kappa$. Of Adam, with $1 - \beta_i' = \kappa(1-\beta_i)$ and $\epsilon' = \epsilon/\sqrt\kappa$, it keeps
      the stochastic differential equation, where noise outweighs the gradient.
    - "law": friction and T are kept, so that the whole motion is, at steps $\kappa$ times as long:
      `tw.Hyperparameters.retune`.

    Arguments:
        hyperparameters: as they are, with their batch size.
        batch_size: the new one, in samples.

    Returns:
        `BatchRules`: prints as a table; a rule that cannot be followed says why.

    Raises:
        InputError: there is no batch size to begin with.

    >>> import thalweg as tw
    >>> rules = tw.analysis.batch_rules(tw.Hyperparameters(0.1, 0.9, batch_size=64), 128)
    >>> {one.rule: round(one.hyperparameters.learning_rate, 4) for one in rules.rules}
    {'as it is': 0.1, 'linear': 0.2, 'square root': 0.1414, 'law': 0.381}
    >>> [round(one.temperature, 6) for one in rules.rules]
    [0.007813, 0.007813, 0.005524, 0.007813]

    Reference: Goyal et al. (2017) for the linear rule, Malladi et al. (2022) for Adam's.
    """
    adam = isinstance(hyperparameters, AdamHyperparameters)
    if not adam and not isinstance(hyperparameters, Hyperparameters):
        raise InputError(
            f"hyperparameters must be tw.Hyperparameters or tw.AdamHyperparameters, but is {hyperparameters!r}"
        )
    scale: Any = scale_adam if adam else scale_sgd
    keeps = _KEEPS_OF_ADAM if adam else _KEEPS
    # Refused here, where it is of the input and not of one rule.
    scale(hyperparameters, batch_size, "linear")
    found = [_rule("as it is", hyperparameters, "")]
    for rule in ADAM_RULES if adam else SGD_RULES:
        try:
            found.append(_rule(rule, scale(hyperparameters, batch_size, rule), keeps[rule]))
        except InputError as error:
            found.append(BatchRule(rule, None, keeps[rule], str(error)))
    ratio = float(batch_size) / float(hyperparameters.batch_size or 1)
    return BatchRules(tuple(found), float(batch_size), ratio)


def _rule(rule: str, h: Any, keeps: str) -> BatchRule:
    if isinstance(h, AdamHyperparameters):
        return BatchRule(rule, h, keeps)
    constants = translate(h).constants
    return BatchRule(
        rule, h, keeps, step=constants["step"], friction=constants["friction"], temperature=constants["temperature"],
        step_noise=h.scale**2 / h.batch_size,
    )  # fmt: skip
