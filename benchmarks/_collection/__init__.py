"""Smooth problems without constraints, with their published starts and minima: what a minimiser is judged by."""

from . import mgh_scalable, mgh_small
from ._problem import Problem

PROBLEMS: dict[str, Problem] = {}
for _shelf in (mgh_small.PROBLEMS, mgh_scalable.PROBLEMS):
    for _problem in _shelf:
        if _problem.name in PROBLEMS:
            raise ValueError(f"two problems are called {_problem.name}")
        PROBLEMS[_problem.name] = _problem

__all__ = ["PROBLEMS", "Problem"]
