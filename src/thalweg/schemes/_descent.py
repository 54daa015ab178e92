"""Memory of a descent, the step that it tries next, and the lesson of a trial or of a product of the Hessian.

All of it in variables u, x = scale u, whose unit is found as it goes, and without any number that has the units of f.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from ._arithmetic import Arithmetic
from ._search import Search
from ._secants import Secants, Solution
from ._units import UNEVEN, scaled, spread

# How it ended, and what to say of it.
GOING, REST, SPENT, UNBOUNDED, NOT_FINITE, ROUNDED, KINKED, FOREIGN, WALLED, SCALED = range(10)
# What a step does: go down, look for a direction that curves downwards, leave along it, follow it further where the
# gradient is still within the tolerance.
DESCEND, LOOK, LEAVE, FOLLOW = range(4)
# Products of the Hessian that a look takes, at least and at most, and its cost as a part of the gradients so far.
_LOOKS, _PART = (3, 30), 0.1
_TRIES, _IDLE = 30, 40
_BOTTOMLESS, _WILD = 1e20, 100.0
# Steps after which units are looked for, where the sizes that the variables have had differ by so much.
_LONG, _UNLIKE = 500, 1e3
# Gradients at the start: one, and a product of the Hessian.
_START = 3


class Goal(NamedTuple):
    """Rest of a descent, and the gradients that it may spend.

    `tolerance` is of the norm of the gradient, `relative` a part of it at the start; `budget` is in gradients, None for
    no end. `point_eps` and `value_eps` are the last digits of the parameters and of f.
    """

    tolerance: Any
    relative: Any
    budget: Any
    point_eps: float
    value_eps: float


class Descent(NamedTuple):
    """Memory of a step for the next."""

    energy: Any
    slope: Any
    scale: Any
    reached: Any
    secants: Secants
    search: Search
    first: Any
    initial: Any
    steep: Any
    home: Any
    least: Any
    base: Any
    radius: Any
    shift: Any
    ahead: Any
    jump: Any
    span: Any
    mode: Any
    looks: Any
    failed: Any
    idle: Any
    renewed: Any
    scalings: Any
    code: Any
    gradients: Any
    steps: Any
    rejected: Any
    products: Any
    left: Any


class Move(NamedTuple):
    """A step to try: where to, the way in u, the shift 1/h that made it so short, and whether the memory was no use."""

    there: Any
    way: Any
    shift: Any
    lost: Any


def begun(
    xp: Arithmetic, x: Any, energy: Any, slope: Any, product: Any, goal: Goal, pairs: int, first_step: Any
) -> Descent:
    """The memory at the start, from f, its gradient and the Hessian's product with the direction of that."""
    np = xp.numpy
    finite = xp.isfinite(energy) & xp.isfinite(xp.length(slope))
    slope = xp.chosen(finite, slope, 0.0 * x)
    product = xp.chosen(finite & xp.isfinite(xp.length(product)), product, 0.0 * x)
    size, bent, home = xp.length(slope), xp.length(product), xp.larger(xp.length(x), 1.0)
    unit = direction(xp, slope)
    cosine = xp.over(xp.dot(unit, product), bent)
    curved = cosine > 0
    # The first step minimises a parabola; without one it is as long as the position.
    base = xp.where(curved, xp.over(bent, cosine), size / home)
    base = xp.where((base > 0) & xp.isfinite(base), base, 1.0)
    radius = first_step * xp.where(curved, xp.over(xp.over(size, bent), cosine), size / base)
    secants = Secants.empty(xp, pairs, slope).push(xp, unit, product, curved, slope)
    zero, none = 0.0 * size, xp.counted(0)
    return _arrived(
        xp,
        Descent(
            energy, slope, np.ones_like(x), np.abs(x), secants, Search.none(xp, x), first=energy, initial=size,
            steep=size, home=home, least=size, base=base, radius=radius, shift=zero, ahead=zero, jump=zero, span=zero,
            mode=none, looks=none, failed=none, idle=none, renewed=xp.no(none == 0), scalings=none,
            code=none + xp.where(finite, GOING, NOT_FINITE), gradients=none + _START, steps=none, rejected=none,
            products=none, left=none,
        ), size, goal,
    )  # fmt: skip


def direction(xp: Arithmetic, v: Any) -> Any:
    """A vector of length 1; 0 of none."""
    size = xp.length(v)
    return v / xp.where(size > 0, size, 1.0)


def _leaving(old: Descent) -> Any:
    return (old.mode == LEAVE) | (old.mode == FOLLOW)


def proposed(xp: Arithmetic, old: Descent, x: Any, rounded: Callable[[Any], Any]) -> Move:
    """The step to try; `rounded` gives a point as the parameters can hold it."""
    secants, slope = old.secants, old.scale * old.slope
    size = secants.size

    # The step without a shift is the first turn of the loop, so that what solves is compiled once.
    def going(carry: Any) -> Any:
        _, _, _, solution, tries = carry
        off = abs(xp.over(solution.length, old.radius) - 1.0) >= 0.1
        long = xp.no(solution.length <= old.radius)
        return (tries < 14) & xp.where(tries == 1, long, (tries == 0) | off)

    def narrow(carry: Any) -> Any:
        low, high, shift, solution, tries = carry
        long = xp.no(solution.length <= old.radius)
        low, high = xp.where(long, shift, low), xp.where(long, high, shift)
        wide = high > 100.0 * low
        shift = xp.where(wide, xp.sqrt(xp.larger(low, 1e-3 * high)) * xp.sqrt(high), 0.5 * (low + high))
        shift = xp.where(tries == 0, 0.0 * shift, xp.where(tries == 1, 0.5 * high, shift))
        return low, high, shift, secants.solve(xp, old.base, shift), tries + 1

    zero = 0.0 * size
    start = (zero, xp.over(size, old.radius), zero, secants.unsolved(xp), xp.counted(0))
    _, _, shift, solution, _ = xp.loop(going, narrow, start)
    d = secants.vector(xp, solution, slope)
    norm = xp.length(d)
    sound = xp.isfinite(norm) & _downhill(xp, solution, norm) & (norm <= 1.2 * old.radius)
    steepest = xp.smaller(1.0 / old.base, xp.where(size > 0, xp.over(old.radius, size), 1.0 / old.base))
    d = xp.chosen(sound, d, -steepest * slope)
    shift = xp.where(sound, shift, xp.over(1.0, steepest) - old.base)
    leaving = _leaving(old)
    along = xp.where(xp.dot(old.search.vector, slope) > 0, -1.0, 1.0) * old.search.vector
    d = xp.chosen(leaving, old.radius * along, d)
    there = rounded(x + old.scale * d)
    # The way that is gone, of which the last digits of the point leave less where they are few.
    way = (there - x) / old.scale
    return Move(there, way, xp.where(leaving, 0.0 * shift, shift), xp.no(leaving) & xp.no(sound))


def _downhill(xp: Arithmetic, solution: Solution, norm: Any) -> Any:
    return solution.size * solution.descent < -1e-12 * norm


def after_trial(
    xp: Arithmetic, old: Descent, x: Any, move: Move, energy: Any, slope: Any, goal: Goal
) -> tuple[Any, Descent]:
    """The point and the memory after a trial of which f and the gradient are known."""
    eps = goal.value_eps
    finite = xp.isfinite(energy) & xp.isfinite(xp.length(slope))
    bottom = energy == -xp.numpy.inf
    energy, slope = xp.where(finite, energy, old.energy), xp.chosen(finite, slope, old.slope)
    d, before_slope, after_slope = move.way, old.scale * old.slope, old.scale * slope
    length, before, after = xp.length(d), xp.dot(d, before_slope), xp.dot(d, after_slope)
    leaving = _leaving(old)
    expected = xp.where(
        leaving, 0.5 * abs(old.search.quotient) * length * length - before,
        -0.5 * (before - move.shift * length * length),
    )  # fmt: skip
    fell, digits = old.energy - energy, xp.larger(abs(old.energy), abs(energy))
    # Where the values have no digits left to tell, the slopes do: Hager and Zhang's approximate condition. That they
    # have none shows where steps fail though the values hardly differ.
    level = abs(fell) <= min(20 * eps, eps**0.75) * digits
    hidden = (old.failed >= 4) & (abs(fell) <= eps**0.5 * digits)
    blind = level | (expected < min(5e4 * eps, 10 * eps + 6e-3) * digits) | hidden
    ratio = xp.where(blind & xp.no(leaving), xp.over(-0.5 * (before + after), expected), xp.over(fell, expected))
    ratio = xp.where(finite & (expected > 0), ratio, -1.0)
    reach = goal.point_eps * xp.length(x / old.scale)
    accepted = (ratio > 1e-4) & (length > reach)
    change = after_slope - before_slope
    bent = xp.length(change)
    cosine = xp.over(xp.dot(d, change / xp.where(bent > 0, bent, 1.0)), length)
    # A rise out of all proportion to the model belongs to another place, and so does the curvature over it.
    near = finite & (accepted | (fell > -_WILD * expected))
    # Over so short a step the change of a gradient is rounding.
    short = min(100 * goal.point_eps, goal.point_eps**0.5) / goal.point_eps * reach
    pair = near & (cosine > 1e-10) & (length > short)
    # Where f does not curve upwards steps should grow, and beside the pairs the base alone holds them back.
    flatter = xp.where(finite & xp.no(pair) & (ratio > 0.5), 0.25 * old.base, old.base)
    base = xp.where(pair, xp.over(xp.over(bent, length), cosine), flatter)
    at_edge = (length > 0.8 * old.radius) | leaving
    radius = xp.where((ratio > 0.75) & at_edge, xp.larger(old.radius, 2.0 * length), old.radius)
    radius = xp.where((ratio > 0.25) & (move.shift == 0.0), xp.larger(radius, 2.0 * length), radius)
    radius = xp.where(ratio < 0.1, 0.5 * length, radius)
    cubic = xp.smaller(xp.larger(_cubic(xp, -fell, before, after), 0.1), 0.5)
    radius = xp.where(accepted, radius, xp.where(near, cubic, 0.1) * xp.smaller(length, old.radius))
    failed = xp.where(accepted, 0, old.failed + 1)
    rejected = xp.no(accepted)
    over = rejected & ((failed >= _TRIES) | (radius <= reach))
    # Slopes that send f up, step after step, are not its own.
    size = xp.length(slope)
    idling = accepted & (level | (fell <= 0)) & (size > 0.9 * old.least)
    idle = xp.where(accepted, xp.where(idling, old.idle + 1, 0), old.idle)
    endless = idle >= _IDLE
    # A gradient that turns by as much over a way that has become much shorter has a jump there.
    begins = rejected & (old.failed == 0)
    jump, span = xp.where(begins, bent, old.jump), xp.where(begins, length, old.span)
    kinked = (bent >= 0.1 * jump) & (length <= 1e-4 * span) & (bent >= 0.5 * old.secants.size)
    renew = over & xp.no(old.renewed) & xp.no(leaving)
    new_x, slope = xp.chosen(accepted, move.there, x), xp.chosen(accepted, slope, old.slope)
    reached = xp.numpy.maximum(old.reached, abs(new_x))
    late = accepted & (old.steps >= _LONG) & (old.scalings == 0)
    asks = (over | late) & xp.no(renew | leaving | endless) & (old.scalings < 2)
    units, scalings = xp.when(
        asks, lambda: scaled(xp, old.secants, old.scale, old.scalings, reached), (old.scale, old.scalings)
    )
    uneven = xp.when(asks, lambda: spread(xp, units / old.scale), 1.0 + 0.0 * size)
    uneven = uneven >= xp.where(late, _UNLIKE, UNEVEN)
    rescale = asks & uneven & xp.where(late, True, xp.no(kinked | level) & finite)
    stalled = endless | (over & xp.no(renew | rescale))
    # Where the gradient changes by all that is left of it as far as a point can be told from the next.
    bend = xp.larger(xp.number(xp.numpy.max(old.secants.bends)), xp.over(bent, length))
    hazy = old.secants.size <= 4.0 * bend * reach
    mismatch = abs(fell + 0.5 * (before + after)) > 0.5 * abs(before)
    why = xp.where(level | hazy, ROUNDED, xp.where(endless | mismatch, FOREIGN, SCALED))
    why = xp.where(finite, xp.where(kinked & xp.no(endless), KINKED, why), WALLED)
    steep = xp.where(accepted, xp.larger(old.steep, size), old.steep)
    deep = accepted & (old.first - energy >= _BOTTOMLESS * xp.larger(abs(old.first), steep * old.home))
    # What curves down by so little that no step along it goes down is level.
    code = xp.where(stalled, xp.where(leaving, REST, why), old.code)
    code = xp.where(bottom | deep, UNBOUNDED, code)

    scale = xp.chosen(rescale, units, old.scale)
    anew = 0.1 * xp.larger(1.0, xp.length(new_x / scale))
    again = renew | rescale
    secants = old.secants.push(xp, d, change, pair, scale * slope).cleared(xp, move.lost | again)
    radius, base = xp.where(again, anew, radius), xp.where(again, secants.size / anew, base)
    base = xp.where((base > 0) & xp.isfinite(base), base, old.base)
    base = xp.where(accepted & leaving, abs(old.search.quotient), base)
    turned = rejected & (old.mode == FOLLOW)
    mode = xp.where(accepted | turned, DESCEND, old.mode)
    mode = xp.where(accepted & leaving & (size <= _rest(xp, old, goal)), FOLLOW, mode)
    # As far as the curvature over the last step says that the next would go, as a part of the position.
    part = xp.over(size, xp.length(old.slope))
    way_on = length * xp.where(part < 1, xp.over(part, 1.0 - part), 1.0)
    ahead = xp.over(way_on, xp.larger(xp.length(new_x / old.scale), xp.where(old.scalings == 0, old.home, 0.0)))
    return new_x, _arrived(
        xp,
        old._replace(
            energy=xp.where(accepted, energy, old.energy), slope=slope, scale=scale, reached=reached, secants=secants,
            steep=steep, least=xp.where(accepted, xp.smaller(old.least, size), old.least), base=base, radius=radius,
            shift=move.shift, ahead=xp.where(accepted, ahead, old.ahead), jump=jump, span=span, mode=mode,
            failed=xp.where(again, 0, failed), idle=idle, renewed=(old.renewed | renew) & rejected & xp.no(rescale),
            scalings=xp.where(rescale, scalings, old.scalings), code=code, gradients=old.gradients + 1,
            steps=old.steps + 1, rejected=old.rejected + rejected, left=old.left + (accepted & (old.mode == LEAVE)),
        ), xp.length(slope), goal,
    )  # fmt: skip


def after_look(xp: Arithmetic, old: Descent, x: Any, asked: Any, product: Any, goal: Goal) -> Descent:
    """The memory after a product of the Hessian, in u, with the vector that the search asked for."""
    search = old.search.after(xp, asked, product)
    eps = max(goal.point_eps, goal.value_eps)
    found = search.found(eps)
    over = xp.no(found) & (search.settled(eps) | (search.count >= old.looks))
    return _arrived(
        xp,
        old._replace(
            search=search, mode=xp.where(found, LEAVE, old.mode), code=xp.where(over, REST, old.code),
            radius=xp.where(found, 0.1 * xp.larger(1.0, xp.length(x / old.scale)), old.radius),
            gradients=old.gradients + 2, steps=old.steps + 1, products=old.products + 1,
        ), xp.length(old.slope), goal,
    )  # fmt: skip


def _rest(xp: Arithmetic, memory: Descent, goal: Goal) -> Any:
    return xp.larger(goal.tolerance, goal.relative * memory.initial)


def _arrived(xp: Arithmetic, memory: Descent, size: Any, goal: Goal) -> Descent:
    """Look about where the gradient is within the tolerance; stop where nothing is left to spend."""
    here = (memory.code == GOING) & (memory.mode == DESCEND) & (size <= _rest(xp, memory, goal))
    looks = xp.smaller(xp.larger(_PART * memory.gradients / 2, _LOOKS[0]), _LOOKS[1])
    looks = xp.counted(xp.where(memory.steps == 0, _LOOKS[1], looks))
    mode, code = xp.where(here, LOOK, memory.mode), memory.code
    if goal.budget is not None:
        short = memory.gradients + xp.where(mode == LOOK, 2, 1) > goal.budget
        # What cannot be looked at any more is taken for what the gradient says it is.
        code = xp.where((code == GOING) & short, xp.where(mode == LOOK, REST, SPENT), code)
    search = memory.search._replace(count=xp.where(here, 0, memory.search.count))
    return memory._replace(mode=mode, code=code, looks=xp.where(here, looks, memory.looks), search=search)


def _cubic(xp: Arithmetic, rise: Any, slope: Any, slope_after: Any) -> Any:
    """Minimiser of the cubic through two values and slopes, as a part of the step; a half where there is none."""
    # In units of the slope, which goes down.
    risen, turned = xp.over(rise, slope), xp.over(slope_after, slope)
    second, third = 3.0 * risen - 2.0 - turned, 1.0 + turned - 2.0 * risen
    root = second * second - 3.0 * third
    below = xp.sqrt(xp.larger(root, 0.0)) - second
    return xp.where((root >= 0) & (below != 0), xp.over(1.0, below), 0.5)
