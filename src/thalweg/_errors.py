"""Errors a user can act on, and the checks that raise them."""

import difflib
import math
import operator
import os
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

# Characters of what is quoted in a message, and of all of it.
_QUOTED, _MESSAGE = 160, 1000
# Kinds of dtypes; only bfloat16 and its like are of kind V among what NumPy takes for numbers.
_REAL = "iufV"
_OPENS = re.compile(r"""(?<![\w])['"]|[\[({<]""")
_CLOSES = {"[": "]", "(": ")", "{": "}", "<": ">"}


class InputError(ValueError):
    """Wrong input: one line that says what is wrong and what would be right."""

    def __init__(self, message: str) -> None:
        # What is quoted in it (an array, a method) may print as several lines, or as a page.
        super().__init__(cut(" ".join(line.strip() for line in message.splitlines())))


class MissingExtraError(InputError):
    """Something that is asked for needs a package that comes with an extra and is not installed."""


def cut(text: str) -> str:
    """A message with what it quotes cut: texts, and what stands in brackets."""
    if len(text) <= _QUOTED:
        return text
    parts, at = [], 0
    while (opened := _OPENS.search(text, at)) is not None:
        end = _end_of_quote(text, opened.start())
        parts += [text[at : opened.start()], _shortened(text[opened.start() : end], _QUOTED)]
        at = end
    text = "".join([*parts, text[at:]])
    text = " ".join(_shortened(word, _QUOTED) for word in text.split(" "))
    return _shortened(text, _MESSAGE)


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most * 3 // 5]}...{text[-most // 4 :]}"


def _end_of_quote(text: str, start: int) -> int:
    """The place after the bracket or the quotation mark that closes the one at `start`; the end, if none does."""
    if text[start] not in _CLOSES:
        at = start + 1
        while at < len(text) and text[at] != text[start]:
            at += 2 if text[at] == "\\" else 1
        # An apostrophe that nothing closes is no quotation mark.
        return at + 1 if at < len(text) else start + 1
    opens, closes, depth = text[start], _CLOSES[text[start]], 0
    for at in range(start, len(text)):
        depth += (text[at] == opens) - (text[at] == closes)
        if not depth:
            return at + 1
    return start + 1


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
    import jax
    import numpy as np
    from jax.core import Tracer

    if isinstance(value, Tracer):
        return True
    if isinstance(value, jax.Array):
        # Without taking it to the host. A key has a dtype of no kind.
        return getattr(value.dtype, "kind", "") in _REAL
    try:
        return np.asarray(value).dtype.kind in _REAL
    except (TypeError, ValueError, OverflowError):
        return False


def as_reals(what: str, value: Any) -> "np.ndarray":
    """Numbers as an array of float64; refuse what is none, or nothing at all."""
    import numpy as np

    if not is_real(value) or np.size(value) == 0:
        raise InputError(f"{what} must be a number or an array of numbers, but is {value!r}")
    return np.asarray(value, dtype=float)


def is_number(value: object) -> bool:
    """Tell whether a value is one real number."""
    if type(value) is float:
        return True
    import numpy as np

    return is_real(value) and np.ndim(value) == 0  # pyright: ignore[reportArgumentType]


def is_whole(value: object) -> bool:
    """Tell whether a value is a whole number; of truth values `check_count` has more to say."""
    if type(value) is int:
        return True
    try:
        operator.index(value)  # pyright: ignore[reportArgumentType]
    except TypeError:
        return False
    return True


def is_path(value: object) -> bool:
    """Tell whether a value is a path that the system would take."""
    if not isinstance(value, str | os.PathLike):
        return False
    text = str(value)
    if "\0" in text:
        return False
    # No name of so few characters has more bytes.
    return len(text) <= 63 or all(len(name.encode(errors="replace")) <= 255 for name in text.split(os.sep))


def check_number(
    what: str,
    value: object,
    *,
    above: float | None = None,
    at_least: float | None = None,
    at_most: float | None = None,
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
    if at_most is not None and not number <= at_most:
        raise InputError(f"{what} must be at most {at_most:g}, but is {number:g}")
    if below is not None and not number < below:
        raise InputError(f"{what} must be less than {below:g}, but is {number:g}")


def check_scale(what: str, value: object) -> None:
    """Refuse a number that is not positive, or whose powers leave the floating-point range."""
    check_number(what, value, above=0.0)
    if not 1e-100 <= float(value) <= 1e100:  # pyright: ignore[reportArgumentType]
        raise InputError(f"{what} must be between 1e-100 and 1e100, but is {value!r}")


def check_count(what: str, value: object, *, at_least: int = 1) -> int:
    """Refuse what is not a whole number of at least `at_least`; return it as an int."""
    try:
        count = operator.index(value)  # pyright: ignore[reportArgumentType]
    except TypeError:
        raise InputError(f"{what} must be a whole number, but is {value!r}") from None
    if isinstance(value, bool) or count < at_least:
        raise InputError(f"{what} must be a whole number of at least {at_least}, but is {value!r}")
    if count >= 2**63:
        raise InputError(f"{what} must be less than 2**63, but is {value!r}")
    return count


def check_arguments(what: str, function: Any, *names: str) -> None:
    """Refuse a function that does not take so many arguments; one that does not tell is taken."""
    import inspect

    of = names[0] if len(names) == 1 else f"({', '.join(names)})"
    if not callable(function) or (isinstance(function, type) and function.__module__ == "builtins"):
        raise InputError(f"{what} must be a function of {of}, but is {function!r}")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(*names)
    except TypeError as error:
        raise InputError(f"{what} must be a function of {of}, but takes {signature}: {error}") from None


def _key_of(seed: int) -> Any:
    """`jax.random.key`, whose two programs are not compiled for the generator that JAX comes with."""
    import jax
    import numpy as np

    if jax.config.jax_default_prng_impl != "threefry2x32" or seed >= 2**63:  # pyright: ignore
        return jax.random.key(seed)
    high = seed >> 32 if jax.config.jax_enable_x64 else 0  # pyright: ignore
    words: Any = np.array([high & 0xFFFFFFFF, seed & 0xFFFFFFFF], np.uint32)
    return jax.random.wrap_key_data(words, impl="threefry2x32")


def as_key(key: Any) -> Any:
    """A seed or a JAX key as a JAX key; refuse what is neither, or several."""
    import jax
    import jax.numpy as jnp

    if not isinstance(key, jax.Array):
        return _key_of(check_count("key", key, at_least=0))
    # A key of either style: of a dtype of its own, or a vector of two words.
    new = jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    if key.ndim != (0 if new else 1) or not (new or key.dtype == jnp.uint32):
        raise InputError(f"key must be one seed or JAX key, such as key=0, but is {key.dtype} of shape {key.shape}")
    return key
