"""A network of torch as a function of (t, x), for the laws of diffusion models."""

from collections.abc import Callable
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from jaxtyping import Array, ArrayLike

from .._errors import InputError, check_arguments
from .._typed import typed


@typed()
def network(
    module: torch.nn.Module,
    call: Annotated[Callable, "a function of (module, t, x)"] | None = None,
) -> Callable[[ArrayLike, Array], Array]:
    r"""A torch module as a function of (t, x), to predict what is in noised data.

    It runs on the host, within JAX's programs. x is one sample; `jax.vmap` over several calls the module once, with all
    of them. A derivative does not go through it.

    Arguments:
        module: takes samples (n, ...) and times (n,).
        call: how, `call(module, t, x)` of tensors; None is `module(x, t)`. Of what is no tensor `.sample` is taken, as
            diffusers' models give it; `lambda module, t, x: module(x, t - 1)` is one that counts its levels from 0,
            beside `tw.networks.Tabulated`.

    Returns:
        `fn(t, x)`, for `tw.networks.NoisePrediction(fn)` and its like.

    Raises:
        InputError: a part of the module would draw, or change, in training mode; where a step is made, it raises, or
            gives another shape than x has.

    >>> import torch, jax, thalweg as tw, jax.numpy as jnp
    >>> class Shrink(torch.nn.Module):
    ...     def forward(self, x, t):
    ...         return x / (1.0 + t[:, None] ** 2)
    >>> noising = tw.networks.VarianceExploding()
    >>> denoiser = tw.networks.Denoiser(tw.adapters.torch.network(Shrink()))  # of data of N(0, 1)
    >>> times = tw.networks.time_grid(noising, 20, to_data=True)
    >>> method = tw.Method(tw.ProbabilityFlow(noising, denoiser), tw.ExponentialMultistep(), times=times)
    >>> ends = jax.vmap(lambda x: tw.solve(method, x).final.position)(jnp.array([[80.0], [-40.0]]))
    >>> ends.round(1).tolist()
    [[1.0], [-0.5]]
    """
    changing = (torch.nn.modules.dropout._DropoutNd, torch.nn.modules.batchnorm._BatchNorm)
    drawing = [type(part).__name__ for part in module.modules() if isinstance(part, changing) and part.training]
    if drawing:
        raise InputError(f"{drawing[0]} of the module draws, or changes, in training mode; call module.eval() first")
    if call is not None:
        check_arguments("call", call, "module", "t", "x")
    found = next(iter([*module.parameters(), *module.buffers()]), None)
    kind = found.dtype if found is not None and found.is_floating_point() else None
    device = None if found is None else found.device

    def asked(t: np.ndarray, x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        # Copies: what JAX hands over must not be written to.
        times = torch.tensor(np.array(t).reshape(-1), dtype=kind, device=device)
        samples = torch.tensor(np.array(x).reshape(-1, *shape), dtype=kind, device=device)
        with torch.inference_mode():
            out = module(samples, times) if call is None else call(module, times, samples)
        out = out if isinstance(out, torch.Tensor) else out.sample
        if tuple(out.shape) != tuple(samples.shape):
            raise InputError(
                f"the module must give the shape of its samples, {tuple(samples.shape)}, but gives {tuple(out.shape)}"
            )
        return out.cpu().to(torch.float64).numpy().astype(x.dtype).reshape(x.shape)

    def fn(t: ArrayLike, x: Array) -> Array:
        shape = x.shape
        try:
            # Once when it is traced, so that what is wrong is said in one line and not out of a program.
            asked(np.ones(1), np.zeros((1, *shape), x.dtype), shape)
        except InputError:
            raise
        except Exception as error:
            line = (str(error).strip().splitlines() or [""])[0]
            raise InputError(
                f"the module raised {type(error).__name__} on a sample of shape {shape}: {line}; it is called with "
                "samples (n, ...) and times (n,), or as call says"
            ) from error
        like = jax.ShapeDtypeStruct(shape, x.dtype)

        def host(t: Any, x: Any) -> np.ndarray:
            return asked(np.asarray(t), np.asarray(x), shape)

        return jax.pure_callback(host, like, jnp.asarray(t), x, vmap_method="broadcast_all")

    return fn
