"""What does `import thalweg` cost over `import jax, equinox, optax`, and does --help stay away from jax?

Ours is `import jax, equinox, optax, thalweg` with one public name of every module touched.
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

from benchmarks._harness import Result

OURS = "import thalweg as tw; tw.run, tw.compare, tw.sweep, tw.table, tw.momentum, tw.analysis, tw.Objective"
PEER = "import jax, equinox, optax"
PLAIN = "import thalweg"


def results() -> Iterator[Result]:
    for case, ours, peer, bound in (
        ("import thalweg, every name loaded", OURS, PEER, 1.15),
        ("import thalweg", PLAIN, PEER, 1.15),
        ("thalweg --help", "from thalweg.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass", PEER, 1.0),
    ):
        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(9):
            for i, code in enumerate((ours, peer)):
                began = time.perf_counter()
                subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
                times[i].append(time.perf_counter() - began)
        yield Result(case, statistics.median(times[0]), statistics.median(times[1]), bound, 9, 0.0)
