"""Does the page of four methods on digits take at most 24 seconds of CPU to write (twelve on two cores)?

Every position kept, five figures; the comparison that it shows is not counted. The peer is the bound itself.
"""

import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import thalweg as tw
from benchmarks._harness import Result

_SECONDS, _REPEATS = 24.0, 3


def results() -> Iterator[Result]:
    problem = tw.problems.get("digits").solved()
    f = problem.objective
    methods = {
        "gradient descent": tw.gradient_descent(f, 1.36),
        "rk4": tw.Method(tw.GradientFlow(f), tw.RK4(), 2.7),
        "momentum": tw.momentum(f, 1.36, 0.9),
        "nesterov": tw.nesterov(f, 1.36, 0.9),
    }
    found = tw.compare(methods, problem.start, 1e-4, 1000, limits=False, record=1, progress=False)
    times = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(_REPEATS):
            began = time.process_time()
            page = found.report(Path(folder) / "report.html")
            times.append(time.process_time() - began)
        assert page.read_text("utf-8").count("<svg") == 5
    yield Result("report of digits", statistics.median(times), _SECONDS, 1.0, _REPEATS, 0.0, "CPU s")
