"""A larger batch instead of a smaller rate, and a rate that follows the batch."""

import numpy as np

from .._dictionary.conventions import Hyperparameters
from .._methods.aliases import gradient_descent
from ..analysis import (
    AdamHyperparameters,
    equivalent_batch_schedule,
    scale_adam,
    scale_sgd,
    stationary_covariance,
)
from ._experiment import close, shown
from ._ledger import Correction, Outcome, claim
from .estimates import noise_of_batches

RATE, BATCH, FALL, SAMPLES = 1.0, 64, 10.0, 1000
CURVATURES = (0.01, 0.1, 1.0)
GROWTH, SCALED = 4.0, (0.001, 0.1, 0.4)
ADAM_GROWTH, CHAINS, STEPS, SLOPE = 4.0, 4000, 1500, 0.01
# So far out the gradient outweighs its noise, and for so many samples.
FAR, DRAWN = 1000.0, 6400


@claim(
    "batch-growth-is-rate-decay",
    "004.15, 004.51; smith2018",
    "A batch that grows does the same as a learning rate that falls, with the same gradients in fewer steps.",
)
def batch_growth() -> Outcome:
    r"""One temperature, but a variance of $(T/\ell)/(1 - \alpha\ell/2)$, in which the batch keeps $\alpha$.

    The variance after the batch has grown over that after the rate has fallen; drawn without replacement a batch of B
    out of N has $(N - B)/(N - 1)$ of its noise.
    """
    now = Hyperparameters(RATE, batch_size=BATCH)
    found = equivalent_batch_schedule(now, lambda n: RATE if n < 100 else RATE / FALL, 1100)
    apart = found.where_it_breaks(CURVATURES)[-1].difference
    drawn = found.where_it_breaks(CURVATURES[:1], samples=SAMPLES, replace=False)[-1].difference
    product = RATE * np.asarray(CURVATURES)
    steps = (1.0 - product / FALL / 2.0) / (1.0 - product / 2.0)
    left = (SAMPLES - FALL * BATCH) / (SAMPLES - BATCH)
    expected = [1.0, 200.0, *steps.tolist(), float(steps[0] * left), 0.25]
    gradients = found.after.gradients / found.before.gradients
    measured = [gradients, float(found.after.steps), *(1.0 + apart).tolist(), float(1.0 + drawn[0])]
    measured.append(noise_of_batches(4) / noise_of_batches(1))
    words = (
        f"{{:.5f}} of the gradients in {{:.0f}} steps for {found.before.steps}; variance ratio "
        + ", ".join(f"{{:.5f}} at αℓ = {value:g}" for value in product)
        + f", {{:.5f}} with {FALL * BATCH:g} of {SAMPLES} drawn without replacement; "
        "noise of all batches of 4 over that of 1 {:.5f}"
    )
    return Outcome(
        *shown(words, expected, measured),
        holds=close(measured[2:-1], [1.0] * 4, 0.05),
        correction=Correction(
            "As long as αℓ is small and the batch much smaller than the data: the smaller rate also comes closer to "
            f"its limit, so that after a tenfold change at αℓ = {product[-1]:g} the variance with the large batch is "
            f"{measured[4]:.3g} times as large; and close to the whole data a batch without replacement loses its "
            "noise.",
            holds=close(measured, expected, 1e-4),
        ),
    )


def _drawn(h: Hyperparameters) -> float:
    """The variance of the gradients of all batches of this size that can be drawn of six samples."""
    assert h.batch_size is not None
    return noise_of_batches(round(h.batch_size))


@claim(
    "linear-scaling-rule",
    "004.51; goyal2017",
    "When the batch grows κ times, SGD with a learning rate κ times as large does the same.",
)
def linear_scaling() -> Outcome:
    r"""The variance after over before, $(1 - \alpha\ell/2)/(1 - \kappa\alpha\ell/2)$, for $\kappa\alpha\ell < 2$."""
    measured = []
    for rate in SCALED:
        now = Hyperparameters(rate, batch_size=1)
        after = scale_sgd(now, GROWTH)
        variances = [
            float(stationary_covariance(gradient_descent(None, h.learning_rate), 1.0, _drawn(h))) for h in (now, after)
        ]
        measured.append(variances[1] / variances[0])
    expected = [(1.0 - rate / 2.0) / (1.0 - GROWTH * rate / 2.0) for rate in SCALED]
    words = f"κ = {GROWTH:g}: variance ratio " + ", ".join(f"{{:.5f}} at αℓ = {rate:g}" for rate in SCALED)
    return Outcome(
        *shown(words, expected, measured),
        holds=close(measured, [1.0] * 3, 0.05),
        correction=Correction(
            "As long as the new learning rate is small too: the variance is (1 - αℓ/2)/(1 - καℓ/2) times what it "
            "was, and at καℓ = 2 the steps are unstable.",
            holds=close(measured, expected, 1e-5),
        ),
    )


def spread(adam: AdamHyperparameters) -> float:
    """The mean square of many chains of Adam on a bowl whose noise, 1 in a sample, outweighs its slope."""
    assert adam.batch_size is not None
    draw = np.random.default_rng(0)
    x, m = np.zeros(CHAINS), np.zeros(CHAINS)
    v = np.full(CHAINS, 1.0 / adam.batch_size)
    squares = []
    for step in range(STEPS):
        slope = SLOPE * x + draw.standard_normal(CHAINS) / adam.batch_size**0.5
        m = adam.beta1 * m + (1.0 - adam.beta1) * slope
        v = adam.beta2 * v + (1.0 - adam.beta2) * slope * slope
        x = x - adam.learning_rate * m / (np.sqrt(v) + adam.epsilon)
        if step >= STEPS // 3:
            squares.append(np.mean(x * x))
    return float(np.mean(squares))


def distance(adam: AdamHyperparameters) -> float:
    """Distance that Adam goes down the same bowl on so many samples, from where the gradient outweighs its noise."""
    assert adam.batch_size is not None
    draw = np.random.default_rng(0)
    x = FAR
    m, v = SLOPE * x, (SLOPE * x) ** 2
    for _ in range(round(DRAWN / adam.batch_size)):
        slope = SLOPE * x + draw.standard_normal() / adam.batch_size**0.5
        m = adam.beta1 * m + (1.0 - adam.beta1) * slope
        v = adam.beta2 * v + (1.0 - adam.beta2) * slope * slope
        x = x - adam.learning_rate * m / (np.sqrt(v) + adam.epsilon)
    return FAR - x


@claim(
    "adam-square-root-rule",
    "malladi2022",
    "When the batch grows κ times, Adam does the same with a learning rate √κ times as large, not κ times.",
)
def adam_rule() -> Outcome:
    r"""The noise of $m/\sqrt v$ does not know the batch, so that the temperature is $\tfrac12\alpha\sqrt{C/B}$.

    From many chains, whose mean square has a standard error of about a hundredth. Where the gradient outweighs its
    noise $m/\sqrt v$ is 1, and a step of $\sqrt\kappa\,\alpha$ on $\kappa$ times the samples goes $1/\sqrt\kappa$ as
    far on each.
    """
    now = AdamHyperparameters(0.05, 0.9, 0.999, 1e-8, batch_size=16)
    before, temperature = spread(now), 0.5 * now.learning_rate / 16**0.5
    measured = [before / (temperature / SLOPE)]
    measured += [spread(scale_adam(now, ADAM_GROWTH * 16, rule)) / before for rule in ("square root", "linear")]
    near = distance(now)
    measured += [distance(scale_adam(now, ADAM_GROWTH * 16, rule)) / near for rule in ("square root", "linear")]
    expected = [1.0, 1.0, ADAM_GROWTH**0.5, ADAM_GROWTH**-0.5, 1.0]
    words = (
        f"mean square {{:.1f}} of T/ℓ; at κ = {ADAM_GROWTH:g} {{:.1f}} times that by √κ, {{:.1f}} by κ; where the "
        "gradient outweighs its noise {:.1f} times as far on the same samples by √κ, {:.1f} by κ"
    )
    return Outcome(
        *shown(words, expected, measured),
        holds=close([measured[i] for i in (1, 3)], [1.0, 1.0], 0.05),
        correction=Correction(
            "Where noise outweighs the gradient, and κ(1 - β) is small. Where the gradient outweighs its noise, Adam "
            "goes 1/√κ as far on the same samples with a learning rate √κ times as large, and as far with one κ times "
            "as large.",
            holds=close(measured, expected, 0.05),
        ),
    )
