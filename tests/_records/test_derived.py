"""Position, velocity and look-ahead point beside the raw leaves of a checkpoint, for who knows nothing of a state."""

import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw
from thalweg._records import directory
from thalweg._records.storage import RecordError, read_checkpoint

TREE = {"w": jnp.array([[1.0, -2.0], [0.5, 3.0]]), "b": jnp.array([1.0, 2.0, 3.0])}


def bowl(p):
    return jnp.sum((p["w"] - 2.0) ** 2) + 3.0 * jnp.sum((p["b"] + 1.0) ** 2)


def stored(path):
    """The arrays that NumPy alone finds."""
    with np.load(path / "checkpoint" / "state.npz", allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files if name != "about" and not name.startswith("leaf")}


def check_final(path, final):
    found, read = stored(path), tw.Run.load(path).final
    wanted = {
        f"{part}/{name}": leaf for part in ("position", "velocity", "lookahead")
        for name, leaf in (getattr(final, part) or {}).items()
    }  # fmt: skip
    assert set(found) == set(wanted)
    for name, leaf in wanted.items():
        part, path_of = name.split("/", 1)
        np.testing.assert_array_equal(found[name], leaf)
        np.testing.assert_array_equal(getattr(read, part)[path_of], leaf)
        assert getattr(read, part)[path_of].dtype == leaf.dtype


def test_a_run_has_all_three(tmp_path):
    run = tw.run(tw.nesterov(bowl, 0.02, 0.8), TREE, 7, out=tmp_path / "run")
    check_final(tmp_path / "run", run.final)
    # What looks ahead is elsewhere, and what has units has others in the raw leaves.
    assert np.abs(run.final.lookahead["b"] - run.final.position["b"]).max() > 1e-3
    about = read_checkpoint(tmp_path / "run")
    raw = about["leaves"][about["names"].index("buffer")]
    assert np.abs(raw[:3] - run.final.velocity["b"]).max() > 1e-3


def test_one_array_has_no_path_and_a_law_of_first_order_no_velocity(tmp_path):
    run = tw.run(tw.gradient_descent(lambda x: jnp.sum(x**2), 0.1), jnp.ones((2, 3)), 3, out=tmp_path / "run")
    found = stored(tmp_path / "run")
    assert list(found) == ["position"]
    np.testing.assert_array_equal(found["position"], run.final.position)
    final = tw.Run.load(tmp_path / "run").final
    assert final.velocity is None and final.lookahead is final.position and final.position.shape == (2, 3)


def test_low_precision_is_read_by_numpy_and_comes_back(tmp_path):
    start = {"w": jnp.array([1.0, -2.0], jnp.bfloat16), "b": jnp.array([0.3], jnp.float32)}
    f = lambda p: jnp.sum(p["w"].astype(jnp.float32) ** 2) + jnp.sum(p["b"] ** 2)  # noqa: E731
    run = tw.run(tw.momentum(f, 0.1, 0.5), start, 3, out=tmp_path / "run")
    found, read = stored(tmp_path / "run"), tw.Run.load(tmp_path / "run").final
    assert found["position/w"].dtype == np.float32 and read.position["w"].dtype == jnp.bfloat16
    np.testing.assert_array_equal(found["position/w"], run.final.position["w"].astype(jnp.float32))
    np.testing.assert_array_equal(read.position["w"], run.final.position["w"])


def test_on_a_sphere_the_look_ahead_point_is_on_it(tmp_path):
    law = tw.HeavyBall(lambda x: x[0] + 0.3 * x[1], friction=0.5, geometry=tw.geometry.Sphere())
    run = tw.run(tw.Method(law, tw.Lookahead(), 0.4), jnp.array([0.6, 0.8, 0.0]), 5, out=tmp_path / "run")
    read = tw.Run.load(tmp_path / "run").final
    np.testing.assert_array_equal(read.lookahead, run.final.lookahead)
    assert np.linalg.norm(read.lookahead) == pytest.approx(1.0, abs=1e-12)
    # Straight ahead it would have left it.
    about = read_checkpoint(tmp_path / "run")
    named = dict(zip(about["names"], about["leaves"], strict=True))
    assert np.linalg.norm(named["position"] + named["lookahead_weight"] * named["buffer"]) > 1.0 + 1e-4


def test_a_large_run_has_them_once_it_has_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(directory, "_DERIVED_BYTES", 8)
    sizes, final = [], []
    write = directory.write_checkpoint

    def watched(path, leaves, about, derived):
        write(path, leaves, about, derived)
        sizes.append(len(derived))
        final.append(tw.Run.load(path).final)

    monkeypatch.setattr(directory, "write_checkpoint", watched)
    run = tw.run(tw.nesterov(bowl, 0.02, 0.8), TREE, 7, out=tmp_path / "run")
    assert sizes == [0, 6]
    # Read from the raw leaves where they are not there.
    np.testing.assert_array_equal(final[0].position["w"], TREE["w"])
    np.testing.assert_array_equal(final[0].lookahead["w"], TREE["w"])
    check_final(tmp_path / "run", run.final)


@pytest.mark.slow
def test_chains_have_theirs_with_an_axis_before(tmp_path):
    law = tw.UnderdampedLangevin(bowl, friction=1.0, temperature=1.0)
    method = tw.Method(law, tw.Splitting("BAOAB"), 0.1)
    tree = tw.sample(method, TREE, 6, 3, 2, out=tmp_path / "here", progress=False)
    found = stored(tmp_path / "here")
    assert found["position/w"].shape == (3, 2, 2) and found["velocity/b"].shape == (3, 3)
    np.testing.assert_array_equal(found["position/w"], tree["posterior"]["w"].values[:, -1])
    # The energy of the last draw is that of the point and its velocity.
    kinetic = 0.5 * sum((found[f"velocity/{name}"] ** 2).reshape(3, -1).sum(axis=1) for name in ("w", "b"))
    potential = [bowl({name: found[f"position/{name}"][i] for name in ("w", "b")}) for i in range(3)]
    energy = tree["sample_stats"]["energy"].values[:, -1]
    np.testing.assert_allclose(kinetic + np.array(potential), energy, rtol=1e-12)


def test_what_is_recorded_from_another_loop_has_its_parameters(tmp_path):
    with tw.Recorder(tmp_path / "run", tw.Hyperparameters(0.1)) as recorder:
        recorder.log(loss=1.0, parameters={"layer": {"w": np.ones((2, 2))}, "b": np.zeros(3)})
    found = stored(tmp_path / "run")
    assert set(found) == {"position/layer/w", "position/b"} and found["position/layer/w"].shape == (2, 2)


def test_whatever_byte_is_damaged_no_number_changes(tmp_path):
    """Each array is covered by a sum: a byte that is another is an error of one line, or one that nothing reads."""
    run = tw.run(tw.nesterov(bowl, 0.02, 0.8), TREE, 3, out=tmp_path / "run")
    file = tmp_path / "run" / "checkpoint" / "state.npz"
    whole, refused = file.read_bytes(), []
    for at in range(0, len(whole), 11):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        try:
            found = tw.Run.load(tmp_path / "run").final
        except RecordError as error:
            refused.append(str(error))
            continue
        for part in ("position", "velocity", "lookahead"):
            for name, leaf in getattr(run.final, part).items():
                np.testing.assert_array_equal(getattr(found, part)[name], leaf)
    assert len(refused) > 0.6 * len(whole) / 11
    assert all(line.startswith(f"{file} is damaged: ") and "\n" not in line for line in refused)


def test_on_a_sphere_a_run_goes_on_to_the_last_bit(tmp_path):
    """The look-ahead point that is kept beside its state is no part of it."""
    law = tw.HeavyBall(lambda x: x[0] + 0.3 * x[1], friction=0.5, geometry=tw.geometry.Sphere())
    method, start = tw.Method(law, tw.Lookahead(), 0.4), jnp.array([0.6, 0.8, 0.0])
    whole = tw.run(method, start, 9)
    tw.run(method, start, 5, out=tmp_path / "run")
    after = tw.run(method, start, 9, out=tmp_path / "run", resume=True)
    for part in ("position", "velocity", "lookahead"):
        np.testing.assert_array_equal(getattr(after.final, part), getattr(whole.final, part))
        np.testing.assert_array_equal(getattr(tw.Run.load(tmp_path / "run").final, part), getattr(whole.final, part))
