"""Claims, and how the verdict follows from what the experiment measures."""

import dataclasses
import importlib
import re
from collections.abc import Callable

from .._errors import InputError, MissingExtraError, check_choice
from .._typed import typed
from ._sentences import ARTICLES, SENTENCES

# One file a topic, in the order of the ledger. They load JAX, so they are loaded when they are asked for.
_TOPICS = (
    "flow", "descent", "fixed_points", "runge_kutta", "stages", "schedules", "stabilised", "momentum", "filters",
    "starting", "friction", "braking", "hyperparameters", "stability", "rates", "strongly_convex", "convex",
    "canyon", "nesterov", "half_steps", "forms", "pytorch", "looking_ahead", "nesterov_flow", "integrating",
    "acceleration", "viscous", "saddle", "many_saddles", "barrier", "settings", "surfaces", "pits", "estimates",
    "stationary", "kramers", "temperature", "noisy_momentum", "batches", "robustness", "sensitivity", "escape",
    "adam", "natural_gradient", "steepest", "curved", "preconditioning", "switching", "muon", "distributions",
    "jko", "modes", "diffusion", "depth", "expressive", "adjoint", "bursts", "games", "typical_settings",
    "tangent_kernel", "images", "large_batches", "deep_linear", "layers",
)  # fmt: skip

ARTICLE_MOMENTUM = ARTICLES["003"]
_SENTENCE = re.compile(r"\b\d{3}\.\d+\b")

HOLDS = "holds"
CORRECTED = "holds with a condition"
FAILS = "does not hold"
OPEN = "open"
UNCHECKED = "not checked"


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
        open: what was seen, with its error, where that does not decide; "" where it does.
    """

    expected: str | float
    measured: str | float
    holds: bool
    correction: Correction | None = None
    open: str = ""

    @property
    def verdict(self) -> str:
        """`holds`, `holds with a condition`, `does not hold` or `open`."""
        if self.open:
            return OPEN
        if self.holds:
            return HOLDS
        mended = self.correction is not None and self.correction.holds and self.correction.amends
        return CORRECTED if mended else FAILS


@dataclasses.dataclass(frozen=True)
class Verdict:
    """A claim and what its experiment found, as it is printed.

    `seen` is what was seen where the verdict is `open`, and what is missing where a claim is `not checked`.
    """

    id: str
    source: str
    statement: str
    expected: str | float
    measured: str | float
    verdict: str
    correction: str
    seen: str = ""

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
        sentences: those of the articles that it judges, such as "003.9".
    """

    id: str
    source: str
    statement: str
    experiment: Callable[[], Outcome]
    sentences: tuple[str, ...] = ()

    def check(self) -> Verdict:
        """Make the experiment, in float64, and judge; `not checked` where it needs an extra that is not installed."""
        import jax

        try:
            with jax.enable_x64(True):
                outcome = self.experiment()
        except MissingExtraError as missing:
            return Verdict(self.id, self.source, self.statement, "", "", UNCHECKED, "", str(missing))
        correction, verdict = outcome.correction, outcome.verdict
        corrected = correction is not None and correction.holds and verdict in (CORRECTED, FAILS)
        return Verdict(
            self.id, self.source, self.statement, outcome.expected, outcome.measured, verdict,
            correction.text if correction is not None and corrected else "", outcome.open,
        )  # fmt: skip


def claim(name: str, source: str, statement: str) -> Callable[[Callable[[], Outcome]], Claim]:
    """Turn an experiment into a `Claim`; the ledger holds every claim of a topic's file.

    The source names the sentences of the articles that are judged, and what is cited: "003.9; polyak1964".
    """
    sentences = tuple(_SENTENCE.findall(source))
    return lambda experiment: Claim(name, _spelled(source, sentences), statement, experiment, sentences)


def _spelled(source: str, sentences: tuple[str, ...]) -> str:
    """A source with the titles of its articles."""
    if not sentences:
        return source
    articles = dict.fromkeys(name[:3] for name in sentences)
    said = [f"{ARTICLES[a]} ({', '.join(name for name in sentences if name[:3] == a)})" for a in articles]
    cited = [part for part in source.split("; ") if not _SENTENCE.search(part)]
    return "; ".join([*said, *cited])


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
        ids: names of claims, or sentences of the articles, "003.9", or articles, "003"; none means the whole ledger,
            which takes minutes.

    Returns:
        a `Verdict` each, in the order asked for; one that needs an extra that is not installed is `not checked`.

    Raises:
        InputError: there is no claim of that name, or none on that sentence.

    >>> from thalweg import claims
    >>> claims.check("exponential-decay")[0].verdict
    'holds'
    """
    return [claim.check() for claim in find(*ids)]


@typed()
def find(*ids: str) -> list[Claim]:
    """The claims of these names, of sentences of the articles, such as "003.9", or of an article, "003"; or all.

    Raises:
        InputError: a name is unknown (a near miss is suggested), or a sentence has no experiment.
    """
    claims = {claim.id: claim for claim in ledger()}
    found: dict[str, Claim] = {}
    for name in ids or claims:
        found |= {name: claims[name]} if name in claims else _of_article(name, claims)
    return list(found.values())


def _of_article(name: str, claims: dict[str, Claim]) -> dict[str, Claim]:
    """The claims on a sentence, or on all sentences of an article."""
    if name not in ARTICLES and name not in SENTENCES:
        if name[:1].isdigit():
            check_choice("sentence", name, [*SENTENCES, *ARTICLES])
        check_choice("claim", name, claims)
    judging = {c.id: c for c in claims.values() if any(name in (one, one[:3]) for one in c.sentences)}
    if not judging:
        sentence = SENTENCES[name]
        why = f"; it {sentence.reason}" if sentence.reason else ""
        raise InputError(f"sentence {name} has no experiment{why}: {sentence.text}")
    return judging


def coverage() -> list[dict[str, str | list[str]]]:
    """Every sentence of the articles, with the claims that judge it.

    Returns:
        a dictionary each: `id`, `group`, `text`, `claims`, and the `reason` of one that has none and needs none.

    >>> from thalweg import claims
    >>> claims.coverage()[0]["claims"]
    ['exponential-decay']
    """
    judging: dict[str, list[str]] = {name: [] for name in SENTENCES}
    for one in ledger():
        for name in one.sentences:
            judging[name].append(one.id)
    return [
        {"id": s.id, "group": s.group, "text": s.text, "claims": judging[s.id], "reason": s.reason}
        for s in SENTENCES.values()
    ]
