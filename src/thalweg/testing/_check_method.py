"""Check a method against the contract."""

import warnings
from collections.abc import Sequence
from typing import Any

from .._errors import check_choice
from .._typed import typed
from ._report import FAILED, NOT_CHECKED, PASSED, Finding, Report


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

    from ._method_contract import METHOD_CHECKS, METHODS_BY_NAME
    from ._subject import subject_of

    if isinstance(leave_out, str):
        leave_out = (leave_out,)
    for name in leave_out:
        check_choice("check", name, METHODS_BY_NAME)
    findings: list[Finding] = []
    # A warning is no fault, also where warnings are errors.
    with warnings.catch_warnings(), jax.enable_x64(True):
        warnings.simplefilter("ignore")
        subject = subject_of(method)
        for check in METHOD_CHECKS:
            failed = next((f.name for f in findings if f.name in check.needs and f.status == FAILED), None)
            if check.name in leave_out:
                findings.append(Finding(check.name, check.statement, NOT_CHECKED, "left out"))
            elif failed is not None:
                findings.append(Finding(check.name, check.statement, NOT_CHECKED, f"see {failed}, which failed"))
            else:
                findings.append(_finding(check, subject))
    return Report(subject.name, "thalweg", tuple(findings))


def _finding(check: Any, subject: Any) -> Finding:
    from ._subject import BrokenError, InapplicableError, broken
    from ._walk import first_line

    try:
        check.look(subject)
    except InapplicableError as reason:
        return Finding(check.name, check.statement, NOT_CHECKED, str(reason))
    except BrokenError as fault:
        return Finding(check.name, check.statement, FAILED, check.blame, fault.example)
    except Exception as error:
        found = f"raised {first_line(error)}"
        example = broken(subject, subject.ladder.one, 1, "a step", found).example
        return Finding(
            check.name, check.statement, FAILED, f"{found}, where it should hold: {check.statement}", example
        )
    return Finding(check.name, check.statement, PASSED, check.how)
