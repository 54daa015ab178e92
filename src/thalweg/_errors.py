"""Errors a user can act on, and the checks that raise them."""

import difflib
import math
from collections.abc import Iterable


class InputError(ValueError):
    """Wrong input: one line that says what is wrong and what would be right."""

    def __init__(self, message: str) -> None:
        # What is quoted in it (an array, a method) may print as several.
        super().__init__(" ".join(line.strip() for line in message.splitlines()))


def suggest(word: str, options: Iterable[str]) -> str:
    """`"; did you mean 'momentum'?"` for a near miss, else the list of what exists."""
    options = sorted(options)
    close = difflib.get_close_matches(word, options, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; choose one of: {', '.join(options)}"


def check_choice(what: str, word: object, options: Iterable[str]) -> None:
    """Refuse a name that is not one of `options`, suggesting the nearest."""
    options = list(options)
    if not isinstance(word, str) or word not in options:
        raise InputError(f"{what} {word!r} is unknown{suggest(str(word), options)}")


def is_real(value: object) -> bool:
    """Tell whether a value is a real number or an array of them; a truth value is none."""
    import numpy as np
    from jax.core import Tracer

    if isinstance(value, Tracer):
        return True
    try:
        # Only bfloat16 and its like are of kind V among what NumPy takes for numbers.
        return np.asarray(value).dtype.kind in "iufV"
    except (TypeError, ValueError):
        return False


def check_number(
    what: str,
    value: object,
    *,
    above: float | None = None,
    at_least: float | None = None,
    below: float | None = None,
) -> None:
    """Refuse a concrete number outside its range; tracers pass, a sweep traces them."""
    import numpy as np
    from jax.core import Tracer

    if isinstance(value, Tracer):
        return
    if not is_real(value):
        raise InputError(f"{what} must be a real number, but is {value!r}")
    array = np.asarray(value, dtype=float)
    if array.ndim != 0:
        raise InputError(f"{what} must be one number, but has shape {array.shape}; tw.sweep takes lists of values")
    number = float(array)
    if not math.isfinite(number):
        raise InputError(f"{what} must be finite, but is {number}")
    if above is not None and not number > above:
        raise InputError(f"{what} must be greater than {above:g}, but is {number:g}")
    if at_least is not None and not number >= at_least:
        raise InputError(f"{what} must be at least {at_least:g}, but is {number:g}")
    if below is not None and not number < below:
        raise InputError(f"{what} must be less than {below:g}, but is {number:g}")


def check_count(what: str, value: object, *, at_least: int = 1) -> int:
    """Refuse what is not a whole number of at least `at_least`; return it as an int."""
    import operator

    try:
        count = operator.index(value)  # pyright: ignore[reportArgumentType]
    except TypeError:
        raise InputError(f"{what} must be a whole number, but is {value!r}") from None
    if isinstance(value, bool) or count < at_least:
        raise InputError(f"{what} must be a whole number of at least {at_least}, but is {value!r}")
    return count
