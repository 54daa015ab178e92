"""The contract of a method: what holds for every law and scheme, one check a clause."""

from collections.abc import Mapping

from ._clause import Clause
from ._figures import gradients, hyperparameters, limit, order
from ._form import dtype, finite, form, moved, pure
from ._subject import Subject
from ._ways import recompile, resume, tree, vmap

_FORM = ("form",)
# What follows a path says nothing new of one that is no function of the state, or stands still.
_PATH = ("form", "finite", "pure", "phase")
METHOD_CHECKS: tuple[Clause[Subject], ...] = (
    Clause(
        "form",
        "the state of a step has the parts and shapes that it had",
        "exactly",
        "a step loses or reshapes a part of the state; does it hand on velocity, clock, memory and auxiliary?",
        form,
    ),
    Clause(
        "finite",
        "from an ordinary start all numbers are finite",
        "for 5 steps",
        "a number is not finite after a few steps from an ordinary start",
        finite,
        _FORM,
    ),
    Clause(
        "pure",
        "a step is a function of its arguments alone",
        "bit for bit; compiled to 1e-12",
        "the same step is another when it is made again, or compiled; does it keep anything outside of its state?",
        pure,
    ),
    Clause(
        "phase",
        "all that the law moves is moved",
        "within 10 steps",
        "a variable to which the law gives a rate stays where it is; are all parts of the phase moved?",
        moved,
        _FORM,
    ),
    Clause(
        "dtype",
        "float32 and bfloat16 stay what they are, leaf by leaf",
        "exactly",
        "a step changes a dtype; is it written in thalweg.dynamics.combine, which keeps that of each leaf?",
        dtype,
        _FORM,
    ),
    Clause(
        "order",
        "it converges to its law at the order that its scheme claims",
        "to 0.15",
        "the order that is measured is not the one that the scheme claims",
        order,
        _PATH,
    ),
    Clause(
        "limit",
        "it is stable up to the step that is predicted",
        "to 1%; 2.5% where the law changes in time",
        "the largest stable step is not the predicted one; does the scheme keep in its memory what init does not know?",
        limit,
        _PATH,
    ),
    Clause(
        "gradients",
        "the gradients that it counts are those that it takes",
        "exactly",
        "more or fewer gradients are taken than are counted; are all taken by the law's evaluate, and reported?",
        gradients,
        (*_FORM, "finite", "phase"),
    ),
    Clause(
        "tree",
        "tw.run, on one vector, goes where steps on the tree go",
        "to 1e-10; 1e-8 where f sets the steps",
        "a run leaves the path of steps on the tree; does a law that is elementwise, or the scheme, look at shapes?",
        tree,
        _PATH,
    ),
    Clause(
        "vmap",
        "under jax.vmap its settings go where they go alone",
        "to 1e-8",
        "jax.vmap over its numbers, or starts, goes elsewhere or fails",
        vmap,
        _PATH,
    ),
    Clause(
        "recompile",
        "another value of a number compiles nothing anew",
        "exactly",
        "a number is compiled in",
        recompile,
        _FORM,
    ),
    Clause(
        "resume",
        "saved and resumed it is as uninterrupted",
        "bit for bit",
        "a resumed run is another run; is all that a step needs in its state?",
        resume,
        (*_FORM, "finite"),
    ),
    Clause(
        "hyperparameters",
        "the numbers that go in come out, by the same names",
        "to 1e-9",
        "a number that was given is not the one that the method tells, or has another name there",
        hyperparameters,
    ),
)
METHODS_BY_NAME: Mapping[str, Clause[Subject]] = {check.name: check for check in METHOD_CHECKS}
