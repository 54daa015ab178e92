"""Write down the tests that `make test` leaves out for their length: `python -m tools.long_tests FILE...`, at the root.

Each file holds what pytest printed with `--durations=0 --durations-min=0`; of several the least time counts. What is
listed already and was not run stays listed.
"""

import collections
import re
import sys
from collections.abc import Mapping
from pathlib import Path

LISTED = Path(__file__).parents[1] / "tests" / "long.txt"
# Seconds of a test whose kind others test too, and of one that is alone.
BESIDE, ALONE = 0.7, 3.0
# What a user meets first, and what nothing else tests.
KEPT = ("tests/cli/", "tests/web/", "tests/_records/", "tests/_loops/test_resume.py", "tests/test_")
_LINE = re.compile(r"\s*([\d.]+)s (?:call|setup|teardown)\s+(.+)")


def read(text: str) -> dict[str, float]:
    """Seconds of each test, from the lines that pytest prints."""
    times: dict[str, float] = collections.defaultdict(float)
    for line in text.splitlines():
        if found := _LINE.fullmatch(line):
            times[found[2]] += float(found[1])
    return dict(times)


def long(times: Mapping[str, float]) -> list[str]:
    """Tests that take long, but for the shortest of each kind where all of a kind do."""
    kinds: dict[str, list[str]] = collections.defaultdict(list)
    for test in times:
        kinds[test.partition("[")[0]].append(test)
    found = []
    for name, kind in kinds.items():
        if name.startswith(KEPT):
            continue
        kind.sort(key=times.__getitem__)
        if len(kind) > 1:
            found += [test for test in kind[1:] if times[test] > BESIDE]
        elif times[kind[0]] > ALONE:
            found += kind
    return sorted(found)


def main(files: list[str]) -> None:
    runs = [read(Path(file).read_text("utf-8")) for file in files]
    times = {test: min(run[test] for run in runs if test in run) for run in runs for test in run}
    listed = [test for test in LISTED.read_text("utf-8").splitlines() if test not in times]
    LISTED.write_text("".join(f"{test}\n" for test in sorted({*listed, *long(times)})), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
