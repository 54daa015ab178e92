"""thalweg compare on a diffusion problem: samplers side by side."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .._errors import InputError, check_count
from ._output import directory_for, print_json, say, show
from ._spec import attribute, parse_method, parse_number

if TYPE_CHECKING:
    from .compare import Compare

# What says something here; the other options are of descents.
_USED = {"objective", "method", "evaluations", "out", "report", "json", "config", "progress"}


def is_diffusion(objective: str | None) -> bool:
    """Tell whether an argument names a diffusion problem, ours or one of a user's."""
    from .. import problems

    if objective is None or ":" not in objective:
        return objective in problems.diffusion_names()
    from .._noising.exact import AbstractData

    return isinstance(attribute(objective, "objective"), problems.DiffusionProblem | AbstractData)


def compare_diffusion(options: "Compare") -> None:
    """Compare samplers and print what an evaluation of the network buys."""
    if unused := sorted(options.given - _USED):
        named = ", ".join(f"--{name.replace('_', '-')}" for name in unused)
        raise InputError(f"{options.objective} is a diffusion problem, of which that says nothing; leave out {named}")
    from .. import networks, problems
    from ..networks._compare import DEFAULT

    budgets = [_budget(text) for text in options.evaluations.split(",")]
    assert options.objective is not None
    mine = ":" in options.objective
    found: Any = attribute(options.objective, "objective") if mine else problems.diffusion(options.objective)
    known = isinstance(found, problems.DiffusionProblem)
    problem = found if known else problems.DiffusionProblem(options.objective, found, networks.VarianceExploding())
    samplers = _named(options.method or DEFAULT, problem)
    if options.report is not None and options.report.is_dir():
        raise InputError(f"report {options.report} is a directory; give the file, such as {options.report / 'a.html'}")
    with directory_for(options.out, f"compare-{options.objective}") as directory:
        say(f"comparing {len(samplers)} samplers of {options.objective} at {len(budgets)} budgets: some seconds each")
        result = networks.compare_samplers(problem, samplers, budgets)
        try:
            result.save(directory)
        except InputError as error:
            # The picture is drawn last, and the rest is there without matplotlib.
            say(f"no picture: {error}")
    if options.json:
        print_json(result.as_list())
    else:
        show(result.as_table())
        print(result.words)
    for path in sorted(directory.iterdir()):
        say(f"written: {path}")
    if options.report is not None:
        say(f"report: {result.report(options.report, title=f'{options.objective}: samplers side by side')}")


def _budget(text: str) -> int:
    value = parse_number("evaluations", text.strip())
    return check_count("evaluations", int(value) if value == int(value) else value)


def _named(specs: Sequence[str], problem: Any) -> dict[str, Any]:
    """Samplers by their text at the command line."""
    from .. import networks

    score, times = problem.data.denoiser(problem.noising), networks.time_grid(problem.noising, 2, end=problem.end)
    found = {}
    for spec in specs:
        name, numbers = parse_method(spec)
        if spec in found:
            raise InputError(f"method {spec!r} is given twice; leave one out")
        found[spec] = networks.sampler(name, problem.noising, score, times, **numbers)
    return found
