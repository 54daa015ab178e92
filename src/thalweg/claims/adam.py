"""Adam beside what is said of it: sign descent, L2 regularisation, the edge of its stability."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._methods.adaptive import adam, adamw
from .._methods.method import Method
from .._methods.probe import largest_stable_learning_rate
from .._objectives.finite_sum import FiniteSum
from .._objectives.objective import Objective
from ..dynamics import AdamFlow
from ..schemes import LieTrotter
from ._experiment import close, path, quadratic, shown
from ._ledger import Correction, Outcome, claim

DECAY, CURVATURES = 2.0, (0.5, 5.0)
SIGNAL, STEPS = 0.5, 40_000
BETAS, RATE = (0.5, 0.9), 0.01


def two_slopes(signal: float) -> FiniteSum:
    """A slope that is met with noise of a size of 1 and either sign, sample by sample."""
    return FiniteSum(lambda x, c: c * x[0], jnp.array([signal - 1.0, signal + 1.0]), batch_size=1)


def sign_descent(objective: FiniteSum) -> Method:
    """Adam without memory and without an epsilon."""
    return Method(AdamFlow(objective, first=None, second=None, form="sign"), LieTrotter(), 1.0)


def drift(method: Method) -> float:
    """Distance that it goes down in a step, in learning rates."""

    @eqx.filter_jit
    def end(method: Method, steps: int) -> jax.Array:
        key = jax.random.key(1)

        def step(i: jax.Array, state: object) -> object:
            return method.step(state, method.draw(key, jnp.zeros(1), i))  # pyright: ignore[reportArgumentType]

        return jax.lax.fori_loop(0, steps, step, method.init(jnp.zeros(1))).position[0]  # pyright: ignore

    return -float(end(method, STEPS)) / STEPS


@claim("adam-is-sign-descent", "folklore; balles2018, section 1", "Adam is sign descent.")
def signs() -> Outcome:
    r"""With a slope $\mu$ in noise of two values $\pm\sigma$ the mean step is $\mu/\sqrt{\mu^2+\sigma^2}$ of the rate.

    That of sign descent is the probability of one sign less that of the other, which is 0 as long as $\mu < \sigma$.
    """
    noisy = two_slopes(SIGNAL)
    expected = [1.0, 1.0, SIGNAL / (SIGNAL**2 + 1.0) ** 0.5, 0.0]
    plain = Objective(lambda x: SIGNAL * x[0])
    memoryless = adam(plain, 1.0, beta1=0.0, beta2=0.0, epsilon=0.0)
    measured = [
        -float(path(method, 0.0, 10).position[-1, 0]) / 10 for method in (memoryless, adam(plain, 1.0, epsilon=0.0))
    ]
    # The squares of four thousand steps make the mean that the closed form is of.
    measured += [drift(adam(noisy, 1.0, beta2=0.99975, epsilon=0.0)), drift(sign_descent(noisy))]
    words = (
        "in learning rates a step: {:.3f} without memory, {:.3f} without noise; in noise {:.3f}, sign descent {:.3f}"
    )
    alike = abs(measured[2] - measured[3]) < 0.1
    return Outcome(
        *shown(words, expected, measured),
        holds=alike,
        correction=Correction(
            "Without memory it is, and where the gradient has no noise it moves as if it were. In noise it goes at "
            f"μ/√(μ² + σ²) of its rate, {measured[2]:.2f} here, where the signs cancel [balles2018].",
            holds=close(measured[:2], expected[:2], 1e-9)
            and max(abs(m - e) for m, e in zip(measured[2:], expected[2:], strict=True)) < 0.03,
        ),
    )


@claim("adamw-is-l2", "folklore; loshchilov2019, section 1", "The weight decay of AdamW is L2 regularisation.")
def decay() -> Outcome:
    r"""For $\tfrac12\ell(\theta-1)^2$: L2 rests where the slopes balance, $\ell/(\ell+\lambda)$.

    AdamW rests where its own step does, which has the length of the learning rate: $|\theta| = 1/\lambda$, whatever the
    curvature is, where that is nearer than the minimum.
    """

    def bowl(x: jax.Array) -> jax.Array:
        return 0.5 * jnp.sum(jnp.asarray(CURVATURES) * (x - 1.0) ** 2)

    def penalised(x: jax.Array) -> jax.Array:
        return bowl(x) + 0.5 * DECAY * jnp.sum(x**2)

    start = [0.0, 0.0]
    expected = [c / (c + DECAY) for c in CURVATURES] + [1.0 / DECAY for _ in CURVATURES]
    ends = [
        path(method, start, 16000).position[-1]
        for method in (adam(penalised, 1e-3, beta2=0.99), adamw(bowl, 1e-3, beta2=0.99, weight_decay=DECAY))
    ]
    measured = [float(x) for end in ends for x in end]
    words = "rests at curvatures 0.5 and 5: L2 {:.3f} and {:.3f}, AdamW {:.3f} and {:.3f}"
    return Outcome(
        *shown(words, expected, measured),
        holds=close(measured[:2], measured[2:], 1e-2),
        correction=Correction(
            "It is L2 for gradient descent alone. AdamW goes down f where no entry is larger than 1/λ, whatever the "
            "curvature [xie2024].",
            holds=close(measured, expected, 1e-2),
            amends=False,
        ),
    )


@claim("adam-edge-of-stability", "by analogy to gradient descent", "Adam's edge of stability is 2/η.")
def edge() -> Outcome:
    r"""Of the preconditioned curvature $\ell/\sqrt v$ it is $2(1+\beta_1)/(1-\beta_1)\eta$, about which a run hovers.

    Expected and the probe's, then the median over the end of a run, all times the learning rate.
    """
    expected = [2.0 * (1.0 + beta) / (1.0 - beta) for beta in BETAS]
    probed = [largest_stable_learning_rate(adam(None, RATE, beta), 1.0) for beta in BETAS]
    ran = [hovers(beta) for beta in BETAS]
    words = ", ".join(f"β₁ = {beta:g}: {{:.3f}}" for beta in BETAS)
    near = close(ran, expected, 0.15)
    return Outcome(
        *shown(words + "; where a run hovers: " + words, [*expected, *expected], [*probed, *ran]),
        holds=close(ran, [2.0 for _ in BETAS], 0.15),
        correction=Correction(
            f"It is that of its average: 2(1 + β₁)/(1 - β₁)/η, {expected[-1]:g}/η at β₁ = {BETAS[-1]:g}, of the "
            "preconditioned curvature [cohen2022]; 2/η is that of RMSprop.",
            holds=close(probed, expected, 1e-9) and near,
            amends=False,
        ),
    )


def hovers(beta: float) -> float:
    """The median of learning rate times preconditioned curvature at the end of a run on a parabola."""
    method = adam(quadratic(1.0), RATE, beta, 0.99, 0.0)

    @eqx.filter_jit
    def ran(method: Method) -> jax.Array:
        def step(state: object, _: None) -> tuple[object, jax.Array]:
            after = method.step(state)  # pyright: ignore[reportArgumentType]
            return after, after.auxiliary["square"][0] / after.auxiliary["filled"][-1]

        return jax.lax.scan(step, method.init(jnp.array([1.3])), length=STEPS)[1]

    return RATE / float(np.sqrt(np.median(np.asarray(ran(method))[-STEPS // 4 :])))
