"""Pictures of flows: what is drawn is what the run holds, and what cannot be drawn is refused in one line."""

import jax
import jax.numpy as jnp
import matplotlib.image
import numpy as np
import pytest
from PIL import Image

import thalweg as tw
from thalweg.measures import KL, Gaussian, Grid, Particles, Potential, Quantiles, flow

TARGET, START = Gaussian(-0.5, 0.6), Gaussian(1.0, 0.2)
PLANE = Gaussian(jnp.array([1.0, -0.5]), jnp.array([[0.3, 0.1], [0.1, 0.2]]))
WELL = KL(Gaussian(jnp.array([-1.0, 0.5]), jnp.eye(2)))


def on_line():
    return Grid.of(lambda x: jnp.exp(START.log_density(x)), np.linspace(-4.0, 4.0, 41))


def in_plane():
    edges = (np.linspace(-4.0, 4.0, 17), np.linspace(-3.0, 3.0, 13))
    return Grid.of(lambda x: jnp.exp(PLANE.log_density(x)), edges)


@pytest.fixture(scope="module")
def line():
    return flow(KL(TARGET), on_line(), 1.0, steps=8)


@pytest.fixture(scope="module")
def plane():
    return flow(WELL, in_plane(), 0.5, steps=4)


@pytest.fixture(scope="module")
def cloud():
    return flow(WELL, Particles.of(PLANE, 40, 0), 0.5, steps=4, key=0)


def mesh(ax):
    (found,) = ax.collections
    return np.asarray(found.get_coordinates()), np.asarray(found.get_array())


def test_over_time_the_colour_is_the_density_of_every_time(line):
    ax = tw.plot.density(line)
    corners, colours = mesh(ax)
    np.testing.assert_array_equal(colours, np.asarray(line.trace.position.density).T)
    np.testing.assert_array_equal(corners[:, 0, 1], np.linspace(-4.0, 4.0, 41))
    # Walls stand between the times.
    times = np.asarray(line.trace.time)
    np.testing.assert_allclose(corners[0, 1:-1, 0], 0.5 * (times[1:] + times[:-1]))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("time", "x")
    assert [other.get_ylabel() for other in ax.figure.axes[1:]] == ["density"]


def test_over_time_particles_quantiles_and_gaussians_have_mass_one():
    points = flow(KL(TARGET), Particles.of(START, 50, 0), 0.5, steps=4, key=0)
    levels = flow(KL(TARGET), Quantiles(jnp.linspace(0.5, 1.5, 30)), 0.5, steps=4)
    normal = flow(KL(TARGET), START, 0.5, steps=4)
    for run, tolerance in ((points, 1e-12), (levels, 1e-12), (normal, 2e-4)):
        corners, colours = mesh(tw.plot.density(run))
        widths = np.diff(corners[:, 0, 1])
        np.testing.assert_allclose(widths @ colours, 1.0, atol=tolerance)
        middles = 0.5 * (corners[1:, 0, 1] + corners[:-1, 0, 1])
        means = (widths * middles) @ colours
        own = [float(jax.tree.map(lambda leaf, i=i: leaf[i], run.trace.position).mean[0]) for i in range(5)]
        # To a bin, of the Gaussian to its tails beyond four deviations.
        np.testing.assert_allclose(means, own, atol=0.5 * widths.max())


def test_one_time_on_the_line(line):
    ax = tw.plot.density(line, at=3)
    (stairs,) = ax.patches
    np.testing.assert_array_equal(stairs.get_data().values, line.trace.position.density[3])
    np.testing.assert_array_equal(stairs.get_data().edges, np.linspace(-4.0, 4.0, 41))
    assert ax.get_title() == f"time {float(line.trace.time[3]):.4g}"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("x", "density")


def test_a_grid_in_the_plane(plane):
    for ax, density in (
        (tw.plot.density(plane), plane.final.position.density),
        (tw.plot.density(plane, at=0), plane.trace.position.density[0]),
    ):
        corners, colours = mesh(ax)
        np.testing.assert_array_equal(colours, np.asarray(density).T)
        np.testing.assert_array_equal(corners[0, :, 0], np.linspace(-4.0, 4.0, 17))
        np.testing.assert_array_equal(corners[:, 0, 1], np.linspace(-3.0, 3.0, 13))
        assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_aspect()) == ("x1", "x2", 1.0)


def test_of_three_axes_two_are_drawn_and_the_third_is_summed_over():
    edges = (np.linspace(-3.0, 3.0, 7), np.linspace(-3.0, 3.0, 6), np.linspace(-2.0, 2.0, 5))
    q = Grid.of(lambda x: jnp.exp(-jnp.sum((x - jnp.array([0.5, -0.5, 0.2])) ** 2)), edges)
    run = flow(KL(lambda x: x @ x), q, 0.1, steps=1)
    masses = np.asarray(run.final.position.masses)
    for axis, over, names in ((0, 2, ("x1", "x2")), (1, 0, ("x2", "x3"))):
        ax = tw.plot.density(run, axis=axis)
        np.testing.assert_allclose(mesh(ax)[1], masses.sum(axis=over).T, rtol=1e-12)
        assert (ax.get_xlabel(), ax.get_ylabel()) == names


def test_particles_are_points_with_their_weights_as_areas(cloud):
    (points,) = tw.plot.density(cloud).collections
    np.testing.assert_array_equal(points.get_offsets(), cloud.final.position.positions)
    drawn = Particles.of(PLANE, 40, 0)
    known = jnp.asarray([float(PLANE.log_density(x)) for x in drawn.positions])
    q = Particles(drawn.positions, log_density=known)
    run = flow(WELL, q, 0.5, geometry=tw.geometry.FisherRao(), steps=4)
    (points,) = tw.plot.density(run).collections
    weights = np.asarray(run.final.position.weights)
    np.testing.assert_allclose(points.get_sizes() / points.get_sizes().sum(), weights, rtol=1e-12)
    assert np.ptp(weights) > 0.01


def test_a_gaussian_is_the_ellipses_of_one_and_two_deviations():
    run = flow(WELL, PLANE, 0.5, steps=4)
    *ellipses, middle = tw.plot.density(run).lines
    q = run.final.position
    precision = np.linalg.inv(np.asarray(q.covariance))
    for size, ellipse in zip((1.0, 2.0), ellipses, strict=True):
        apart = np.stack(ellipse.get_data()) - np.asarray(q.mean)[:, None]
        np.testing.assert_allclose(np.einsum("ik,ij,jk->k", apart, precision, apart), size**2, rtol=1e-9)
    np.testing.assert_array_equal(np.ravel(middle.get_data()), q.mean)


def test_the_dissipation_is_drawn_from_the_metrics(line):
    ax = tw.plot.dissipation(line)
    fall, marks = ax.lines
    times, energy, slope = (np.asarray(line.metrics[name]) for name in ("time", "loss", "gradient_norm"))
    np.testing.assert_allclose(fall.get_xdata(), 0.5 * (times[1:] + times[:-1]))
    np.testing.assert_allclose(fall.get_ydata(), (energy[:-1] - energy[1:]) / (times[1:] - times[:-1]))
    np.testing.assert_array_equal(np.stack(marks.get_data()), np.stack([times, slope**2]))
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_yscale()) == ("time", "dissipation", "log")
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["fall of F", "squared norm of grad F"]
    # Under an exact flow both are one function, here to the square of a step of 1/8.
    between = 0.5 * (slope[1:] ** 2 + slope[:-1] ** 2)
    assert np.abs(fall.get_ydata()[3:] / between[3:] - 1.0).max() < 0.05


def test_given_axes_are_drawn_on(line):
    from matplotlib.figure import Figure

    left, right = Figure().subplots(1, 2)
    assert tw.plot.density(line, left) is left and tw.plot.dissipation(line, right) is right


@pytest.mark.parametrize("kind", ["line", "plane", "cloud"])
def test_a_moving_picture_has_the_frames_asked_for_and_all_of_them_in_one_box(kind, request, tmp_path, monkeypatch):
    from matplotlib import animation

    run, boxes = request.getfixturevalue(kind), []
    saved = animation.FuncAnimation.save

    def watched(self, *args, **options):
        for k in range(3):
            self._func(k)
            ax = self._fig.axes[0]
            boxes.append((ax.get_title(), ax.get_xlim(), ax.get_ylim(), [c.get_offsets() for c in ax.collections]))
        return saved(self, *args, **options)

    monkeypatch.setattr(animation.FuncAnimation, "save", watched)
    path = tw.plot.animate(run, tmp_path / "flow.gif", frames=3, seconds=1.5)
    times = np.asarray(run.trace.time)
    chosen = [0, (len(times) - 1) // 2, len(times) - 1]
    assert [title for title, *_ in boxes] == [f"time {times[i]:.3g}" for i in chosen]
    assert len({(x, y) for _, x, y, _ in boxes}) == 1
    if kind == "cloud":
        for at, (_, x, y, (points,)) in zip(chosen, boxes, strict=True):
            np.testing.assert_array_equal(points, run.trace.position.positions[at])
            assert x[0] < points[:, 0].min() and points[:, 0].max() < x[1]
            assert y[0] < points[:, 1].min() and points[:, 1].max() < y[1]
    with Image.open(path) as picture:
        assert picture.n_frames == 3 and picture.info["duration"] == 500


def test_a_moving_picture_has_no_more_frames_than_distributions_were_kept(line, tmp_path):
    with Image.open(tw.plot.animate(line, tmp_path / "flow.gif", frames=60)) as picture:
        assert picture.n_frames == len(line.trace.time) == 9
    assert matplotlib.image.imread(tmp_path / "flow.gif").shape[:2] == (400, 580)


def untraced():
    return flow(KL(TARGET), START, 0.5, steps=4, record=tw.Record(("loss",)))


def points_in_flat_space():
    return tw.run(tw.gradient_descent(lambda x: x @ x, 0.1), jnp.ones(2), 3, record=tw.Record(("loss",), positions=1))


REFUSED = {
    "the position of this run is none": lambda folder: tw.plot.density(points_in_flat_space()),
    "keeps no distributions on its way": lambda folder: tw.plot.density(untraced()),
    "keeps no distributions": lambda folder: tw.plot.animate(untraced(), folder / "a.gif"),
    "at must be from 0 to 4": lambda folder: tw.plot.density(flow(KL(TARGET), START, 0.5, steps=4), at=5),
    "axis must be from 0 to 0": lambda folder: tw.plot.density(flow(KL(TARGET), START, 0.5, steps=4), axis=1),
    "ax must be the Axes": lambda folder: tw.plot.density(flow(KL(TARGET), START, 0.5, steps=4), ax=3),
    "needs the metric 'gradient_norm'": lambda folder: tw.plot.dissipation(untraced()),
    "needs the metric 'loss'": lambda folder: tw.plot.dissipation(
        flow(Potential(lambda x: x[0] ** 2), START, 0.5, steps=4, record=tw.Record(()))
    ),
    "two steps or more": lambda folder: tw.plot.dissipation(flow(KL(TARGET), START, 0.5, steps=1)),
    "must end with .gif or .mp4": lambda folder: tw.plot.animate(untraced(), folder / "a.png"),
    "is not a directory": lambda folder: tw.plot.animate(untraced(), folder / "no" / "a.gif"),
    "frames must be": lambda folder: tw.plot.animate(flow(KL(TARGET), START, 0.5, steps=4), folder / "a.gif", frames=0),
    "seconds must be": lambda folder: tw.plot.animate(untraced(), folder / "a.gif", seconds=0.0),
    "distributions, but the position": lambda folder: tw.plot.animate(points_in_flat_space(), folder / "a.gif"),
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_cannot_be_drawn_is_refused_in_one_line(words, tmp_path):
    with pytest.raises(tw.InputError, match=words) as raised:
        REFUSED[words](tmp_path)
    assert "\n" not in str(raised.value) and list(tmp_path.iterdir()) == []
