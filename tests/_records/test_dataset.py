"""Runs and sweeps as xarray datasets, and what comes back from netCDF and Zarr."""

import dataclasses
import json
import sys

import jax.numpy as jnp
import numpy as np
import pytest
import xarray

import thalweg as tw
from thalweg._records.dataset import write_dataset

X0 = {"w": jnp.array([[1.0, -2.0], [0.5, 3.0]]), "n": {"b": jnp.array([0.25, 1.0, 4.0], jnp.bfloat16)}}


def bowl(p):
    return jnp.sum(jnp.array([[1.0, 4.0], [2.0, 9.0]]) * p["w"] ** 2) + jnp.sum(p["n"]["b"].astype(float) ** 2)


@pytest.fixture(scope="module")
def run():
    return tw.run(tw.nesterov(bowl, 0.02, 0.9), X0, 20, record=tw.Record(("loss", "speed"), positions=5))


@pytest.fixture
def recorded(tmp_path):
    with tw.Recorder(tmp_path / "recorded", tw.Hyperparameters(0.1, 0.9), "a bowl") as recorder:
        for k in range(3):
            scalars = {"loss": 1.0 / (k + 1), "train/accuracy": 0.5 * k}
            recorder.log(**scalars, curvature=4.0 if k == 1 else None)
        recorder.log(**scalars, parameters={"w": np.array([1.0, 2.0]), "on": np.array([True, False])})
    return tw.Run.load(tmp_path / "recorded")


def test_a_run_by_its_own_names(run):
    dataset = run.to_xarray()
    assert dict(dataset.sizes) == {"step": 21, "trace_step": 5, "w_0": 2, "w_1": 2, "n.b_0": 3}
    for name in ("loss", "speed", "time"):
        assert dataset[name].dims == ("step",)
        np.testing.assert_array_equal(dataset[name], run.metrics[name])
    np.testing.assert_array_equal(dataset.sel(step=7).loss, run.metrics["loss"][7])
    assert dataset.trace_step.values.tolist() == [0, 5, 10, 15, 20]
    assert dataset["position.w"].dims == ("trace_step", "w_0", "w_1")
    np.testing.assert_array_equal(dataset["position.w"], run.trace.position["w"])
    np.testing.assert_array_equal(dataset["velocity.w"], run.trace.velocity["w"])
    for part in ("position", "lookahead", "velocity"):
        np.testing.assert_array_equal(dataset[f"final_{part}.w"], getattr(run.final, part)["w"])
    assert all(variable.attrs["long_name"] for variable in dataset.variables.values())
    assert (dataset.loss.units, dataset["velocity.w"].units) == ("f", "x t-1")


def test_bfloat16_is_stored_as_float32_and_says_so(run):
    dataset = run.to_xarray()
    for name, values in (("position.n.b", run.trace.position), ("final_position.n.b", run.final.position)):
        assert dataset[name].dtype == np.float32
        assert dataset[name].attrs["original_dtype"] == "bfloat16"
        np.testing.assert_array_equal(dataset[name], np.asarray(values["n"]["b"]).astype(np.float32))
    assert "original_dtype" not in dataset["position.w"].attrs


def test_attributes_tell_what_ran(run):
    attributes = run.to_xarray().attrs
    assert json.loads(attributes["hyperparameters"]) == run.method.hyperparameters
    assert attributes["objective"].endswith(":bowl")
    assert attributes["method"].startswith("HeavyBall Lookahead(")
    kept = {name: attributes[name] for name in ("status", "message", "gradients", "steps", "final_time", "version")}
    assert kept == {
        "status": "finished", "message": "made 20 steps", "gradients": 20, "steps": 20,
        "final_time": run.final.time, "version": tw.__version__,
    }  # fmt: skip
    assert all(isinstance(value, str | int | float) and value is not True for value in attributes.values())


def test_a_run_from_disk_is_the_run_in_memory(run, tmp_path):
    tw.run(tw.nesterov(bowl, 0.02, 0.9), X0, 20, record=tw.Record(("loss", "speed"), 5), out=tmp_path / "run")
    here, there = run.to_xarray(), tw.Run.load(tmp_path / "run").to_xarray()
    config = json.loads(there.attrs["config"])
    assert config["record"] == {"metrics": ["loss", "speed"], "positions": 5}
    changed = dict.fromkeys(("config", "seconds", "compile_seconds"))
    xarray.testing.assert_equal(here, there)
    assert {k: v.attrs for k, v in here.variables.items()} == {k: v.attrs for k, v in there.variables.items()}
    assert here.attrs | changed == there.attrs | changed


def test_a_recorded_run(recorded):
    dataset = recorded.to_xarray()
    np.testing.assert_array_equal(dataset["train.accuracy"], [0.0, 0.5, 1.0, 1.0])
    assert dataset["train.accuracy"].long_name == "train/accuracy"
    np.testing.assert_array_equal(dataset.curvature, [np.nan, 4.0, np.nan, np.nan])
    np.testing.assert_array_equal(dataset["final_position.w"], [1.0, 2.0])
    assert (dataset["final_position.on"].dtype, dataset["final_position.on"].original_dtype) == (np.int8, "bool")
    assert (dataset.attrs["objective"], dataset.attrs["method"], dataset.attrs["final_step"]) == (
        "a bowl",
        "momentum",
        3,
    )


def test_a_run_without_metrics_or_positions(tmp_path):
    run = tw.run(tw.gradient_descent(lambda x: jnp.sum(x**2), 0.1), jnp.ones(2), 5, record=None)
    dataset = run.to_xarray()
    assert set(dataset.variables) == {"step", "time", "final_position"}
    with tw.Recorder(tmp_path / "bare") as recorder:
        recorder.log(loss=1.0)
    dataset = tw.Run.load(tmp_path / "bare").to_xarray()
    assert set(dataset.variables) == {"step", "time", "loss"}


def test_names_that_would_be_one_stay_two(tmp_path):
    with tw.Recorder(tmp_path / "run") as recorder:
        recorder.log(**{"a/b": 1.0, "a.b": 2.0, "trace_step": 3.0, "final_position": 4.0}, parameters=np.array([5.0]))
    dataset = tw.Run.load(tmp_path / "run").to_xarray()
    found = {name: dataset[name].values.tolist() for name in dataset.data_vars}
    assert found == {
        "a.b": [1.0],
        "a.b_": [2.0],
        "trace_step_": [3.0],
        "final_position": [4.0],
        "final_position_": [5.0],
    }


def read_back(dataset, folder):
    for format, name in (("netcdf", "out.nc"), ("zarr", "out.zarr")):
        write_dataset(dataset, folder / name, format)
        with xarray.open_dataset(folder / name) as opened:
            yield opened.load()
    assert sorted(path.name for path in folder.iterdir()) == ["out.nc", "out.zarr"]


@pytest.mark.parametrize("kind", ["run", "recorded", "sweep"])
def test_what_is_written_comes_back(kind, request, tmp_path):
    """Values, dtypes and attributes; and nobody is warned."""
    dataset = sweep().to_xarray() if kind == "sweep" else request.getfixturevalue(kind).to_xarray()
    (tmp_path / "out").mkdir()
    for back in read_back(dataset, tmp_path / "out"):
        xarray.testing.assert_identical(back, dataset)
        for name, variable in dataset.variables.items():
            assert back[name].dtype == variable.dtype, name


def test_a_configuration_of_many_leaves_is_no_attribute_too_long(tmp_path):
    """HDF5 refuses one of more than 64 kB."""
    run = tw.run(tw.gradient_descent(lambda x: jnp.sum(x**2), 0.1), jnp.ones(2), 1, out=tmp_path / "run")
    leaves = [{"path": f"layer{i}/kernel", "shape": [2], "dtype": "float64"} for i in range(1500)]
    config = run.config | {"start": run.config["start"] | {"leaves": leaves}}
    dataset = dataclasses.replace(run, config=config).to_xarray()
    assert json.loads(dataset.attrs["config"])["start"]["digest"] == config["start"]["digest"]
    write_dataset(dataset, tmp_path / "out.nc", "netcdf")


def test_a_failed_export_leaves_nothing(recorded, tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    for format in ("netcdf", "zarr"):
        with pytest.raises(OSError, match=r"could not write .*: No space left on device"):
            write_dataset(recorded.to_xarray(), tmp_path / "out" / "file", format)
    assert list((tmp_path / "out").iterdir()) == []


def test_without_xarray_it_is_one_line(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(tw.InputError, match=r"this needs xarray; install it with pip install 'thalweg\[xarray\]'"):
        run.to_xarray()


def sweep():
    grid = {"learning_rate": [0.1, 0.3, 9.0], "momentum": [0.0, 0.5]}
    f = tw.Objective(lambda x: jnp.sum(jnp.array([1.0, 2.0]) * x**2))
    return tw.sweep(lambda learning_rate, momentum: tw.momentum(f, learning_rate, momentum), grid, jnp.ones(2), 10, 2)


def test_a_sweep_folds_into_its_grid():
    result = sweep()
    dataset = result.to_xarray()
    assert dataset.loss.dims == ("learning_rate", "momentum", "seed", "step")
    assert dataset.final_position.dims == ("learning_rate", "momentum", "seed", "parameter_0")
    for i in range(6):
        at = {name: values[i] for name, values in result.settings.items()}
        np.testing.assert_array_equal(dataset.loss.sel(at), result.losses[i])
        np.testing.assert_array_equal(dataset.final_loss.sel(at), result.final_loss[i])
        np.testing.assert_array_equal(dataset.final_position.sel(at), result.final[i])
        words = [dataset.regime.flag_meanings.split()[code] for code in dataset.regime.sel(at).values]
        assert words == result.regimes[i].tolist()
    assert set(result.regimes.ravel()) >= {"oscillating", "diverging"}


def test_a_list_of_settings_is_one_axis_and_a_name_may_be_step():
    settings = [{"step_size": 0.1, "step": 0.01}, {"step_size": 0.2, "step": 0.02}]
    f = tw.Objective(lambda x: jnp.sum(x**2))
    make = lambda step_size, step: tw.Method(tw.HighResolutionFlow(f, step=step), tw.RK4(), step_size)  # noqa: E731
    dataset = tw.sweep(make, settings, jnp.ones(2), 5, losses=False).to_xarray()
    assert dataset.final_loss.dims == ("setting", "seed")
    assert dataset.step.values.tolist() == [0.01, 0.02]
    assert "loss" not in dataset
    dataset = tw.sweep(make, settings, jnp.ones(2), 5).to_xarray()
    assert dataset.loss.dims == ("setting", "seed", "step_")
