"""Smooth problems without constraints, with their published starts and minima: what a minimiser is judged by."""

from . import cute_chained, cute_scalable, cute_small, learning, mgh_scalable, mgh_small
from ._problem import Problem

PROBLEMS: dict[str, Problem] = {}
_FILES = (mgh_small, mgh_scalable, cute_small, cute_chained, cute_scalable, learning)
for _problem in (problem for file in _FILES for problem in file.PROBLEMS):
    if _problem.name in PROBLEMS:
        raise ValueError(f"two problems are called {_problem.name}")
    PROBLEMS[_problem.name] = _problem

__all__ = ["PROBLEMS", "Problem"]
