"""Does tw.minimize solve as many problems as SciPy's and optimistix's quasi-Newton methods, with as few gradients?

Solved is a gradient of at most 1e-5 max(1, |g0|) within 10,000 evaluations, a product of the Hessian counting as two.
The problems are those of Moré, Garbow and Hillstrom, of CUTEst and of machine learning in benchmarks/_collection;
the gradients on each are in benchmarks/minimizers.csv.
"""

import sys
from collections.abc import Iterator

import numpy as np

from benchmarks._collection import PROBLEMS
from benchmarks._harness import Result
from benchmarks._peers_minimize import keep, measure, ratios, report, solved


def results() -> Iterator[Result]:
    found = measure(PROBLEMS.values())
    report(found)
    if "--write" in sys.argv:
        keep(found)
    n, ours = len(found), solved(found, "tw.minimize")
    for peer in ("L-BFGS-B", "BFGS", "optimistix BFGS"):
        theirs = solved(found, peer)
        yield Result(f"solves {ours} of {n}, {peer} {theirs}", n / ours, n / theirs, 1.0, 1, 0.0, "tries a success")
    against = list(ratios(found, "tw.minimize", "L-BFGS-B").values())
    for name, part, bound in (("median", 0.5, 2.0), ("90 %", 0.9, 2.0)):
        case = f"gradients over L-BFGS-B's, both solve {len(against)}: {name}"
        yield Result(case, float(np.quantile(against, part)), 1.0, bound, 1, 0.0, "times")
