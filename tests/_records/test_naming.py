"""A name that becomes a part of a path is one component, which leads nowhere else."""

import jax.numpy as jnp
import pytest
import xarray

import thalweg as tw
from thalweg._records.naming import as_component, as_variable, check_component

F = tw.Objective(lambda x: 0.5 * jnp.sum(jnp.array([1.0, 4.0]) * x**2), minimum=0.0)
WRONG = ("../evil", "", ".", "..", " ", "...", "/abs", "a/b", "a\\b", "a\0b", "a\nb", ".hidden", "x" * 201, 3)


@pytest.mark.parametrize("name", WRONG)
def test_compare_writes_nothing_under_a_name_that_leads_elsewhere(name, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(tw.InputError, match=r"^methods\[.*is the name of a directory, and must") as caught:
        tw.compare({"good": tw.momentum(F, 0.1, 0.5), name: tw.momentum(F, 0.1, 0.5)}, jnp.ones(2), out="cmp")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.rglob("*")) == [tmp_path / "here"]


@pytest.mark.parametrize("name", ["HeavyBall two steps", "mine:factory", "h=0.1, m=0.9", "été", "a..b", "x" * 200])
def test_what_is_one_component_stays(name):
    assert check_component("it", name) == name


@pytest.mark.parametrize("label", ["../../etc:f-momentum", "/abs:x", "..", "", "a\0b", "é" * 300, "a b;rm -rf"])
def test_a_label_is_made_one_component(label, tmp_path):
    made = tmp_path / as_component(label)
    made.mkdir()
    assert made.parent.samefile(tmp_path) and len(list(tmp_path.iterdir())) == 1
    assert check_component("it", as_component(label))


@pytest.mark.parametrize("name", ["", ".", "..", "../../evil", ".zattrs", "a/b"])
def test_a_column_of_any_name_is_one_variable(name, tmp_path):
    """Zarr makes a directory of each."""
    with tw.Recorder(tmp_path / "run") as recorder:
        for k in range(3):
            recorder.log(**{name: k})
    found = as_variable(name)
    recorder.run.to_xarray().to_zarr(tmp_path / "out" / "run.zarr", zarr_format=2, consolidated=True)
    with xarray.open_zarr(tmp_path / "out" / "run.zarr") as opened:
        assert opened[found].values.tolist() == [0, 1, 2]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "run"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["run.zarr"]
