"""Clauses of a contract, and what is found of a subject by them."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from .._errors import check_choice
from ._report import FAILED, NOT_CHECKED, PASSED, Example, Finding
from ._walk import first_line

S = TypeVar("S")


class InapplicableError(Exception):
    """Reason why a check does not apply."""


class BrokenError(Exception):
    """The smallest example at which a check fails, its `args`."""

    def __init__(self, example: Example) -> None:
        super().__init__(example)
        self.example = example


@dataclasses.dataclass(frozen=True)
class Clause(Generic[S]):
    """A clause of a contract.

    Arguments:
        name: in one word.
        statement: what should hold.
        how: closely it is checked.
        blame: what is wrong where it does not hold.
        look: raises `BrokenError` with the smallest example, `InapplicableError` with the reason.
        needs: checks that must not have failed, since it would fail with them.
    """

    name: str
    statement: str
    how: str
    blame: str
    look: Callable[[S], None]
    needs: tuple[str, ...] = ()


def names_to_leave_out(leave_out: Sequence[str], clauses: Sequence[Clause]) -> Sequence[str]:
    """The names of checks that are left out; refuse what is none."""
    if isinstance(leave_out, str):
        leave_out = (leave_out,)
    for name in leave_out:
        check_choice("check", name, [clause.name for clause in clauses])
    return leave_out


def findings_of(
    subject: S, clauses: Sequence[Clause[S]], leave_out: Sequence[str], raised: Callable[[str], BrokenError]
) -> tuple[Finding, ...]:
    """One finding a clause.

    Arguments:
        subject: that is checked.
        clauses: in their order.
        leave_out: names of those that are not looked at.
        raised: makes an example of what a subject raised.
    """
    findings: list[Finding] = []
    for clause in clauses:
        failed = next((f.name for f in findings if f.name in clause.needs and f.status == FAILED), None)
        if clause.name in leave_out:
            findings.append(Finding(clause.name, clause.statement, NOT_CHECKED, "left out"))
        elif failed is not None:
            findings.append(Finding(clause.name, clause.statement, NOT_CHECKED, f"see {failed}, which failed"))
        else:
            findings.append(_finding(clause, subject, raised))
    return tuple(findings)


def _finding(clause: Clause[S], subject: S, raised: Callable[[str], BrokenError]) -> Finding:
    try:
        clause.look(subject)
    except InapplicableError as reason:
        return Finding(clause.name, clause.statement, NOT_CHECKED, str(reason))
    except BrokenError as fault:
        return Finding(clause.name, clause.statement, FAILED, clause.blame, fault.example)
    except Exception as error:
        found = f"raised {first_line(error)}"
        why = f"{found}, where it should hold: {clause.statement}"
        return Finding(clause.name, clause.statement, FAILED, why, raised(found).example)
    return Finding(clause.name, clause.statement, PASSED, clause.how)
