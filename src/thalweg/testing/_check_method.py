"""Check a method against the contract."""

import warnings
from collections.abc import Sequence
from typing import Any

from .._typed import typed
from ._report import Report


@typed()
def check_method(method: Any, *, leave_out: Sequence[str] = ()) -> Report:
    """Check a law and a scheme of one's own: order, limit, trees, counted gradients, dtypes, resumed runs.

    Each check tries a function of several parameters and, where it fails, the smallest that shows it: one parameter
    before three, one step before five. It is computed in 64 bits.

    Arguments:
        method: a `tw.Row`; a function `(objective, **numbers)` that gives a `tw.Method`; or a `tw.Method`, whose own
            objective is not used. At its own numbers, its step lowered where that is not stable on the problems; a
            function's number without a default is given by `functools.partial`.
        leave_out: names of checks, such as "tree" for a method of vectors alone.

    Returns:
        a `Report`: `.passed`, `.findings`, prints itself; `assert report.passed, report`. What does not apply is
        "not checked", with the reason.

    Raises:
        InputError: it is no method, or its law takes no objective.

    >>> import thalweg as tw
    >>> few = ["order", "limit", "resume", "vmap", "tree"]
    >>> report = tw.testing.check_method(tw.momentum(None, 0.1, 0.9), leave_out=few)
    >>> report.passed, report["gradients"].status, report["order"].why
    (True, 'passed', 'left out')
    """
    import jax

    from ._clause import findings_of, names_to_leave_out
    from ._method_contract import METHOD_CHECKS
    from ._subject import broken, subject_of

    leave_out = names_to_leave_out(leave_out, METHOD_CHECKS)
    # A warning is no fault, also where warnings are errors.
    with warnings.catch_warnings(), jax.enable_x64(True):
        warnings.simplefilter("ignore")
        subject = subject_of(method)
        findings = findings_of(
            subject, METHOD_CHECKS, leave_out, lambda found: broken(subject, subject.ladder.one, 1, "a step", found)
        )
    return Report(subject.name, "thalweg", findings)
