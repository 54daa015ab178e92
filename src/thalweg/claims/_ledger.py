"""Claims, and how the verdict follows from what the experiment measures."""

import dataclasses
import importlib
from collections.abc import Callable

from .._errors import check_choice
from .._typed import typed

# One file a topic, in the order of the ledger. They load JAX, so they are loaded when they are asked for.
_TOPICS = (
    "flow", "runge_kutta", "stabilised", "momentum", "hyperparameters", "stability", "rates", "nesterov",
    "nesterov_flow", "acceleration", "viscous", "saddle", "barrier", "settings",
    "stationary", "kramers", "temperature", "batches", "robustness", "escape", "adam", "natural_gradient",
    "steepest", "curved", "preconditioning", "switching", "muon",
    "distributions", "jko", "modes", "diffusion", "images", "large_batches", "deep_linear", "layers",
)  # fmt: skip

ARTICLE_FLOW = "article: gradient flow"
ARTICLE_RUNGE_KUTTA = "article: gradient descent as Euler's method, against Runge-Kutta"
ARTICLE_MOMENTUM = "article: momentum and Nesterov as differential equations"
ARTICLE_PARTICLE = "article: SGD, momentum and Nesterov as dynamics of a particle in a potential"

HOLDS = "holds"
CORRECTED = "holds with a correction"
FAILS = "does not hold"


@dataclasses.dataclass(frozen=True)
class Correction:
    """The true statement, where the one of the source is not.

    Arguments:
        text: one sentence, with the key of its reference in brackets where there is one.
        holds: whether the measurement bears it out; a correction that it does not is not printed.
        amends: whether it adds a condition or a figure to the statement; False where it contradicts it.
    """

    text: str
    holds: bool
    amends: bool = True


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Result of an experiment.

    Arguments:
        expected: what the mathematics says the experiment gives, from a closed form or an independent computation.
        measured: what it gave.
        holds: whether the statement, as its source makes it, agrees with what was measured.
        correction: what is so otherwise; None where nothing is known but the statement.
    """

    expected: str | float
    measured: str | float
    holds: bool
    correction: Correction | None = None

    @property
    def verdict(self) -> str:
        """`holds`, `holds with a correction` or `does not hold`."""
        if self.holds:
            return HOLDS
        mended = self.correction is not None and self.correction.holds and self.correction.amends
        return CORRECTED if mended else FAILS


@dataclasses.dataclass(frozen=True)
class Verdict:
    """A claim and what its experiment found, as it is printed."""

    id: str
    source: str
    statement: str
    expected: str | float
    measured: str | float
    verdict: str
    correction: str

    def as_dict(self) -> dict[str, str | float]:
        """The fields by name, ready for JSON."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class Claim:
    """A statement about these methods, and an experiment that tells whether it is so.

    Arguments:
        id: its name in the ledger.
        source: where it is said, with the equation where it is a paper's.
        statement: what is said, in one sentence.
        experiment: measures and says what was to be expected.
    """

    id: str
    source: str
    statement: str
    experiment: Callable[[], Outcome]

    def check(self) -> Verdict:
        """Make the experiment, in float64, and judge."""
        import jax

        with jax.enable_x64(True):
            outcome = self.experiment()
        correction = outcome.correction
        corrected = correction is not None and correction.holds and not outcome.holds
        return Verdict(
            self.id, self.source, self.statement, outcome.expected, outcome.measured, outcome.verdict,
            correction.text if correction is not None and corrected else "",
        )  # fmt: skip


def claim(name: str, source: str, statement: str) -> Callable[[Callable[[], Outcome]], Claim]:
    """Turn an experiment into a `Claim`; the ledger holds every claim of a topic's file."""
    return lambda experiment: Claim(name, source, statement, experiment)


def ledger() -> tuple[Claim, ...]:
    """Every claim, in order of topic.

    >>> from thalweg import claims
    >>> claims.ledger()[0].id
    'exponential-decay'
    """
    topics = [importlib.import_module(f".{topic}", __package__) for topic in _TOPICS]
    return tuple(value for topic in topics for value in vars(topic).values() if isinstance(value, Claim))


@typed()
def check(*ids: str) -> list[Verdict]:
    """Make the experiments of some claims, or of all.

    Arguments:
        ids: names of claims; none means the whole ledger, which takes about a minute.

    Returns:
        a `Verdict` each, in the order asked for.

    Raises:
        InputError: there is no claim of that name.

    >>> from thalweg import claims
    >>> claims.check("exponential-decay")[0].verdict
    'holds'
    """
    return [claim.check() for claim in find(*ids)]


@typed()
def find(*ids: str) -> list[Claim]:
    """The claims of these names, or all; an unknown name is refused with the nearest."""
    claims = {claim.id: claim for claim in ledger()}
    for name in ids:
        check_choice("claim", name, claims)
    return [claims[name] for name in ids or claims]
