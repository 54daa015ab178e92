"""A problem by its name."""

import dataclasses

from .._errors import check_choice
from .._typed import typed
from ._catalogue import CATALOGUE
from ._problem import Problem


@typed()
def get(name: str) -> Problem:
    """The problem of a name, with the arguments its constructor has by default or by that name.

    Arguments:
        name: one of `names()`.

    Raises:
        InputError: the name is unknown (a near miss is suggested), or its data need scikit-learn.

    >>> import thalweg as tw
    >>> problem = tw.problems.get("rosenbrock")
    >>> problem.start.shape, float(problem.objective.value(problem.objective.minimiser))
    ((2,), 0.0)
    """
    check_choice("problem", name, CATALOGUE)
    from .. import problems

    constructor, arguments = CATALOGUE[name]
    return dataclasses.replace(getattr(problems, constructor)(**arguments), name=name)
