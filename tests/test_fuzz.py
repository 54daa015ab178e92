"""Whatever a public function is given is taken, or refused in one line: no raw exception, nothing wrong in silence.

Of a call that works (tests/calls.py) one argument after the other is replaced by what is wrong. A value of another type
than the signature says must be refused, before anything is written.
"""

import inspect
import os
import random
import types
import typing
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

import thalweg as tw
from tests.calls import bowl, calls, found


class Odd:
    def __repr__(self):
        return "Odd\n" * 400


nan, inf = float("nan"), float("inf")
WRONG = [
    None, True, False, "", "no", "x" * 10_000, "a\0b", b"bytes", nan, inf, -inf, -1, 0, -1.5, 2.5, 10**400, 1e308,
    1e-320,
    1j, object(), Odd(), [], {}, (), [nan], ["a"], [[1.0], [1.0, 2.0]], {"a": 1}, {1, 2}, lambda: None, int, range(3),
    np.array(["a"]), np.zeros((2, 2, 2)), np.zeros(0), np.array([None]), np.array(nan), np.float32(-1.0),
    jnp.array([1, 2]),
    Path("place"), tw.gradient_descent(bowl, 0.1), tw.Hyperparameters(0.1, 0.9),
    tw.GradientFlow(bowl), tw.Euler(), Exception("x"),
]  # fmt: skip


CALLS = calls()


_VARYING = inspect.Parameter.VAR_KEYWORD


def cases():
    for name, call in CALLS.items():
        parameters = inspect.signature(found(name)).parameters
        # What is made only when it is called has its names in the signature.
        names = call if isinstance(call, dict) else parameters
        names = [one for one in names if parameters.get(one) is None or parameters[one].kind is not _VARYING]
        yield from ((name, argument, i) for argument in names if argument != "self" for i in range(len(WRONG)))


CASES = list(cases())


def misfits(parameter, value):
    """Tell whether a value is surely none of the plain types that the annotation of a parameter names."""
    annotation = parameter.annotation
    args = typing.get_args(annotation)
    if typing.get_origin(annotation) not in (typing.Union, types.UnionType):
        args = (annotation,)
    plain = {
        bool: bool,
        int: (int, np.integer, jax.Array),
        str: str,
        float: (int, float, np.ndarray, np.generic, jax.Array),
    }
    if any(arg not in plain and arg not in (type(None), Path) for arg in args):
        return False
    allowed = [one for arg in args if arg in plain for one in np.ravel(plain[arg])]
    if value is None:
        return type(None) not in args and parameter.default is not None
    if isinstance(value, Path) and Path in args:
        return False
    return not isinstance(value, tuple(allowed)) or (isinstance(value, bool) and bool not in allowed)


def attempt(name, argument, value):
    """Call, and say what is wrong with what comes of it; None where nothing is."""
    function, call = found(name), CALLS[name]
    given = dict(call() if callable(call) else call) | {argument: value}
    before = set(os.listdir())
    try:
        if name.startswith("claims."):
            function(given["ids"])
        elif name == "Recorder":
            function(**given).close()
        else:
            function(**given)
    except tw.InputError as error:
        said = str(error)
        if "\n" in said or len(said) > 1100:
            return f"a message of {len(said)} characters, {said.count(chr(10))} line breaks"
        left = {entry for entry in set(os.listdir()) - before if not entry.startswith(".")}
        return f"refused after {left} was written" if left else None
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:150]!r}"
    parameter = inspect.signature(function).parameters.get(argument)
    if parameter is not None and misfits(parameter, value):
        return "taken in silence"
    return None


# What runs, compiles or writes takes a second where it is taken.
SLOW = (
    "run", "solve", "minimize", "sample", "sweep", "compare", "work_precision", "analysis", "testing", "plot", "Work",
    "Recorder", "claims", "problems.logistic", "problems.network", "adapters", "translate", "Comparison", "FiniteSum",
    "PseudoTransient",
)  # fmt: skip
# What is refused here is refused before anything is compiled.
WORDS = [i for i, value in enumerate(WRONG) if type(value) in (str, object, Odd, Exception) and value != ""]


@pytest.fixture
def a_user(monkeypatch, tmp_path):
    """As a user calls: without the type checker of the tests, in a directory of its own."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    monkeypatch.chdir(tmp_path)


def wrong_among(chosen):
    """What comes out of a list of cases, by the case."""
    wrong = {}
    for k, (name, argument, i) in enumerate(chosen):
        # Each in a directory of its own.
        os.mkdir(f"{k}")
        with warnings.catch_warnings():
            # What is taken may warn, of a sampling that is too short, say.
            warnings.simplefilter("ignore")
            before = os.getcwd()
            os.chdir(f"{k}")
            try:
                said = attempt(name, argument, WRONG[i])
            finally:
                os.chdir(before)
        if said is not None:
            wrong[f"{name}({argument}={WRONG[i]!r:.40})"] = said
    return wrong


def test_some_inputs(a_user):
    quick = [case for case in CASES if not case[0].startswith(SLOW)]
    typed = [
        (name, argument, i)
        for name, argument, i in CASES
        if i in WORDS and name.startswith(SLOW) and is_plain(name, argument)
    ]
    assert len(typed) > 300
    draw = random.Random(19)
    assert wrong_among(draw.sample(quick, 200) + draw.sample(typed, 100)) == {}


def is_plain(name, argument):
    """Tell whether an argument is a number, a truth value or None, so that no text or object is one."""
    parameter = inspect.signature(found(name)).parameters.get(argument)
    return parameter is not None and misfits(parameter, object()) and misfits(parameter, "no")


@pytest.mark.slow
@pytest.mark.parametrize("part", range(8))
def test_twelve_thousand_inputs(part, a_user):
    chosen = random.Random(20).sample(CASES, 12_000)
    assert wrong_among(chosen[part::8]) == {}


def public_functions():
    """Those that take something, by the name that a user has for them."""
    for room in ("", "analysis", "networks", "plot", "problems", "claims", "testing"):
        package = found(room) if room else tw
        for name in dir(package):
            value = getattr(package, name)
            public = inspect.isfunction(value) and not name.startswith("_") and value.__module__.startswith("thalweg")
            if public and inspect.signature(value).parameters:
                yield f"{room}.{name}" if room else name, value


def test_every_public_function_is_called():
    """A new one is to be put into tests/calls.py."""
    assert [name for name, _ in public_functions() if name not in CALLS] == []


def test_every_public_function_checks_its_types():
    """A new one is to be decorated with `@typed()`."""

    # What it takes goes into the fields of a module, where it is checked.
    assert [name for name, value in public_functions() if not hasattr(value, "is_typed")] == ["Rodas5P"]
