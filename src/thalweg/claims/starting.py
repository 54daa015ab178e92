"""The buffer of momentum at the start: empty, filled before the first step, or behind a momentum that rises."""

import numpy as np

from .._dictionary.conventions import Hyperparameters
from .._methods.aliases import momentum
from .._methods.method import Method
from ..dynamics import HeavyBall
from ..schemes import Leapfrog
from ._experiment import close, path, quadratic, shown, steps_to
from ._ledger import Correction, Outcome, claim

RATE, BETA, EARLY, STEPS = 0.9, 0.9, (0.5, 10), 400
CURVATURES, START = np.array([0.01, 1.0]), np.array([1.0, 1.0])
# Of the buffer -αg/(1 - β) that many gradients at the start fill; the momentum, and for how many steps, before β.
STARTS: dict[str, tuple[float, tuple[float, int]]] = {
    "v₀ = 0": (0.0, (BETA, 0)),
    "a filled buffer": (1.0, (BETA, 0)),
    f"β = {EARLY[0]:g} for {EARLY[1]} steps": (0.0, EARLY),
}


def _by_hand(filled: float, early: tuple[float, int]) -> np.ndarray:
    """The points by the powers of the matrix of each mode."""
    points = []
    for curvature in CURVATURES:
        state = np.array([1.0, -filled * RATE * curvature / (1.0 - BETA)])
        modes = [state]
        for k in range(STEPS):
            beta = early[0] if k < early[1] else BETA
            modes.append(np.array([[1.0 - RATE * curvature, beta], [-RATE * curvature, beta]]) @ modes[-1])
        points.append(np.array(modes)[:, 0])
    return np.stack(points, axis=1)


def _made(filled: float, early: tuple[float, int]) -> np.ndarray:
    """The same by the package: two runs, the second with the velocity of the first."""
    f, (beta, steps) = quadratic(*CURVATURES), early
    slow, method = momentum(f, RATE, beta), momentum(f, RATE, BETA)
    now, later = (float(Hyperparameters(RATE, b).physical().step) for b in (beta, BETA))
    velocity = -filled * RATE * CURVATURES / (1.0 - BETA)
    first = path(slow, START, steps, velocity / now)
    velocity = first.velocity[-1] * now / later
    return np.concatenate([first.position, path(method, first.position[-1], STEPS - steps, velocity).position[1:]])


def _told(points: np.ndarray) -> list[float]:
    """The first step, in αg, along the flat mode; the farthest along the steep one; steps to a millionth."""
    first = (points[0, 0] - points[1, 0]) / (RATE * CURVATURES[0])
    return [float(first), float(np.max(np.abs(points[:, 1]))), float(steps_to(np.linalg.norm(points, axis=1), 1e-6))]


@claim("start-at-zero-or-warmed-up", "003.15", "Start with v₀ = 0, or warm the momentum up.")
def starting() -> Outcome:
    r"""A bowl of κ = 100 at αL = 0.9 and β = 0.9, beside the ball that starts at rest.

    Its first step is $\tfrac12h^2g = \alpha g/(1+\beta)$; that of a buffer $-\alpha g/(1-\beta)$, as gradients at the
    start fill it, is $\alpha g/(1-\beta)$.
    """
    expected, measured = [1.0 / (1.0 + BETA)], []
    motion = Hyperparameters(RATE, BETA).physical()
    ball = Method(HeavyBall(quadratic(*CURVATURES), motion.friction), Leapfrog(start="exact"), motion.step)
    rest = path(ball, START, 1).position
    measured.append(float((rest[0, 0] - rest[1, 0]) / (RATE * CURVATURES[0])))
    for start in STARTS.values():
        expected += _told(_by_hand(*start))
        measured += _told(_made(*start))
    words = "; ".join(f"{name}: first step {{:.4f}} αg, at most {{:.4f}} away, {{:.0f}} steps" for name in STARTS)
    away, counts = measured[2::3], measured[3::3]
    return Outcome(
        *shown(f"ball from rest: first step {{:.4f}} αg; {words}", expected, measured),
        holds=max(away) < 2.0 and max(counts) < 1.1 * counts[0],
        correction=Correction(
            f"From v₀ = 0, or with a momentum that rises ({counts[2]:.0f} steps for {counts[0]:.0f}): neither goes "
            "farther than the start. A buffer filled by gradients at the start makes a first step of αg/(1 - β) and "
            f"goes {away[1]:.1f} times as far as the start along the steep direction.",
            holds=close(measured, expected, 1e-9)
            and away[1] > 3.0
            and max(away[0], away[2]) <= 1.0 + 1e-12
            and counts[2] < 1.1 * counts[0],
        ),
    )
