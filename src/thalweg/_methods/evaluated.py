"""Programs of a few steps on small arrays, worked out by NumPy for many rows at once.

To compile one takes longer than all its calls, and so does `vmap` of one: here each value has an axis of rows in front.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.extend.core import ClosedJaxpr, Literal

from .._programs import BARELY, Static, with_options
from .._reading import on_change
from .in_numpy import ELEMENTWISE, KINDS, MADE, SEVERAL, Operation, alike, as_wide

# Longer ones are compiled; a loop counts as often as it is gone through, or as a solver is that converges.
_LONGEST, _ROUNDS = 40_000, 10
_MANY = 512
# Rows at a time: all that a program works out is held until its end.
_ABREAST = 2**14


class Evaluated:
    """A function of arrays that gives one, traced once for each kind of argument and worked out by NumPy.

    A program that is long, or that NumPy has not all of, is compiled.

    Arguments:
        fn: the function.
        rows: so many of its last arguments are given as rows, one behind the other, and so is what comes of them.
    """

    def __init__(self, fn: Callable[..., Any], rows: int = 0) -> None:
        self._rows = rows
        self.known: dict[Any, _Program] = {}
        on_change(self.known.clear)

        def one(static: Static, arrays: Any, *each: Any) -> Any:
            return fn(*eqx.combine(arrays, static.tree), *each)

        def many(static: Static, arrays: Any, *each: Any) -> Any:
            return jax.vmap(lambda *row: one(static, arrays, *row))(*each) if each else one(static, arrays)

        one.__name__ = many.__name__ = getattr(fn, "__name__", "evaluated")
        self.one: Any = jax.jit(one, static_argnums=0)
        self.many, self.inner = with_options(many, BARELY), many

    def __call__(self, *args: Any) -> Any:
        """Give what comes of the arguments, for each row."""
        return self.of(*args[: len(args) - self._rows])(*args[len(args) - self._rows :])

    def of(self, *shared: Any) -> "_Bound":
        """The function of its rows alone, which is looked up more quickly."""
        return _Bound(self, *eqx.partition(shared, eqx.is_array))


@dataclasses.dataclass
class _Program:
    """A function for one kind of arguments, as far as it is known."""

    operation: Operation | None
    shape: tuple[int, ...]
    # Rows for which it was compiled.
    size: int = 0


class _Bound:
    """A function whose first arguments are given."""

    def __init__(self, whole: Evaluated, arrays: Any, rest: Any) -> None:
        self._whole, self._arrays, self._static = whole, arrays, Static(rest)
        self._leaves = jax.tree.leaves(arrays)
        self._known: dict[Any, _Program] = {}

    def shape(self, *each: Any) -> tuple[int, ...]:
        """The shape of what comes of one row."""
        return self._program(each).shape

    def __call__(self, *each: Any) -> Any:
        if any(isinstance(leaf, Tracer) for leaf in (*self._leaves, *each)):
            return self._whole.inner(self._static, self._arrays, *each)
        program = self._program(each)
        if program.operation is None:
            return self._compiled(program, each)
        # What is not finite is a number here, as it is in a compiled program.
        with np.errstate(all="ignore"):
            leaves = [np.asarray(leaf)[None] for leaf in self._leaves]
            return _worked_out(program.operation, leaves, [*map(np.asarray, each)])

    def _program(self, each: Sequence[Any]) -> _Program:
        # The one of these rows is asked for again and again, while the whole of what is given is long to look up.
        kinds = (jnp.result_type(float), *((one.shape[1:], one.dtype) for one in each))
        if kinds not in self._known:
            self._known[kinds] = self._looked_up([jax.ShapeDtypeStruct(one.shape[1:], one.dtype) for one in each])
        return self._known[kinds]

    def _looked_up(self, rows: Sequence[Any]) -> _Program:
        kinds = [(one.shape, one.dtype) for one in (*self._leaves, *rows)]
        key, known = (self._static, jnp.result_type(float), *kinds), self._whole.known
        if key not in known:
            if len(known) >= _MANY:
                known.clear()
            traced = self._whole.one.trace(self._static, self._arrays, *rows)
            found = traced.jaxpr
            operation = _whole(found) if _length(found.jaxpr) <= _LONGEST else None
            known[key] = _Program(operation, traced.out_info.shape)
        return known[key]

    def _compiled(self, program: _Program, each: Sequence[Any]) -> Any:
        if not each:
            return self._whole.many(self._static, self._arrays)
        # Fewer rows than before are the same program, of which some are worked out for nothing.
        count = len(each[0])
        program.size = max(program.size, count)
        filled = [np.concatenate([one, np.repeat(one[-1:], program.size - count, axis=0)]) for one in each]
        return np.asarray(self._whole.many(self._static, self._arrays, *filled))[:count]


def _worked_out(operation: Operation, shared: list[Any], each: list[Any]) -> Any:
    if not each:
        return operation(*shared)[0][0]
    found = []
    for begin in range(0, len(each[0]), _ABREAST):
        rows = [one[begin : begin + _ABREAST] for one in each]
        part = operation(*shared, *rows)[0]
        found.append(np.broadcast_to(part, (len(rows[0]), *part.shape[1:])))
    return np.concatenate(found)


def _length(program: Any) -> float:
    """Equations that are gone through; infinite where one has no like in NumPy."""
    total = 0.0
    for equation in program.eqns:
        name, given = equation.primitive.name, equation.params
        if not _in_numpy(equation):
            return float("inf")
        inner = sum(_length(part) for part in _parts(given))
        rounds = _ROUNDS if name == "while" else given["length"] if name == "scan" else 1
        total += max(rounds * inner, 1)
    return total


def _parts(given: dict[str, Any]) -> Iterator[Any]:
    for value in given.values():
        for one in value if isinstance(value, tuple | list) else (value,):
            if hasattr(found := getattr(one, "jaxpr", one), "eqns"):
                yield found


def _in_numpy(equation: Any) -> bool:
    name, given = equation.primitive.name, equation.params
    if name in KINDS and not all(np.issubdtype(one.aval.dtype, KINDS[name]) for one in equation.invars):
        return False
    if given.get("subset_by_index") is not None:
        return False
    return any(name in known for known in (_CALLS, _WRITTEN, ELEMENTWISE, MADE, SEVERAL))


def _whole(program: ClosedJaxpr) -> Operation:
    return _made(program.jaxpr, [np.asarray(one) for one in program.consts])


def _made(program: Any, constants: Sequence[Any]) -> Operation:
    """A program as a function of arrays."""
    places: dict[Any, int] = {}
    filled: dict[int, Any] = {}

    def place(variable: Any) -> int:
        if not isinstance(variable, Literal):
            return places.setdefault(variable, len(places))
        at = -1 - len(filled)
        aval: Any = variable.aval
        filled[at] = np.asarray(variable.val, aval.dtype)[None]
        return at

    inputs = [place(one) for one in program.invars]
    constant = {place(one): value[None] for one, value in zip(program.constvars, constants, strict=True)}
    steps = [(_operation(one), [*map(place, one.invars)], [*map(place, one.outvars)]) for one in program.eqns]
    outputs = [*map(place, program.outvars)]
    known = filled | constant

    def run(*arguments: Any) -> list[Any]:
        values = dict(known)
        values.update(zip(inputs, arguments, strict=True))
        for operation, taken, given in steps:
            values.update(zip(given, operation(*[values[at] for at in taken]), strict=True))
        return [values[at] for at in outputs]

    return run


def _operation(equation: Any) -> Operation:
    """An equation as a function of arrays."""
    name, given = equation.primitive.name, equation.params
    if name in _CALLS:
        inner = given[_CALLS[name]]
        return _whole(inner) if isinstance(inner, ClosedJaxpr) else _made(inner, ())
    if name in _WRITTEN:
        return _WRITTEN[name](**given)
    if name in SEVERAL:
        return SEVERAL[name](**given)
    (dtype,), size = (one.aval.dtype for one in equation.outvars), equation.outvars[0].aval.ndim
    if name in MADE:
        fn = MADE[name](equation, **given)
        return lambda *values: (np.asarray(fn(*values), dtype),)
    fn = ELEMENTWISE[name]
    if all(one.aval.ndim == size for one in equation.invars):
        return lambda *values: (np.asarray(fn(*values), dtype),)
    # A number beside an array is the same for all of it.
    return lambda *values: (np.asarray(fn(*(as_wide(one, size) for one in values)), dtype),)


# Calls of a program, by the parameter that holds it.
_CALLS = {
    "jit": "jaxpr", "pjit": "jaxpr", "closed_call": "call_jaxpr", "core_call": "call_jaxpr", "checkpoint": "jaxpr",
    "remat2": "jaxpr", "custom_jvp_call": "call_jaxpr", "custom_vjp_call": "call_jaxpr",
}  # fmt: skip


def _scan(jaxpr: ClosedJaxpr, length: int, reverse: bool, num_consts: int, num_carry: int, **_: Any) -> Operation:
    body, shapes = _whole(jaxpr), jaxpr.out_avals[num_carry:]

    def run(*values: Any) -> list[Any]:
        constants, carry, rows = values[:num_consts], values[num_consts:][:num_carry], values[num_consts + num_carry :]
        found: list[list[Any]] = []
        for i in reversed(range(length)) if reverse else range(length):
            after = body(*constants, *carry, *(one[:, i] for one in rows))
            carry = after[:num_carry]
            found.append(list(after[num_carry:]))
        if reverse:
            found.reverse()
        if not length:
            return [*carry, *(np.zeros((1, 0, *one.shape), one.dtype) for one in shapes)]
        return [*carry, *(np.stack(alike(one), 1) for one in zip(*found, strict=True))]

    return run


def _while(
    cond_jaxpr: ClosedJaxpr, body_jaxpr: ClosedJaxpr, cond_nconsts: int, body_nconsts: int, **_: Any
) -> Operation:
    goes_on, body = _whole(cond_jaxpr), _whole(body_jaxpr)
    count = cond_nconsts + body_nconsts

    def run(*values: Any) -> Sequence[Any]:
        asked, constants, carry = values[:cond_nconsts], values[cond_nconsts:count], values[count:]
        while (pending := goes_on(*asked, *carry)[0]).any():
            after = body(*constants, *carry)
            # Rows whose loop has ended stay where they are.
            carry = after if pending.all() else [
                np.where(as_wide(pending, new.ndim - 1), new, old) for new, old in zip(after, carry, strict=True)
            ]  # fmt: skip
        return carry

    return run


def _cond(branches: Sequence[ClosedJaxpr], **_: Any) -> Operation:
    made = [_whole(branch) for branch in branches]

    def run(index: Any, *values: Any) -> Sequence[Any]:
        which = np.clip(index, 0, len(made) - 1)
        taken = {int(i): made[i](*values) for i in np.unique(which)}
        first, *others = taken
        found = taken[first]
        for i in others:
            found = [
                np.where(as_wide(which == i, new.ndim - 1), new, old)
                for new, old in zip(taken[i], found, strict=True)
            ]  # fmt: skip
        return found

    return run


def _solve(const_lengths: Any, jaxprs: Any, **_: Any) -> Operation:
    solve, before = _whole(jaxprs.solve), const_lengths.matvec + const_lengths.vecmat
    count = sum(const_lengths)
    return lambda *values: solve(*values[before : before + const_lengths.solve], *values[count:])


_WRITTEN: dict[str, Callable[..., Operation]] = {
    "scan": _scan, "while": _while, "cond": _cond, "custom_linear_solve": _solve
}  # fmt: skip
