"""Types read from annotations: what is of another type is refused before the function is entered."""

import dataclasses
import runpy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import ArrayLike, PyTree

import thalweg as tw
from thalweg._typed import check_fields, typed

ENTERED = []


@typed()
def function(
    truth: bool = True,
    count: int | None = None,
    number: float | int = 1.0,
    text: str = "a",
    path: str | Path = "a",
    of: Callable[[Any], Any] | None = None,
    by_name: Mapping[str, Any] | None = None,
    several: Sequence[int] | None = None,
    rows: tuple[tuple[float, ...], ...] = (),
    reals: ArrayLike | Sequence[float] | None = None,
    method: tw.Method | None = None,
    late: "Path | None" = None,
    unknown: "NoSuchName | None" = None,
    said: Annotated[int, "a number of legs"] = 2,
    anything: Any = 0,
    tree: PyTree = None,
) -> None:
    ENTERED.append(locals())


GOOD = [
    dict(truth=False, count=np.int32(3), number=np.float32(2), path=Path("a"), of=print, by_name={}, several=[1]),
    dict(number=jnp.ones(()), several=np.arange(3), rows=[[], [1.0]], reals=[1.0], late=Path("a"), unknown=3),
    dict(reals=jnp.ones(3), anything=object(), tree={"a": object()}, count=None, said=4),
]
WRONG = {
    "truth": ("True or False", [1, "yes", None, np.zeros(2)]),
    "count": ("a whole number", [1.5, "3", [1]]),
    "number": ("a real number", ["1", True, None, 1j, np.ones(2), object()]),
    "text": ("text", [b"a", 1, None, Path("a")]),
    "path": ("a path", [1, None, "a\0b", "x" * 300]),
    "of": ("a function", [1, "print"]),
    "by_name": ("a dictionary", [[], "a"]),
    "several": ("a list or tuple", [1, "12", {1: 2}]),
    "rows": ("a list or tuple of", [[1.0], [["a"]], 3]),
    "reals": ("a real number", ["1", object(), {}]),
    "method": ("a tw.Method, such as tw.momentum(f, 0.1, 0.9)", ["momentum", tw.Method]),
    "late": ("a path", [3]),
    "said": ("a number of legs", ["two"]),
}


@pytest.mark.parametrize("given", GOOD)
def test_what_fits_is_taken(given):
    function(**given)
    assert all(ENTERED[-1][name] is value for name, value in given.items())


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_is_refused_by_name(name):
    words, values = WRONG[name]
    ENTERED.clear()
    for value in values:
        with pytest.raises(tw.InputError) as caught:
            function(**{name: value})
        assert str(caught.value).startswith(f"{name} must be {words}")
    assert not ENTERED


def test_by_position_as_by_name():
    with pytest.raises(tw.InputError, match="count must be a whole number, but is 'many'"):
        function(True, "many")


def test_it_stays_the_function_that_it_was():
    assert function.__name__ == "function"
    with pytest.raises(TypeError, match="unexpected keyword"):
        function(wrong=1)


@dataclasses.dataclass(frozen=True)
class Fields:
    count: int
    names: tuple[str, ...] = ()
    found: float | None = None

    def __post_init__(self):
        check_fields(self)


def test_fields():
    assert Fields(3, ["a"], None).names == ["a"]
    for given, said in (((1.5,), "count must be"), ((1, (2,)), "names must be"), ((1, (), "x"), "found must be")):
        with pytest.raises(tw.InputError, match=said):
            Fields(*given)


def test_a_class_of_a_file_that_was_run_by_itself(tmp_path):
    # Its module is gone when the class is used.
    file = tmp_path / "own.py"
    file.write_text(
        "from thalweg.dynamics import AbstractObjective\n"
        "class Bowl(AbstractObjective):\n"
        "    scale: float\n"
        "    late: 'NoSuchName'\n"
        "    def value(self, x, batch=None):\n"
        "        return self.scale * (x @ x)\n"
    )
    bowl = runpy.run_path(str(file))["Bowl"]
    assert float(bowl(2.0, None).value(jnp.ones(3))) == 6.0
    with pytest.raises(tw.InputError, match="scale must be a real number"):
        bowl("a", None)
