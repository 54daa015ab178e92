"""What an error says: in one line, with what it quotes cut."""

import numpy as np
import pytest

from thalweg import InputError
from thalweg._errors import as_reals, check_arguments, check_count, cut


@pytest.mark.parametrize(
    "value",
    ["x" * 10_000, ["a"] * 5000, {"a": list(range(3000))}, 'it\'s "so" ' * 900, np.arange(9e4).reshape(300, 300)],
)
def test_what_is_quoted_is_cut(value):
    said = str(InputError(f"steps must be a whole number, but is {value!r}; torch's own way (no) is 'this'"))
    assert said.startswith("steps must be a whole number, but is ")
    assert "..." in said
    assert said.endswith("; torch's own way (no) is 'this'")
    assert len(said) < 300
    assert "\n" not in said


def test_what_is_short_stays():
    names = ", ".join(f"method_{i}" for i in range(40))
    for said in (f"method 'x' is unknown; choose one of: {names}", "it's (as here) [1, 2] 'and so' on"):
        assert cut(said) == said
    # Words without a bracket or a quotation mark have an end as well.
    assert len(cut("ab " * 9000)) < 1000


def test_a_function_is_asked_for_its_arguments():
    check_arguments("stop", lambda metrics, more=1: True, "metrics")
    check_arguments("stop", np.sin, "metrics")
    for wrong in (lambda: None, lambda a, b: None, int, 3):
        with pytest.raises(InputError, match="stop must be a function of metrics"):
            check_arguments("stop", wrong, "metrics")


def test_counts_and_arrays():
    assert check_count("steps", np.int32(3)) == 3
    with pytest.raises(InputError, match=r"steps must be less than 2\*\*63"):
        check_count("steps", 10**400)
    assert as_reals("curvature", [1, 2.5]).tolist() == [1.0, 2.5]
    for wrong in ("1.0", ["1.0"], [[1.0], [1.0, 2.0]], [], True, 1j, 10**400):
        with pytest.raises(InputError, match="curvature must be a number or an array of numbers"):
            as_reals("curvature", wrong)
