"""Momentum against Nesterov's method on images: with the same numbers, and each with those that suit it.

The articles speak of CIFAR-10 and of residual networks of 50 layers. Here they are handwritten digits and networks of
a few thousand parameters, of which two cores make hundreds of trainings.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from .._methods.aliases import momentum, nesterov
from .._methods.method import Method
from .._methods.probe import spectral_radius
from ._experiment import close, shown, undecided
from ._ledger import Correction, Outcome, claim
from ._trainings import EARLY, FILTERS, STEPS, Setting, Training, trained

# The article's learning rate and momentum.
USUAL, USUAL_SEEDS = (0.1, 0.9), 48
# Tunings by settings of their own, how many settings each, how many of them are tried again, and new trainings.
TUNINGS, TRIED, FEW, SEEDS = 5, 16, 4, 8
# Of a mean over so many at 95 %, and of one over the seeds.
T_TUNED, T_USUAL = 2.78, 2.01
CONDITIONS = (1.5, 100.0)
Make = Callable[..., Method]
WAYS: dict[str, tuple[Make, Make]] = dict.fromkeys(("shallow", "residual", "convolutional"), (momentum, nesterov))


@functools.cache
def _settings(tuning: int) -> tuple[Setting, ...]:
    """Random ones, the same for both methods."""
    draw = np.random.default_rng(tuning)
    rates = np.exp(draw.uniform(np.log(0.01), np.log(0.5), TRIED))
    betas = 1.0 - np.exp(draw.uniform(np.log(0.03), np.log(0.5), TRIED))
    return tuple(zip(rates.tolist(), betas.tolist(), strict=True))


@functools.cache
def _tried(net: str, make: Make, tuning: int) -> Training:
    return trained(net, make, _settings(tuning), (tuning,), 1)


@functools.cache
def _best(net: str, make: Make, rule: str, tuning: int) -> Setting:
    """The setting with the least of `rule` on the images kept aside: of the best few, tried four times more."""
    first = getattr(_tried(net, make, tuning), rule)[:, 0]
    few = tuple(_settings(tuning)[i] for i in np.argsort(first, kind="stable")[:FEW])
    again = getattr(trained(net, make, few, tuple(range(100 + 4 * tuning, 104 + 4 * tuning)), 1), rule)
    return few[int(np.argmin(again.mean(axis=1)))]


@functools.cache
def _fresh(net: str, loop: Any, setting: Setting, first: int, count: int) -> Training:
    """New trainings, judged by images that nothing has seen."""
    return trained(net, loop, (setting,), tuple(range(first, first + count)), 2)


def _usual(net: str, what: str, hand: bool, rate: float = USUAL[0]) -> list[float]:
    """Means at the article's numbers, their ratio, and its standard error over the same starts and batches."""
    ways = (False, True) if hand else WAYS[net]
    ball, ahead = (getattr(_fresh(net, way, (rate, USUAL[1]), 1000, USUAL_SEEDS), what)[0] for way in ways)
    ratio = ball.mean() / ahead.mean()
    error = np.std(ball - ratio * ahead, ddof=1) / np.sqrt(USUAL_SEEDS) / ahead.mean()
    return [float(figure) for figure in (ball.mean(), ahead.mean(), ratio, error)]


def _tuned(net: str, what: str, rule: str, hand: bool) -> list[float]:
    """Means, each at its best numbers, the mean ratio, and its standard error over the tunings.

    Over new trainings alone the error would leave out that another draw of settings finds another best one.
    """
    means = []
    for tuning in range(TUNINGS):
        ways = (False, True) if hand else WAYS[net]
        chosen = (_best(net, make, rule, tuning) for make in WAYS[net])
        first = 2000 + SEEDS * tuning
        pairs = zip(ways, chosen, strict=True)
        means.append([getattr(_fresh(net, way, best, first, SEEDS), what).mean() for way, best in pairs])
    ball, ahead = np.transpose(means)
    ratios = ball / ahead
    error = np.std(ratios, ddof=1) / np.sqrt(TUNINGS)
    return [float(figure) for figure in (ball.mean(), ahead.mean(), ratios.mean(), error)]


_PAIR = "momentum {:.4g}, Nesterov {:.4g}, ratio {:.3f} ± {:.3f}"
_USUAL = f"at learning rate {USUAL[0]:g} and momentum {USUAL[1]:g}"


def _both(net: str, what: str, rule: str) -> tuple[list[float], list[float]]:
    """With the same numbers, then tuned alike, four figures each: by hand, and by the methods."""
    by_hand, by_method = (_usual(net, what, hand) + _tuned(net, what, rule, hand) for hand in (True, False))
    return by_hand, by_method


def _more(usual: list[float]) -> bool:
    return bool(usual[2] - 1.0 > T_USUAL * usual[3])


def _more_tuned(tuned: list[float]) -> bool:
    return bool(tuned[2] - 1.0 > T_TUNED * tuned[3])


def _open(usual: list[float], tuned: list[float], what: str) -> str:
    """Words for what was seen where the errors leave it open whether momentum has more; "" where they do not."""
    leaves = undecided(usual[2], usual[3], 1.0, T_USUAL)
    # Where there is no more with the same numbers, what it is with others cannot save the statement.
    if leaves or (_more(usual) and undecided(tuned[2], tuned[3], 1.0, T_TUNED)):
        return (
            f"With the same numbers momentum's loss is {_said(usual)} times as large; tuned alike {what} it is "
            f"{_said(tuned)} times, which does not decide (handwritten digits, 12 layers)."
        )
    return ""


def _said(found: list[float]) -> str:
    return f"{found[2]:.2f} ± {found[3]:.2f}"


@claim(
    "nesterov-falls-more-steeply",
    "003.39",
    "On a residual network the loss falls more steeply early in the training with Nesterov's method than with "
    "momentum.",
)
def steeply() -> Outcome:
    """The loss on all images that are learnt from after an epoch; twelve layers."""
    expected, measured = _both("residual", "early", "gradients")
    usual, tuned = measured[:4], measured[4:]
    return Outcome(
        *shown(f"loss after {EARLY} gradients {_USUAL}: {_PAIR}; tuned alike: {_PAIR}", expected, measured),
        holds=_more(usual) and _more_tuned(tuned),
        correction=Correction(
            f"With the same numbers: there momentum's loss is {_said(usual)} times as large. Tuned alike for the "
            f"fewest gradients to 92 % it is {_said(tuned)} times (handwritten digits, 12 layers).",
            holds=_more(usual) and close(measured, expected, 1e-6),
        ),
        open=_open(usual, tuned, "for the fewest gradients"),
    )


@claim(
    "nesterov-ends-lower",
    "003.40",
    "On a residual network Nesterov's method ends at a lower loss than momentum.",
)
def lower() -> Outcome:
    """The loss on all images that are learnt from at the end; twelve layers."""
    expected, measured = _both("residual", "end", "aside")
    usual, tuned = measured[:4], measured[4:]
    steps = STEPS["residual"]
    return Outcome(
        *shown(f"loss after {steps} gradients {_USUAL}: {_PAIR}; tuned alike: {_PAIR}", expected, measured),
        holds=_more(usual) and _more_tuned(tuned),
        correction=Correction(
            f"With the same numbers: there momentum's loss is {_said(usual)} times as large. Tuned alike for the loss "
            f"at the end it is {_said(tuned)} times (handwritten digits, 12 layers).",
            holds=_more(usual) and close(measured, expected, 1e-6),
        ),
        open=_open(usual, tuned, "for the loss at the end"),
    )


def _sooner(net: str) -> tuple[list[float], list[float], tuple[list[float], list[float], list[float]]]:
    """Gradients to 92 % with the article's numbers, at a third of its rate, and tuned alike; measured apart."""
    found = []
    for hand in (True, False):
        tuned = _tuned(net, "gradients", "gradients", hand)
        found.append(_usual(net, "gradients", hand) + _usual(net, "gradients", hand, USUAL[0] / 3.0) + tuned)
    expected, measured = found
    return expected, measured, (measured[:4], measured[4:8], measured[8:])


_THREE = f"gradients to 92 % {_USUAL}: {_PAIR}; at a third of the rate: {_PAIR}; tuned alike: {_PAIR}"


@claim(
    "nesterov-sooner-on-images",
    "003.43",
    "On a convolutional network Nesterov's method reaches the accuracy of momentum 15 to 20 % sooner.",
)
def sooner() -> Outcome:
    """Gradients to 92 % of images that nothing has seen."""
    expected, measured, three = _sooner("convolutional")
    gains = [(1.0 - 1.0 / found[2], found[3] / found[2] ** 2) for found in three]
    said = [f"{100.0 * gain:.0f} ± {100.0 * error:.0f} %" for gain, error in gains]
    return Outcome(
        *shown(_THREE, expected, measured),
        holds=_more(three[0]) and all(0.15 - T_TUNED * error < gain < 0.2 + T_TUNED * error for gain, error in gains),
        correction=Correction(
            f"It depends on the numbers. On handwritten digits and one layer of {FILTERS} filters it is {said[0]} "
            f"{_USUAL}, {said[1]} at a third of that rate, and {said[2]} tuned alike.",
            holds=_more(three[1]) and close(measured, expected, 1e-6),
        ),
    )


@claim(
    "nesterov-85-epochs-of-120",
    "003.51",
    "With learning rate 0.1 and momentum 0.9 a residual network comes to 92 % in 85 epochs by Nesterov's method and in "
    "120 by momentum.",
)
def epochs() -> Outcome:
    """The ratio of gradients to 92 %, on handwritten digits with a network of twelve layers."""
    expected, measured, three = _sooner("residual")
    usual, third, tuned = three
    said = 120.0 / 85.0
    return Outcome(
        *shown(_THREE, expected, measured),
        holds=_more(usual) and all(abs(found[2] - said) < T_TUNED * found[3] for found in three),
        correction=Correction(
            f"A matter of these numbers: on handwritten digits and 12 layers the ratio is {_said(usual)} with them, "
            f"{_said(third)} at a third of the learning rate, and {_said(tuned)} where each has its own.",
            holds=_more(usual) and usual[2] > max(third[2], tuned[2]) and close(measured, expected, 1e-6),
        ),
    )


def _contraction(make: Make, condition: float) -> float:
    r"""The slowest mode of a quadratic with L = 1 at the best constant numbers of each method."""
    root = np.sqrt(condition)
    if make is momentum:
        rate, beta = (2.0 * root / (1.0 + root)) ** 2, ((root - 1.0) / (root + 1.0)) ** 2
    else:
        root = np.sqrt(3.0 * condition + 1.0)
        rate, beta = 4.0 * condition / (3.0 * condition + 1.0), (root - 2.0) / (root + 2.0)
    return float(np.max(spectral_radius(make(None, rate, beta), np.geomspace(1.0 / condition, 1.0, 41))))


@claim(
    "nesterov-for-deep-networks",
    "003.50",
    "Nesterov's method is for networks of ten layers or more, and momentum for shallow ones or condition numbers near "
    "1.",
)
def deep() -> Outcome:
    r"""Gradients to 92 % of two layers and of twelve; and the contraction on quadratics at the best numbers.

    These are $(\sqrt\kappa - 1)/(\sqrt\kappa + 1)$ for momentum and $1 - 2/\sqrt{3\kappa + 1}$ for Nesterov's method.
    """
    shallow, residual = (_both(net, "gradients", "gradients") for net in ("shallow", "residual"))
    expected, measured = (
        [found[i] for found in pair for i in (2, 3, 6, 7)] for pair in zip(shallow, residual, strict=True)
    )
    rates = []
    for condition in CONDITIONS:
        root = np.sqrt(condition)
        expected += [float((root - 1.0) / (root + 1.0)), float(1.0 - 2.0 / np.sqrt(3.0 * condition + 1.0))]
        measured += [_contraction(make, condition) for make in (momentum, nesterov)]
        rates.append(float(np.log(measured[-2]) / np.log(measured[-1])))
    (flat, flat_tuned), (steep, steep_tuned) = ((found[:4], found[4:]) for found in (shallow[1], residual[1]))
    words = "{:.3f} ± {:.3f} with the same numbers and {:.3f} ± {:.3f} tuned alike"
    near, far = (f"{{:.4f}} and {{:.4f}} at κ = {condition:g}" for condition in CONDITIONS)
    return Outcome(
        *shown(f"momentum over Nesterov: {words} with 2 layers, {words} with 12; contraction {near}, {far}",
               expected, measured),
        holds=_more(steep) and _more_tuned(steep_tuned) and not _more(flat) and rates[0] > 1.0,
        correction=Correction(
            f"With the same numbers Nesterov's method takes fewer gradients in both: momentum takes {_said(flat)} "
            f"times as many with two layers and {_said(steep)} times with twelve; tuned alike {_said(flat_tuned)} and "
            f"{_said(steep_tuned)}. On quadratics, each at its best numbers, momentum is ahead, the more the larger κ.",
            holds=_more(flat) and _more(steep) and close(measured, expected, 1e-4) and rates[1] > rates[0] > 1.0,
            amends=False,
        ),
    )  # fmt: skip
