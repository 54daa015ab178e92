"""metrics.jsonl read quickly and as it grows, against json line by line."""

import json
import os

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from thalweg._records.columns import Columns, reading_in_threads
from thalweg._records.directory import to_lines
from thalweg._records.storage import RecordError

NUMBERS = st.one_of(st.none(), st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False))
NAMES = st.sampled_from(["step", "time", "loss", "a b", "e", "ü", 'quoted "name"', "x: y", "-1", "null"])


def slowly(text):
    rows = [json.loads(line) for line in text.split("\n")[:-1]]
    names = list(dict.fromkeys(name for row in rows for name in row))
    return {n: np.array([np.nan if row.get(n) is None else row[n] for row in rows], float) for n in names}


@hypothesis.given(st.lists(NAMES, min_size=1, max_size=5, unique=True), st.data())
def test_lines_of_one_kind_are_read_as_json_reads_them(tmp_path_factory, names, data):
    folder = tmp_path_factory.mktemp("run")
    count = data.draw(st.integers(1, 12))
    rows = [{name: data.draw(NUMBERS) for name in names} for _ in range(count)]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "metrics.jsonl").write_text(text)
    found = Columns(folder)
    found.advance()
    expected = slowly(text)
    assert found.rows == count and set(found.names) == set(expected)
    for name, values in expected.items():
        assert np.array_equal(found.column(name), values, equal_nan=True)


@pytest.mark.parametrize("only", [None, ("step", "loss"), ("loss",), ("nothing",)])
def test_many_blocks_are_read_to_the_last_bit(tmp_path, rng, monkeypatch, only):
    monkeypatch.setattr("thalweg._records.columns._BLOCK", 1000)
    loss = rng.standard_normal(500) * np.exp(5 * rng.standard_normal(500))
    loss[[3, 77]] = np.nan
    columns = {"step": np.arange(500), "time": 0.01 * np.arange(500), "loss": loss}
    (tmp_path / "metrics.jsonl").write_text(to_lines(columns))
    found = Columns(tmp_path, only)
    found.advance()
    assert found.rows == 500 and set(found.names) == set(columns) & set(only or columns)
    for name in found.names:
        assert np.array_equal(found.column(name), columns[name], equal_nan=True)
    assert np.isnan(found.column("nothing")).all() and len(found.column("nothing", 450)) == 50


def test_steps_that_leave_some_out_are_read_one_by_one(tmp_path):
    (tmp_path / "metrics.jsonl").write_text(to_lines({"step": np.array([0, 5, 6, 9]), "loss": np.ones(4)}))
    found = Columns(tmp_path)
    found.advance()
    assert found.column("step").tolist() == [0, 5, 6, 9]


def test_a_file_that_grows_is_read_on_from_its_last_whole_line(tmp_path):
    file = tmp_path / "metrics.jsonl"
    found = Columns(tmp_path)
    found.advance()
    assert found.rows == 0 and found.names == ()
    file.write_text('{"step": 0, "loss": 1.5}\n{"step": 1, "lo')
    found.advance()
    assert found.rows == 1
    with open(file, "a") as opened:
        opened.write('ss": 2.5}\n{"step": 2, "curvature": 3.0, "loss": 4.5}\n')
    found.advance()
    assert found.rows == 3 and found.generation == 0
    assert found.column("loss").tolist() == [1.5, 2.5, 4.5]
    assert np.array_equal(found.column("curvature"), [np.nan, np.nan, 3.0], equal_nan=True)


@pytest.mark.parametrize("how", ["cut", "replaced", "gone"])
def test_a_file_that_is_another_is_read_anew(tmp_path, how):
    file = tmp_path / "metrics.jsonl"
    file.write_text(to_lines({"step": np.arange(9), "loss": np.ones(9)}))
    found = Columns(tmp_path)
    found.advance()
    rest = to_lines({"step": np.arange(3), "loss": np.full(3, 2.0)})
    if how == "gone":
        file.unlink()
        rest = ""
    elif how == "cut":
        file.write_text(rest)
    else:
        (tmp_path / "other").write_text(rest + rest + rest + rest)
        os.replace(tmp_path / "other", file)
        rest *= 4
    found.advance()
    assert found.generation == 1 and found.rows == rest.count("\n")
    assert found.column("loss").tolist() == [2.0] * found.rows


@pytest.mark.parametrize(
    "line", ["nonsense", "[1, 2]", '{"step": 0, "loss": "1"}', '{"step": 0, "loss": true}', '{"step": 0, "loss": [1]}',
             '{"step": 0, "loss": 1', "3", "", '{"step": 0, "loss": --1}', '{"step": 0, "loss": 1.2.3}']
)  # fmt: skip
@pytest.mark.parametrize("place", [0, 1])
def test_a_line_that_is_no_row_is_one_line_that_names_the_file(tmp_path, line, place):
    lines = ['{"step": 0, "loss": 1.0}', '{"step": 1, "loss": 1.0}']
    lines.insert(place, line)
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    with pytest.raises(RecordError, match=r"metrics.jsonl is damaged"):
        Columns(tmp_path).advance()


@pytest.mark.parametrize(
    "text", ["1.2.3", "1e5e5", "12x", "--1", "1-2", "1.2.3.4.5", "nulls", "", "1_0", "0x1p3", "e", "-"]
)
def test_what_is_no_number_is_never_read_as_its_beginning(tmp_path, text):
    lines = [f'{{"step": {i}, "loss": {text if i == 3 else 0.5}}}\n' for i in range(6)]
    (tmp_path / "metrics.jsonl").write_text("".join(lines))
    with pytest.raises(RecordError, match=r"metrics\.jsonl is damaged"):
        Columns(tmp_path).advance()


def test_the_threads_of_the_reader_are_as_before(tmp_path):
    (tmp_path / "metrics.jsonl").write_text(to_lines({"step": np.arange(9), "loss": np.ones(9)}))
    threadpoolctl = pytest.importorskip("threadpoolctl")

    def threads():
        found = threadpoolctl.ThreadpoolController().select(user_api="scipy").info()
        return [one["num_threads"] for one in found]

    Columns(tmp_path).advance()
    before = threads()
    with reading_in_threads():
        Columns(tmp_path).advance()
        assert before and threads() == [1] * len(before)
    assert threads() == before
