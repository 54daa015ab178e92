"""What benchmarks/RESULTS.md holds, in one table: a row a question."""

import re
import statistics
from pathlib import Path

RESULTS = Path(__file__).parents[2] / "benchmarks" / "RESULTS.md"


def summary() -> str:
    """For each question its date, how many cases there are, the ratios of ours over the peer, and what was not held."""
    lines = ["| benchmark | question | measured | cases | ratio: least, median, most | bound not held in |"]
    lines.append("|" + " --- |" * 6)
    for name, body in re.findall(
        r"^## (\w+)\n(.*?)(?=^## |\Z)", RESULTS.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE
    ):
        ratios = [float(ratio) for ratio in re.findall(r"^\|(?:[^|]*\|){3} ([\d.e+-]+) \|", body, flags=re.MULTILINE)]
        question = next(line for line in body.splitlines() if line and not re.match(r"\d{4}-|\|", line))
        date = re.search(r"^(\d{4}-\d\d-\d\d)", body, flags=re.MULTILINE)
        spread = ", ".join(f"{value:.3g}" for value in (min(ratios), statistics.median(ratios), max(ratios)))
        cells = (
            f"`{name}`",
            question,
            date[1].replace("-", "\N{NON-BREAKING HYPHEN}") if date else "not dated",
            len(ratios),
            spread,
            body.count("(not held)"),
        )
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)
