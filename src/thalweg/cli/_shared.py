"""Options that several commands share, and those of a command that runs one method."""

import dataclasses
import difflib
import math
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from .._errors import InputError
from ._options import Json, Options, Pairs, Progress, Whole, check_kind, option, options
from ._spec import find_method, parse_method, parse_pairs, set_precision, settled

# A number of a method's row, whichever it has.
Numbers = Annotated[
    str,
    Parameter(
        name="NAME",
        metavar="VALUE",
        help="A number of the method, by its name in the row: --learning-rate 0.1, --momentum 0.9, --step-size 0.1, "
        "--friction 1, --temperature 1, ... A step that is not given is worked out.",
    ),
]


@options
class Common(Options):
    """Of commands that compute."""

    start: str | None = option("module:x0 or numbers such as 1.0,2.0; ours have their own.", default=None)
    out: Path | None = option("Directory to write to [a new one in runs].", default=None, kept=False)
    precision: Whole = option("64 or 32 bits.", default=64)
    config: Path | None = option("A TOML file of these options.", default=None, kept=False)
    progress: Progress = None
    json: Json = False


@options
class OneMethod(Common):
    """Of commands that run one method."""

    set: Pairs = option("A number of the method, too, for one that has the name of an option; repeat it.", default=(),
                        kept="source.hyperparameters")  # fmt: skip
    seed: Whole = option("Of all that is drawn.", default=0)

    @property
    def settings(self) -> dict[str, float]:
        """The numbers in `set`, which are all that were given once the options are settled."""
        return parse_pairs("set", self.set)


def settle(options: Any, numbers: dict[str, str]) -> tuple[Any, Any]:
    """Read the config file and the numbers of a method, and set the precision.

    What the command line gives goes before the config file; in either, a number by its own name before `set`, and that
    before the one in the method's own text.

    Arguments:
        options: of `OneMethod`.
        numbers: those by their own names at the command line.

    Returns:
        the options with the row's name as `method` and all given numbers in `set`, and the row at these numbers.
    """
    typed = options.given
    options, rest = options.with_config()
    set_precision(options.precision)
    name, spelled = parse_method(options.method)
    row = find_method(name)
    options.refuse(rest, (*row.defaults, *row.needed))
    for written, value in rest.items():
        check_kind(options.config, written, value, float)
    by_name = {
        False: {written.replace("-", "_"): float(value) for written, value in rest.items()},
        True: _parsed(numbers, row, options),
    }
    parts = {"method": spelled, "set": options.settings}
    found: dict[str, float] = {}
    for here in (False, True):
        for part, values in parts.items():
            found |= values if (part in typed) is here else {}
        found |= by_name[here]
    return dataclasses.replace(options, method=row.name, set=found), settled(row, found)


def _parsed(numbers: dict[str, str], row: Any, options: Any) -> dict[str, float]:
    """The numbers as such; a name that is none of the row's is an option misspelled, or the row refuses it."""
    found = {}
    own = (*row.defaults, *row.needed)
    known = [field.name.replace("_", "-") for field in dataclasses.fields(options)]
    for name, value in numbers.items():
        key = name.replace("-", "_")
        near = difflib.get_close_matches(name, known, 1, 0.75)
        if key not in own and near:
            raise InputError(f"Unknown option: --{name}. Did you mean --{near[0]}? (see thalweg --help)")
        try:
            found[key] = float(value)
        except ValueError:
            if key in own:
                raise InputError(f'Invalid value for --{name}: unable to convert "{value}" into float.') from None
            found[key] = math.nan
    return found
