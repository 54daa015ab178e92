"""Check an optimizer against the contract."""

import dataclasses
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from .._errors import InputError, check_choice, check_count
from .._typed import typed
from ._compare import Bench, NotCheckedError, as_example
from ._contract import BY_NAME, CHECKS, Check
from ._factory import in_framework, layouts, read_signature
from ._reference import settings_of
from ._report import FAILED, NOT_CHECKED, PASSED, Finding, Report
from ._search import need_hypothesis

_LEAST_STEPS = 3
_COSTLY_EXAMPLES = 10


@typed("factory")
def check_optimizer(
    factory: Callable,
    framework: str | None = None,
    reference: Any = None,
    *,
    steps: int = 4,
    seed: int = 0,
    examples: int = 30,
    leave_out: Sequence[str] = (),
) -> Report:
    """Check anybody's optimizer: momentum that works, a state that is saved, the path it says it takes.

    Each check draws small examples, vectors and matrices, and, where one fails, shrinks it to the smallest. The
    settings are found from the factory's signature: lr or learning_rate; momentum, beta or decay, or the first
    coefficient of Adam and its like (b1, beta1, beta_1, betas); nesterov, dampening, weight_decay, foreach and fused.
    In JAX it runs in 64 bits. What takes matrices alone is checked on them. Of an optimizer whose step is long few
    examples are drawn; in optax they are compiled.

    Arguments:
        factory: in torch `factory(params, **settings)`, in optax and keras `factory(**settings)`, such as
            `torch.optim.SGD`, `optax.sgd`, `keras.optimizers.SGD`, or `functools.partial` of one.
        framework: "torch", "optax" or "keras"; by default that of what the factory makes.
        reference: the path it should take: `tw.Hyperparameters(...)`, whose equations are followed; a `tw.Method` or
            `tw.AdamHyperparameters`; or a function (x0, gradient, steps) of the positions. The factory is called with
            the numbers of all but the last, where it takes them, and otherwise as it is.
        steps: the most steps of an example.
        seed: of the examples.
        examples: how many a check draws.
        leave_out: names of checks, such as "grouping" for an optimizer with a norm of each tensor.

    Returns:
        a `Report`: `.passed`, `.findings`, prints itself; `assert report.passed, report`.

    Raises:
        InputError: the factory makes no optimizer, or an argument is out of range.

    >>> import optax, thalweg as tw
    >>> report = tw.testing.check_optimizer(optax.sgd, reference=tw.Hyperparameters(0.1, 0.9), examples=5)
    >>> report.passed, report["resume"].status
    (True, 'passed')
    """
    need_hypothesis()
    steps = check_count("steps", steps, at_least=_LEAST_STEPS)
    seed = check_count("seed", seed, at_least=0)
    examples = check_count("examples", examples)
    if isinstance(leave_out, str):
        leave_out = (leave_out,)
    for name in leave_out:
        check_choice("check", name, BY_NAME)
    signature = read_signature(factory)
    # A warning, of which there would be one a step, is no fault, also where warnings are errors.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = in_framework(factory, signature, framework)
        if reference is not None:
            settings_of(reference, signature)
        with found.context():
            taken = layouts(found, signature)
            findings = _findings(Bench(found, signature, reference, steps, seed, examples, [], taken), leave_out)
    return Report(signature.name, found.name, tuple(findings))


def _findings(bench: Bench, leave_out: Sequence[str]) -> list[Finding]:
    signature = bench.signature
    catalogue = [s for s in signature.catalogue() if bench.refusal(s) is None]
    if bench.framework.costly:
        # The one with most in it.
        catalogue = catalogue[-1:]
        bench = dataclasses.replace(bench, examples=min(bench.examples, _COSTLY_EXAMPLES))
    bench = dataclasses.replace(bench, catalogue=catalogue)
    if not bench.catalogue:
        raise InputError(f"factory {signature.name}: {bench.refusal(signature.spell({}))}")
    # First, since what does not do the same twice cannot be compared with itself.
    chance = _finding(BY_NAME["deterministic"], bench)
    findings = []
    for check in CHECKS:
        if bench.framework.name not in check.frameworks:
            continue
        if check.name in leave_out:
            findings.append(Finding(check.name, check.statement, NOT_CHECKED, "left out"))
        elif check.name == "deterministic":
            findings.append(chance)
        elif check.repeats and chance.status == FAILED:
            why = "two runs with the same input differ: see deterministic"
            findings.append(Finding(check.name, check.statement, NOT_CHECKED, why))
        else:
            findings.append(_finding(check, bench))
    return findings


def _finding(check: Check, bench: Bench) -> Finding:
    try:
        fault = check.look(bench)
    except NotCheckedError as reason:
        return Finding(check.name, check.statement, NOT_CHECKED, str(reason))
    if fault is None:
        return Finding(check.name, check.statement, PASSED, check.how)
    example = as_example(fault, bench.framework)
    size = "" if example.apart is None else f" (by {example.apart:.2g}{example.of_rounding})"
    return Finding(check.name, check.statement, FAILED, check.blame + size, example)
