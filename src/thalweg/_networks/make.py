"""Networks of three kinds: residual, with momentum, and continuous in depth."""

from typing import Any

from .._errors import InputError, check_count, check_number
from .._typed import typed
from ..schemes import RK4, AbstractScheme, Euler, Leapfrog
from .blocks import made, stacked, taken_by
from .network import Network, check_time, fixed


@typed()
def residual(
    block: Any,
    depth: int,
    step: float | int = 1.0,
    *,
    key: Any = None,
    shared: bool = False,
    scheme: AbstractScheme | None = None,
    gradient: str = "direct",
) -> Network:
    r"""A residual network: Euler's method on a field that is constant on pieces of depth.

    $$x_{l+1} = x_l + h\,f(x_l, \theta_l),\qquad l = 0, \dots, L - 1,\qquad
      \dot x = f(x, \theta_l)\text{ for } lh \le t < (l + 1)h$$

    Arguments:
        block: f, a function of one x (or of (t, x)) that gives another of its shape, such as an `eqx.nn.MLP`: a list of
            L that are alike, or with a key what makes one, `block(key)`, or one that all depths share.
        depth: L, how many blocks.
        step: h, in units of depth-time.
        key: a seed or JAX key, where `block` makes blocks.
        shared: `block` is one for all depths.
        scheme: a Runge-Kutta scheme; `tw.Euler()` if None. With one of s stages every block is asked s times.
        gradient: "direct" or "checkpoint", as in `tw.solve`.

    Returns:
        a `tw.networks.Network`, a function of x.

    Raises:
        InputError: the depth is below 1 or not the length of the list, the step is not positive, the blocks are not
            alike; where it is called: a block gives another shape than x has.

    >>> import equinox as eqx, jax, thalweg as tw, jax.numpy as jnp
    >>> network = tw.networks.residual(lambda k: eqx.nn.Linear(2, 2, key=k), depth=3, step=0.1, key=0)
    >>> x = by_hand = jnp.array([1.0, -1.0])
    >>> for l in range(3):
    ...     by_hand = by_hand + 0.1 * network.block_at(l)(by_hand)
    >>> bool(jnp.allclose(network(x), by_hand))
    True

    Reference: He, Zhang, Ren and Sun (2016), equation 1; Haber and Ruthotto (2017).
    """
    count, module, shared = _blocks(block, depth, key, shared)
    length = check_time("step", step)
    return Network(
        module, count, count * length, count, Euler() if scheme is None else fixed(scheme), None, shared, gradient
    )


@typed()
def momentum(
    block: Any,
    depth: int,
    step: float | int = 1.0,
    momentum: float | int = 0.9,
    *,
    key: Any = None,
    shared: bool = False,
    scheme: AbstractScheme | None = None,
    gradient: str = "direct",
) -> Network:
    r"""A momentum residual network: damped leapfrog on a particle that the blocks push, which can be gone back.

    $$v_{l+1} = \gamma v_l + (1 - \gamma)\,h f(x_l, \theta_l),\qquad x_{l+1} = x_l + v_{l+1},\qquad v_0 = 0$$

    With $v = h\dot x$ it is `tw.Leapfrog(start="zero")` on

    $$m\ddot x + \dot x = f(x, \theta_l),\qquad m = \frac h2\,\frac{1 + \gamma}{1 - \gamma}$$

    and goes back without what it kept, $x_l = x_{l+1} - v_{l+1}$, $v_l = (v_{l+1} - (1 - \gamma)\,h f(x_l, \theta_l))
    /\gamma$, so that `gradient="reversible"` holds no states. Another depth is of the same m. At $\gamma = 0$ it is
    the residual network.

    Arguments:
        block, depth, step, key, shared: as in `tw.networks.residual`.
        momentum: $0 \le \gamma < 1$.
        scheme: `tw.Leapfrog(start="zero")` if None; where velocities are kicked across the edges between blocks its
            order is 1, and 2 for blocks that are shared and `tw.Leapfrog()`.
        gradient: "direct", "checkpoint" or "reversible", as in `tw.solve`.

    Returns:
        a `tw.networks.Network`.

    Raises:
        InputError: as `tw.networks.residual`; the momentum is out of its range, or for "reversible" so small that
            going back would lose more than half of the digits.

    >>> import thalweg as tw, jax, jax.numpy as jnp
    >>> network = tw.networks.momentum(jnp.tanh, 8, 0.5, momentum=0.9, shared=True, gradient="reversible")
    >>> kept = network.with_gradient("direct")
    >>> slopes = [jax.grad(lambda x, n=n: n(x))(jnp.array(0.5)) for n in (network, kept)]
    >>> bool(jnp.allclose(*slopes, rtol=1e-6))
    True

    Reference: Sander, Ablin, Blondel and Peyré (2021).
    """
    count, module, shared = _blocks(block, depth, key, shared)
    length = check_time("step", step)
    check_number("momentum", momentum, at_least=0.0, below=1.0)
    mass = 0.5 * length * (1.0 + float(momentum)) / (1.0 - float(momentum))
    own = Leapfrog(start="zero") if scheme is None else fixed(scheme)
    return Network(module, count, count * length, count, own, mass, shared, gradient)


@typed()
def neural_ode(
    field: Any,
    time: float | int = 1.0,
    steps: int = 16,
    *,
    scheme: AbstractScheme | None = None,
    gradient: str = "direct",
) -> Network:
    r"""A neural ODE: a field whose weights are those of one module, followed by fixed steps.

    $$\dot x = f(t, x, \theta),\qquad 0 \le t \le T$$

    Arguments:
        field: f, a function of one x or of (t, x), any module of Equinox.
        time: T.
        steps: how many steps of one length.
        scheme: a Runge-Kutta scheme; `tw.RK4()` if None.
        gradient: "direct" or "checkpoint", as in `tw.solve`: the derivative of the steps that are made.

    Returns:
        a `tw.networks.Network`.

    Raises:
        InputError: the time is not positive or steps below 1; where it is called: the field gives another shape.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> swing = tw.networks.neural_ode(lambda t, x: jnp.cos(t) * x, time=1.0, steps=32)
    >>> round(float(swing(jnp.array(1.0))), 6)  # exp(sin 1)
    2.319777

    Reference: Chen, Rubanova, Bettencourt and Duvenaud (2018), equation 2.
    """
    taken_by(field)
    length = check_time("time", time)
    count = check_count("steps", steps)
    return Network(field, 1, length, count, RK4() if scheme is None else fixed(scheme), None, True, gradient)


def _blocks(block: Any, depth: int, key: Any, shared: bool) -> tuple[int, Any, bool]:
    """Number of blocks, the module that they are, and whether they share it."""
    count = check_count("depth", depth)
    if isinstance(block, list | tuple):
        if key is not None or shared:
            raise InputError("a list of blocks is taken as it is; leave out key and shared")
        if len(block) != count:
            raise InputError(f"depth must be the number of blocks in the list, {len(block)}, but is {count}")
        for one in block:
            taken_by(one)
        module = stacked(block)
    elif shared:
        if key is not None:
            raise InputError("one block that is shared is made already; leave out key")
        module = block
    elif key is not None:
        if not callable(block):
            raise InputError(f"with a key a block must be a function that makes one of a key, but is {block!r}")
        module = made(block, count, key)
    else:
        raise InputError(
            "give a list of blocks, or key=0 with a function that makes one of a key, or shared=True with one block "
            f"for all depths, but block is {block!r}"
        )
    taken_by(module)
    return count, module, shared
