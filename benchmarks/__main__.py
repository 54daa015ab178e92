"""python -m benchmarks [NAME ...] [--write]: run the questions, print the ratios, keep them in RESULTS.md."""

import importlib
import os
import pkgutil
import re
import sys
from datetime import date
from pathlib import Path

os.environ.setdefault("JAX_ENABLE_X64", "1")
os.environ.setdefault("EQX_ON_ERROR", "nan")

from benchmarks._harness import Result, amount, machine


def main() -> int:
    names = [module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)]) if module.name[0] != "_"]
    asked = [name for name in sys.argv[1:] if not name.startswith("--")]
    unknown = set(asked) - set(names)
    if unknown:
        print(f"error: no benchmark {', '.join(sorted(unknown))}; there are {', '.join(names)}", file=sys.stderr)
        return 2
    sections = []
    held = True
    for name in asked or names:
        module = importlib.import_module(f"benchmarks.{name}")
        print(f"\n{module.__doc__}", flush=True)
        rows = []
        for result in module.results():
            rows.append(result)
            held &= result.verdict == "held"
            print(line(result), flush=True)
        sections.append((name, module.__doc__ or "", rows))
    if "--write" in sys.argv:
        write(sections)
    return 0 if held else 1


def line(result: Result) -> str:
    verdict = result.verdict if result.verdict == "held" else result.verdict.upper()
    return (
        f"  {result.case:44} ours {amount(result.ours, result.unit):>9}  peer {amount(result.peer, result.unit):>9}  "
        f"ratio {result.ratio:8.3f}{between(result):16}  bound {result.bound:<6g} {verdict}"
    )


def between(result: Result) -> str:
    return "" if result.interval is None else " ({:.3f}–{:.3f})".format(*result.interval)


def write(sections: list[tuple[str, str, list[Result]]]) -> None:
    """Put the sections measured now in place of the old ones; the others stay as they were."""
    file = Path(__file__).parent / "RESULTS.md"
    old = re.split(r"^## ", file.read_text(), flags=re.MULTILINE)[1:] if file.exists() else []
    kept = {section.split("\n", 1)[0].strip(): section.split("\n", 1)[1].strip() for section in old}
    for name, question, rows in sections:
        lines = [f"{date.today()}, {machine()}.\n", question.strip(), ""]
        lines.append("| case | ours | peer | ratio | bound | repeats | answers differ by |")
        lines.append("|---|---|---|---|---|---|---|")
        for r in rows:
            lines.append(
                f"| {r.case} | {amount(r.ours, r.unit)} | {amount(r.peer, r.unit)} | {r.ratio:.3f}{between(r)}"
                f" | {r.bound:g}{'' if r.verdict == 'held' else f' ({r.verdict})'} | {r.repeats} | {r.difference:.1e} |"
            )
        kept[name] = "\n".join(lines)
    text = [
        "# What was measured",
        "\nMedians of interleaved repeats; ratio is ours ÷ peer, in brackets the interval in which the median of the "
        "pairs lies with 95 %. A bound that lies in it is not held but within its error.",
    ]
    text += [f"\n## {name}\n\n{kept[name]}" for name in sorted(kept)]
    file.write_text("\n".join(text) + "\n")


if __name__ == "__main__":
    sys.exit(main())
