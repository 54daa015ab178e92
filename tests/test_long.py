"""The list of tests that are left out for their length, and how it is made."""

from tools import long_tests

LINES = """
0.01s setup    tests/a/test_one.py::test_kind[x y]
2.50s call     tests/a/test_one.py::test_kind[x y]
1.30s call     tests/a/test_one.py::test_kind[z]
0.40s call     tests/a/test_one.py::test_short
9.00s call     tests/cli/test_run.py::test_shown[a]
9.00s call     tests/cli/test_run.py::test_shown[b]
3.20s call     src/thalweg/a.py::thalweg.a.f
(4 durations < 0.005s hidden.)
"""


def test_of_each_kind_the_shortest_stays():
    times = long_tests.read(LINES)
    assert times["tests/a/test_one.py::test_kind[x y]"] == 2.51
    assert long_tests.long(times) == ["src/thalweg/a.py::thalweg.a.f", "tests/a/test_one.py::test_kind[x y]"]


def test_what_is_not_run_stays_listed_and_the_least_time_counts(tmp_path, monkeypatch):
    listed, first, second = (tmp_path / name for name in ("long.txt", "first.txt", "second.txt"))
    listed.write_text("tests/b/test_two.py::test_other\ntests/a/test_one.py::test_kind[x y]\n")
    first.write_text(LINES)
    second.write_text(LINES.replace("3.20s", "2.90s").replace("2.50s", "1.10s"))
    monkeypatch.setattr(long_tests, "LISTED", listed)
    long_tests.main([str(first), str(second)])
    assert listed.read_text().splitlines() == [
        "tests/a/test_one.py::test_kind[z]", "tests/b/test_two.py::test_other"
    ]  # fmt: skip


def test_every_name_is_that_of_a_test(lost_long_tests):
    assert lost_long_tests == []
