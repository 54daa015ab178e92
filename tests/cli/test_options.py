"""Options: one list, which is parsed, read from a config file, recorded and read back."""

import dataclasses
import re
from pathlib import Path

import pytest

import thalweg as tw
from thalweg._errors import InputError
from thalweg._methods.table import table
from thalweg._records.kinds import read_config
from thalweg.cli import _options
from thalweg.cli._options import Pairs, Texts, Whole, option, options
from thalweg.cli.compare import Compare
from thalweg.cli.run import Run
from thalweg.cli.sample import Sample

BOWL = ("run", "valleys:bowl", "--start", "valleys:x0")


@options
class Base(_options.Options):
    config: Path | None = option("A file.", default=None, kept=False)
    out: Path | None = option("Where.", default=None)


@options
class Mine(Base):
    name: str = option("A text.", default="a", kw_only=False)
    count: Whole | None = option("How many.", default=None, kept="run.steps")
    size: float = option("How large.", default=1.0)
    names: Texts = option("Texts.", default=("x",))
    pairs: Pairs = option("Pairs.", default=(), kept="source.numbers")
    loud: bool = option("Whether.", default=False, kept=False)


WRITTEN = 'name = "b"\ncount = 3\nsize = 2\nnames = "y"\npairs = {z = 1.5}\nloud = true\nout = "there"\n'


def test_what_is_given_goes_before_the_file_and_that_before_the_defaults(tmp_path):
    (tmp_path / "mine.toml").write_text(WRITTEN + 'other = "kept"\n')
    given = Mine(name="c", config=tmp_path / "mine.toml")
    assert given.given == {"name", "config"}
    merged, rest = given.with_config()
    assert rest == {"other": "kept"}
    assert (merged.name, merged.count, merged.size, merged.names) == ("c", 3, 2.0, ("y",))
    assert (merged.pairs, merged.loud, merged.out) == ({"z": 1.5}, True, Path("there"))
    assert merged.given == {field.name for field in dataclasses.fields(Mine)}
    assert Mine().with_config() == (Mine(), {})


def test_what_is_recorded_is_read_back(tmp_path):
    (tmp_path / "mine.toml").write_text(WRITTEN)
    one, _ = Mine(config=tmp_path / "mine.toml").with_config()
    source = one.source()
    assert source == {"name": "b", "size": 2.0, "names": ["y"], "numbers": {"z": 1.5}, "out": "there"}
    again = Mine.recorded({"run": {"steps": 3}, "source": source})
    assert again == dataclasses.replace(one, config=None, loud=False)
    # Of a directory that was written before there was such an option.
    assert Mine.recorded({"source": {"name": "b"}}) == Mine(name="b")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("size = true", "'size' must be a number, but is True"),
        ("loud = 1", "'loud' must be true or false, but is 1"),
        ("count = 1.0", "'count' must be a whole number, but is 1.0"),
        ("names = {a = 1}", "'names' must be text or a list of texts, but is {'a': 1}"),
        ("pairs = [1]", "'pairs' must be NAME=VALUE, a list of them or a table, but is [1]"),
        ("cuont = 3", "'cuont' is no option; did you mean 'count'?"),
        ('config = "other.toml"', "'config' is no option; choose one of: count, loud, name, names, out, pairs, size"),
    ],
)
def test_a_file_is_checked_by_the_fields(text, message, tmp_path):
    (tmp_path / "mine.toml").write_text(text)

    def read():
        given, rest = Mine(config=tmp_path / "mine.toml").with_config()
        given.refuse(rest)

    with pytest.raises(InputError, match=re.escape(f"config {tmp_path / 'mine.toml'}: {message}")):
        read()


def test_own_options_go_before_shared_ones():
    names = [field.name for field in dataclasses.fields(Run)]
    assert names[:3] == ["objective", "method", "steps"] and names[-2:] == ["progress", "json"]


@pytest.mark.parametrize("cls", [Run, Sample, Compare])
def test_help_tells_every_option_once(cls, thalweg):
    """Each with its default, from its field."""
    out = thalweg(cls.__name__.lower(), "--help").out
    text = " ".join(re.sub(r"[│─╭╮╰╯]", " ", out).split())
    for field in dataclasses.fields(cls):
        assert len(re.findall(rf"--{field.name.replace('_', '-')}\b", out.partition("╭")[2])) >= 1
        if isinstance(field.default, int | float) and not isinstance(field.default, bool):
            words = " ".join(field.metadata["help"].split())
            assert f"{words} [default: {field.default}]" in text
    assert "[default: ]" not in text and "[default: False]" not in text


def test_no_number_of_a_row_has_the_name_of_an_option():
    """It could be set by --set alone."""
    names = {field.name for cls in (Run, Sample) for field in dataclasses.fields(cls)}
    assert not names & {name for row in table() for name in row.defaults}


def test_any_number_of_a_row_is_an_option(thalweg):
    """Also those of which the command line has no list."""
    (row,) = thalweg(
        *BOWL, "-m", "bregman_flow_rk4", "--step-size", 0.05, "--strength", 0.5, "--p=3", "--steps", 5, "--json"
    ).rows
    assert row["hyperparameters"] == pytest.approx({"step_size": 0.05, "strength": 0.5, "p": 3.0})


def test_the_command_line_goes_before_the_file_wherever_a_number_is_written(thalweg, place):
    (place / "mine.toml").write_text('method = "momentum:momentum=0.1"\nlearning-rate = 0.01\nset = {momentum = 0.2}\n')

    def numbers(*arguments):
        found = thalweg(*BOWL, "--config", "mine.toml", *arguments, "--steps", 2, "--json").rows[0]["hyperparameters"]
        return found["learning_rate"], found["momentum"]

    assert numbers() == pytest.approx((0.01, 0.2))
    assert numbers("-m", "nesterov:learning_rate=0.02") == pytest.approx((0.02, 0.2))
    assert numbers("--set", "momentum=0.3") == pytest.approx((0.01, 0.3))
    assert numbers("--set", "momentum=0.3", "--momentum", "0.4") == pytest.approx((0.01, 0.4))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--josn",), "Unknown option: --josn. Did you mean --json? (see thalweg --help)"),
        (("--recrod", "loss"), "Unknown option: --recrod. Did you mean --record? (see thalweg --help)"),
        (("--learnin-rate", "low"), "momentum has no hyperparameter 'learnin_rate'; did you mean 'learning_rate'?"),
        (("--friction", "low"), "momentum has no hyperparameter 'friction'; choose one of: learning_rate, momentum"),
        (("--momentum", "low"), 'Invalid value for --momentum: unable to convert "low" into float.'),
        (("-m", "chebyshev", "--momentum", "1"), "adaptive_chebyshev has no hyperparameters; leave out 'momentum'"),
        (("--momentum",), 'Command "run" parameter --momentum requires an argument. (see thalweg --help)'),
    ],
)
def test_a_misspelled_option_is_one_line(arguments, message, thalweg, place):
    assert thalweg("run", "rosenbrock", *arguments, status=2).err == f"error: {message}\n"
    assert list(place.iterdir()) == []


def test_numbers_in_a_file_are_those_of_its_method(thalweg, place):
    (place / "mine.toml").write_text('method = "heavy_ball_rk4"\nfrictoin = 1.0\n')
    assert thalweg(*BOWL, "--config", "mine.toml", status=2).err == (
        "error: config mine.toml: 'frictoin' is no option; did you mean 'friction'?\n"
    )


def test_what_compare_runs_is_recorded_as_a_run_is(thalweg):
    thalweg("compare", "valleys:bowl", "--start", "valleys:x0", "-m", "momentum:learning_rate=0.02,momentum=0.5",
            "--no-limits", "--max-gradients", 5, "--out", "both")  # fmt: skip
    thalweg(*BOWL, "--learning-rate", 0.02, "--momentum", 0.5, "--steps", 5, "--out", "alone")
    one, other = (read_config(Path(path)) for path in ("both/momentum", "alone"))
    assert one["source"] == other["source"]
    assert tw.Run.load("alone").config["source"]["hyperparameters"] == {"learning_rate": 0.02, "momentum": 0.5}


def test_all_that_a_run_was_begun_with_is_read_back(thalweg):
    thalweg(*BOWL, "--learning-rate", 0.02, "--steps", 5, "--record", "speed", "--positions", 2, "--seed", 4,
            "--stop", "loss=1e-9", "--precision", 32, "--out", "here")  # fmt: skip
    found = Run.recorded(read_config(Path("here")))
    assert found.settings == {"learning_rate": 0.02, "momentum": 0.9}
    assert (found.method, found.objective, found.start) == ("momentum", "valleys:bowl", "valleys:x0")
    # The metric of the stop condition is kept beside those that were asked for.
    assert (found.steps, found.record, found.positions, found.seed) == (5, ("speed", "loss"), 2, 4)
    assert (found.stop, found.precision, found.out) == ({"loss": 1e-9}, 32, None)
