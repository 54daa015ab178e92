"""Results of a check of an optimizer, of a method, or of a geometry."""

import dataclasses
import textwrap
from typing import Any

PASSED, FAILED, NOT_CHECKED = "passed", "failed", "not checked"


@dataclasses.dataclass(frozen=True)
class Example:
    """The smallest example at which a check fails.

    Attributes:
        settings: what the factory was called with.
        dimension: how many parameters.
        steps: how many steps.
        start: the parameters at the start.
        gradients: one list a step; none of a method, which takes its own.
        expected: what should have been found, in words or numbers.
        found: what was found.
        code: lines to paste that show it; `factory`, or `geometry`, is what was checked.
    """

    settings: dict[str, Any]
    dimension: int
    steps: int
    start: list[float]
    gradients: list[list[float]]
    expected: Any
    found: Any
    code: str

    @property
    def apart(self) -> float | None:
        """The largest difference between what was expected and found, None where they are no numbers."""
        import numpy as np

        try:
            one, other = (np.ravel(np.asarray(value, float)) for value in (self.expected, self.found))
        except (TypeError, ValueError):
            return None
        if one.size == 0 or one.shape != other.shape or not np.isfinite(one - other).all():
            return None
        return float(np.max(np.abs(one - other)))

    @property
    def of_rounding(self) -> str:
        """A word where that is of the size of rounding in double precision."""
        import numpy as np

        scale = max(1.0, float(np.max(np.abs(np.asarray(self.expected, float)), initial=0.0)))
        return ", of the size of rounding" if self.apart is not None and self.apart <= 1e-12 * scale else ""


@dataclasses.dataclass(frozen=True)
class Finding:
    """One check.

    Attributes:
        name: of the check.
        statement: what should hold.
        status: "passed", "failed" or "not checked".
        why: in one line: how it was checked, what is wrong, or why it was not checked.
        example: the smallest one, where it failed.
    """

    name: str
    statement: str
    status: str
    why: str
    example: Example | None = None


@dataclasses.dataclass(frozen=True, repr=False)
class Report:
    """Result of `check_optimizer`, `check_method` or `check_geometry`: prints itself, `assert report.passed, report`.

    Attributes:
        factory: its name.
        framework: "torch", "optax" or "keras"; "thalweg" of a method or a geometry.
        findings: one a check.
    """

    factory: str
    framework: str
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Tell whether nothing failed."""
        return not self.failures

    @property
    def failures(self) -> tuple[Finding, ...]:
        """The findings that failed."""
        return tuple(finding for finding in self.findings if finding.status == FAILED)

    def __getitem__(self, name: str) -> Finding:
        for finding in self.findings:
            if finding.name == name:
                return finding
        raise KeyError(name)

    def as_list(self) -> list[dict[str, Any]]:
        """One dictionary a check."""
        alike = {"factory": self.factory, "framework": self.framework}
        return [alike | dataclasses.asdict(finding) for finding in self.findings]

    def raise_for_failures(self) -> None:
        """Raise AssertionError with the report as its text if a check failed."""
        if not self.passed:
            raise AssertionError(str(self))

    @property
    def title(self) -> str:
        """Summary in one line: what was checked, and how it went."""
        counts = [(status, sum(f.status == status for f in self.findings)) for status in (PASSED, FAILED, NOT_CHECKED)]
        counted = ", ".join(f"{count} {status}" for status, count in counts if count)
        return f"{self.factory} ({self.framework}): {counted}"

    @property
    def explanations(self) -> str:
        """Each failure with its smallest example."""
        return "\n\n".join(_explained(finding) for finding in self.failures)

    @property
    def columns(self) -> tuple[str, ...]:
        """The head of the table; why a check was not made, where one was not."""
        left = any(f.status == NOT_CHECKED for f in self.findings)
        return ("check", "what should hold", "status", *(("why not",) if left else ()))

    @property
    def rows(self) -> list[tuple[str, ...]]:
        """The table, one check a row."""
        width = len(self.columns)
        rows = ((f.name, f.statement, f.status, f.why if f.status == NOT_CHECKED else "") for f in self.findings)
        return [row[:width] for row in rows]

    def __repr__(self) -> str:
        from .._showing.text import make_table, plain

        table = plain(make_table(self.columns, self.rows, self.title))
        return "\n\n".join(filter(None, (table, self.explanations)))


def _explained(finding: Finding) -> str:
    lines = [f"{finding.name}: {finding.why}"]
    example = finding.example
    if example is not None:
        lines += [textwrap.indent(example.code, "    "), f"    # expected {_shown(example.expected)}"]
        lines += [f"    # found    {_shown(example.found)}"]
    return "\n".join(lines)


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_shown, value))}]"
    return f"{value:.10g}" if isinstance(value, float) else str(value)
