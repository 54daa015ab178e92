"""Tables of the methods, of targets and of checks, in Markdown."""

import thalweg as tw


def methods() -> str:
    """Every row of the table."""
    heads = ("method", "law of motion", "scheme", "order", "gradients", "stable where (curvature 1)", "reference")
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    for one in tw.table():
        row = one.as_dict()
        names = ", ".join(f"`{name}`" for name in (row["name"], *row["aliases"]))
        stability = row["stability"].replace("<", "&lt;")
        cells = (names, row["dynamics"], row["scheme"], row["order"], one.gradients, stability)
        lines.append("| " + " | ".join(map(str, cells)) + f" | {{cite:t}}`{row['reference']}` |")
    return "\n".join(lines)


def optimizer_checks() -> str:
    """Every check of an optimizer."""
    from thalweg.testing._contract import CHECKS

    lines = ["| check | what should hold | how closely | in |", "| --- | --- | --- | --- |"]
    return "\n".join(lines + [f"| {c.name} | {c.statement} | {c.how} | {', '.join(c.frameworks)} |" for c in CHECKS])


def method_checks() -> str:
    """Every check of a method."""
    from thalweg.testing._method_contract import METHOD_CHECKS

    lines = ["| check | what should hold | how closely |", "| --- | --- | --- |"]
    return "\n".join(lines + [f"| {c.name} | {c.statement} | {c.how} |" for c in METHOD_CHECKS])


def targets() -> str:
    """Every problem with moments."""
    lines = ["| target | what it is | parameters | moments | exact draws | reference |", "|" + " --- |" * 6]
    for problem in map(tw.problems.get, tw.problems.names()):
        if problem.moments is not None:
            draws = "yes" if problem.sampler else "no"
            cells = (f"`{problem.name}`", problem.description, problem.dimension, problem.moments.source, draws)
            lines.append("| " + " | ".join(map(str, cells)) + f" | {{cite:t}}`{problem.reference}` |")
    return "\n".join(lines)
