"""The largest curvature of a loss of torch, by power iteration on Hessian-vector products."""

import math
from collections.abc import Callable, Iterable
from typing import Any

from .._errors import InputError, check_count, check_number
from .._objectives.curvature import SIGN
from .._typed import typed


@typed()
def largest_curvature(
    loss: Callable[[], Any], parameters: Iterable[Any], iterations: int = 200, tolerance: float = 1e-10,
    optimizer: Any = None,
) -> float:  # fmt: skip
    r"""The largest eigenvalue of the Hessian at the parameters (0 where no curvature is positive).

    $$\ell_{\max} = \lambda_{\max}(\nabla^2 f(\theta)),\qquad\text{or}\quad
      \lambda_{\max}\bigl(D^{-1/2}\,\nabla^2 f\,D^{-1/2}\bigr),\quad D = \sqrt{\hat v} + \varepsilon$$

    With an `optimizer` of Adam's family it is the preconditioned curvature, of f over what a step of it is divided by
    now: the one that its stability limit, $2(1+\beta_1)/(1-\beta_1)$ over the learning rate, is of. A decay that is
    part of the gradient is in it.

    Power iteration on products of the Hessian and a vector, by backward over backward through one evaluation of the
    loss; where a negative eigenvalue is as large in size, a second pass on the shifted Hessian finds the largest one.
    The gradients kept in the parameters stay as they are.

    Arguments:
        loss: a function without arguments that returns the loss as a tensor of one element, not yet gone backward.
        parameters: the tensors, such as `module.parameters()`; those that need no gradient are left out.
        iterations: Hessian-vector products at most, each pass.
        tolerance: relative change of the eigenvalue at which to stop; 1e-3 does for a stability margin.
        optimizer: a running Adam, AdamW, NAdam or RMSprop of torch, or an `Optimizer` of ours of these; None for the
            plain curvature.

    Returns:
        $\ell_{\max}$, in units of f over x squared; preconditioned, of 1 over x, and NaN before the first step.

    Raises:
        InputError: the loss is no such function, or depends on none of the parameters; the optimizer keeps no average
            of squared gradients.

    >>> import torch
    >>> x = torch.tensor([1.0, 1.0], dtype=torch.float64, requires_grad=True)
    >>> loss = lambda: 0.5 * (torch.tensor([1.0, 4.0]) * x**2).sum()
    >>> round(largest_curvature(loss, [x]), 4)
    4.0

    Reference: Cohen et al. (2022).
    """
    import torch

    iterations = check_count("iterations", iterations)
    check_number("tolerance", tolerance, at_least=0.0)
    if not callable(loss):
        raise InputError(f"loss must be a function without arguments that returns the loss, but is {loss!r}")
    given = list(parameters)
    for one in given:
        if not isinstance(one, torch.Tensor):
            raise InputError(f"parameters must be tensors of torch, but hold {type(one).__name__}")
    tensors = [one for one in given if one.requires_grad]
    if not tensors:
        raise InputError("parameters hold no tensor that needs a gradient")
    roots, decays = [], []
    if optimizer is not None:
        from ._torch_preconditioner import preconditioner

        roots, decays = preconditioner(optimizer, tensors)
        if not any(bool(root.any()) for root in roots):
            return math.nan
    with torch.enable_grad():
        value = loss()
        if not isinstance(value, torch.Tensor) or value.numel() != 1:
            raise InputError("loss must return a tensor of one element")
        if not value.requires_grad:
            raise InputError("the loss depends on no parameter; it must be computed anew by the function itself")
        gradients = torch.autograd.grad(value.reshape(()), tensors, create_graph=True, allow_unused=True)
    if all(one is None for one in gradients):
        raise InputError("the loss depends on none of these parameters")
    # Of a gradient that is constant there is no graph, and no curvature.
    curved = {i: one for i, one in enumerate(gradients) if one is not None and one.requires_grad}
    if not curved and not any(decays):
        return 0.0

    def plain_product(v: list[Any]) -> list[Any]:
        if not curved:
            return [torch.zeros_like(of) for of in tensors]
        along = [v[i] for i in curved]
        found = torch.autograd.grad([*curved.values()], tensors, along, retain_graph=True, allow_unused=True)
        return [torch.zeros_like(of) if one is None else one for one, of in zip(found, tensors, strict=True)]

    def product(v: list[Any]) -> list[Any]:
        if not roots:
            return plain_product(v)
        scaled = [root * one for root, one in zip(roots, v, strict=True)]
        found = zip(roots, plain_product(scaled), scaled, decays, strict=True)
        return [root * (one + decay * x) for root, one, x, decay in found]

    draw = torch.Generator().manual_seed(0)
    start = [torch.randn(one.shape, generator=draw).to(one) for one in tensors]
    largest, scale = _power(product, start, 0.0, iterations, tolerance)
    if largest < (1.0 - SIGN) * scale:
        shifted, _ = _power(product, start, -scale, iterations, tolerance)
        largest = max(largest, shifted - scale)
    return max(largest, 0.0)


def _power(
    multiply: Callable[[list[Any]], list[Any]], start: list[Any], origin: float, iterations: int, tolerance: float
) -> tuple[float, float]:
    """The Rayleigh quotient and the norm of the last product, of the Hessian less `origin`."""
    v = _unit(start)
    value, before, scale = 1.0, 0.0, 0.0
    for _ in range(iterations):
        if not abs(value - before) > tolerance * abs(value):
            break
        product = [p - origin * w for p, w in zip(multiply(v), v, strict=True)]
        value, before, scale = _inner(v, product), value, math.sqrt(_inner(product, product))
        v = _unit(product)
    return value, scale


def _unit(v: list[Any]) -> list[Any]:
    length = math.sqrt(_inner(v, v))
    return [one / length for one in v] if length > 0.0 else v


def _inner(x: list[Any], y: list[Any]) -> float:
    import torch

    # In double precision a sum over many parameters keeps the digits that tell the eigenvalue; Apple's GPUs have none.
    wide = torch.float32 if x[0].device.type == "mps" else torch.float64
    total = torch.stack([torch.sum(a * b, dtype=wide).to(x[0].device) for a, b in zip(x, y, strict=True)])
    return total.sum().item()
