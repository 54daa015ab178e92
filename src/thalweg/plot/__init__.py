"""Pictures of runs and comparisons with matplotlib: Axes in, Axes out."""

from typing import TYPE_CHECKING

from .._lazy import attach

if TYPE_CHECKING:
    from ._animation import animate as animate
    from ._chains import chains as chains
    from ._course import course as course
    from ._density import density as density
    from ._depth import depth as depth
    from ._depth import depth_transfer as depth_transfer
    from ._diffusion import diffusion as diffusion
    from ._dissipation import dissipation as dissipation
    from ._flow_report import write_flow_report as write_flow_report
    from ._loss import curves as curves
    from ._loss import loss as loss
    from ._loss import losses as losses
    from ._paths import paths as paths
    from ._sampler_report import write_sampler_report as write_sampler_report
    from ._samplers import samplers as samplers
    from ._stability import stability_map as stability_map
    from ._sweep import sweep as sweep
    from ._unit_balls import unit_balls as unit_balls
    from ._work import work_precision as work_precision
    from .report import write_report as write_report

__getattr__, __dir__, __all__ = attach(__name__)  # pyright: ignore[reportUnsupportedDunderAll]
