"""A call that works of every public function: for tests that replace an argument, or the precision."""

import dataclasses
import types

import jax.numpy as jnp

import thalweg as tw


def bowl(x):
    return 0.5 * jnp.sum(jnp.array([1.0, 3.0]) * x**2)


def well(x):
    return (x**2 - 1.0) ** 2


def bowl_of(x, s):
    return bowl(x - s)


def rate(k):
    return 0.1 / (1.0 + k)


def calls():
    """Arguments by name of the call; a function where something has to be made first.

    Arrays are of the precision in which this is called.
    """
    X0, DATA = jnp.array([1.0, -2.0]), jnp.arange(10.0).reshape(5, 2)
    F = tw.Objective(bowl, minimum=0.0)
    SUM = tw.FiniteSum(bowl_of, DATA)
    GD = tw.gradient_descent(F, 0.1)
    HP = tw.Hyperparameters(0.1, 0.9, batch_size=32)
    FLOW = tw.GradientFlow(F)
    SGLD = tw.sgld(bowl, 0.1)
    ADAM = tw.AdamHyperparameters(batch_size=32)
    GAUSSIAN = tw.networks.GaussianMixture(X0, 0.25)
    NOISING = tw.networks.VarianceExploding()
    SAMPLER = tw.Method(
        tw.ProbabilityFlow(NOISING, GAUSSIAN.denoiser(NOISING)), tw.DDIM(), times=jnp.array([80.0, 1.0])
    )
    done = {}

    def descent(learning_rate):
        return tw.gradient_descent(F, learning_rate)

    def adam_state():
        optimizer = tw.adapters.optax.transformation(tw.adam(None, 0.1))
        return optimizer.update(X0, optimizer.init(X0), X0)[1]

    def made():
        """A run, a sweep, a comparison and the like, which others take; made once."""
        if not done:
            done["run"] = tw.run(tw.momentum(F, 0.1, 0.5), X0, 3, record=tw.Record(("loss", "gradient_norm"), 1))
            done["sweep"] = tw.sweep(descent, {"learning_rate": [0.1, 0.2]}, X0, 3)
            done["compare"] = tw.compare({"gd": GD}, X0, max_steps=5, limits=False, record=1)
            done["flow"] = tw.measures.flow(tw.measures.KL(bowl), tw.measures.Gaussian(X0, jnp.eye(2)), 0.1, steps=4)
            done["samplers"] = tw.networks.compare_samplers(GAUSSIAN, "ddim", [2, 4], draws=10)
            done["work"] = tw.work_precision({"gd": GD}, X0, 1.0, [4, 8], repeats=1)
        return types.SimpleNamespace(**done)

    return {
        "Objective": dict(fn=bowl, minimum=0.0, minimiser=jnp.zeros(2), smoothness=3.0, strong_convexity=1.0,
                          time_dependent=False),
        "FiniteSum": dict(fn=bowl_of, data=DATA, batch_size=2, replace=False, epochs=True, keyed=False, state=None,
                          minimum=0.0, minimiser=jnp.zeros(2), smoothness=3.0, strong_convexity=1.0),
        "Stream": dict(fn=bowl_of, batches=lambda k: DATA, samples=5, minimum=0.0,
                       minimiser=jnp.zeros(2), smoothness=3.0, strong_convexity=1.0, ahead=True),
        "Field": dict(fn=lambda t, x, args: -x, args=None),
        "DampedField": dict(fn=lambda t, x, args: -x, args=None, friction=1.0, mass=1.0),
        "Pieces": dict(args=DATA, duration=0.5),
        "networks.residual": dict(block=jnp.sin, depth=2, step=0.5, key=None, shared=True, scheme=tw.Heun(),
                                  gradient="direct"),
        "networks.momentum": dict(block=jnp.sin, depth=2, step=0.5, momentum=0.9, key=None, shared=True,
                                  scheme=tw.Leapfrog(), gradient="reversible"),
        "networks.neural_ode": dict(field=jnp.sin, time=1.0, steps=2, scheme=tw.Heun(), gradient="checkpoint"),
        "GradientFlow": dict(objective=bowl, rate=1.0, geometry=None),
        "HeavyBall": dict(objective=bowl, friction=1.0, mass=1.0, geometry=None),
        "MuonFlow": dict(objective=bowl, rate=1.0, first=1.0, decay=0.1, others=tw.AdamFlow(None), iterations=3,
                         coefficients=(3.4445, -4.775, 2.0315), layout="out_in", scaling="none", corrected=False,
                         stacked=True, iteration_dtype="bfloat16"),
        "KleinKramers": dict(potential=bowl, friction=1.0, temperature=1.0, mass=1.0),
        "NesterovFlow": dict(objective=bowl, damping=3.0),
        "NonreversibleFlow": dict(
            objective=tw.measures.KL(bowl), drift=lambda x: -x, geometry=tw.geometry.Wasserstein()
        ),
        "HighResolutionFlow": dict(objective=bowl, step=0.1, strong_convexity=1.0),
        "HessianDampedFlow": dict(objective=bowl, curvature_damping=0.1, damping=3.0, friction=1.0),
        "BregmanFlow": dict(objective=bowl, p=2.0, strength=0.25),
        "OverdampedLangevin": dict(objective=bowl, temperature=1.0),
        "UnderdampedLangevin": dict(objective=bowl, friction=1.0, temperature=1.0, mass=1.0),
        "AdaptiveLangevin": dict(objective=bowl, temperature=1.0, friction=1.0, thermal_mass=1.0, mass=1.0),
        "ColouredLangevin": dict(objective=bowl, temperature=1.0, correlation_time=1.0),
        "GeneralizedLangevin": dict(objective=bowl, friction=1.0, temperature=1.0, memory_times=(0.5,),
                                    memory_frictions=(1.0,), mass=1.0),
        "Adaptive": dict(scheme=tw.Tsit5(), rtol=1e-6, atol=1e-9, until=1.0, stops=[0.5],
                         pcoeff=0.0, icoeff=1.0, dcoeff=0.0),
        "ButcherTableau": dict(name="mine", a=((), (0.5,)), b=(0.0, 1.0), order=2, reference="", embedded=(1.0, 0.0)),
        "RungeKutta": dict(tableau=tw.Heun().tableau),
        "RosenbrockTableau": lambda: dataclasses.asdict(tw.Rodas5P().tableau),
        "RosenbrockWanner": lambda: dict(tableau=tw.Rodas5P().tableau, tolerance=1e-8, products=10, dense=2),
        "Rodas5P": dict(tolerance=1e-8, products=10, dense=2),
        "RosenbrockEuler": dict(tolerance=1e-8, preconditioner=None, products=10),
        "FiniteVolumes": dict(flux="second-order", order=2, tolerance=1e-10, iterations=5),
        "ExactFokkerPlanck": dict(tolerance=1e-12),
        "ImplicitEuler": dict(tolerance=1e-8, iterations=5, preconditioner=None, products=10),
        "ImplicitMidpoint": dict(tolerance=1e-8, iterations=5, preconditioner=None, products=10),
        "ExponentialEuler": dict(krylov=3, tolerance=1e-8, dense=False),
        "Leapfrog": dict(start="exact"),
        "Lookahead": dict(fraction=1.0, start="exact"),
        "PseudoTransient": dict(tolerance=1e-6, memory=3, max_gradients=10),
        "BirthDeath": dict(),
        "ReplicaExchange": dict(scheme=tw.EulerMaruyama(), temperatures=(1.0, 2.0), every=10),
        "Restarted": dict(scheme=tw.Lookahead(), by="gradient", wait=1),
        "RungeKuttaChebyshev": dict(order=1, stages=3, damping=0.05),
        "RungeKuttaLegendre": dict(order=1, stages=3),
        "Splitting": dict(word="BAOAB"),
        "Method": dict(dynamics=FLOW, scheme=tw.Euler(), step_size=0.1),
        "Hyperparameters": dict(learning_rate=0.1, momentum=0.9, nesterov=False, dampening=0.0, batch_size=8,
                                convention="torch", weight_decay=0.0, bias_correction=False),
        "AdamHyperparameters": dict(learning_rate=1e-3, beta1=0.9, beta2=0.99, epsilon=1e-8, batch_size=32,
                                    weight_decay=0.01, coupled=False),
        "AdamPhysical": dict(step=0.1, first=1.0, second=10.0, epsilon=1e-8, decay=0.1),
        "AdamHyperparameters.from_physical": dict(physical=tw.AdamPhysical(0.1, 1.0, 10.0, 1e-8), batch_size=8),
        "AdamHyperparameters.retune": dict(self=ADAM, learning_rate=0.01),
        "AdamHyperparameters.carry": dict(self=ADAM, then=ADAM.retune(0.01), steps=3),
        "AdamHyperparameters.from_method": dict(method=tw.adam(bowl, 0.1)),
        "LionHyperparameters": dict(learning_rate=1e-3, beta1=0.9, beta2=0.99, batch_size=32, weight_decay=0.01),
        "LionPhysical": dict(step=0.1, first=1.0, share=0.9, decay=0.1),
        "LionHyperparameters.from_physical": dict(physical=tw.LionPhysical(0.1, 1.0, 0.9), batch_size=8),
        "LionHyperparameters.from_method": dict(method=tw.lion(bowl, 0.1)),
        "MuonHyperparameters": dict(learning_rate=1e-3, beta=0.9, nesterov=True, scaling="original", iterations=5,
                                    convention="torch", batch_size=32, weight_decay=0.01),
        "MuonPhysical": dict(step=0.1, first=1.0, decay=0.1),
        "MuonHyperparameters.from_physical": dict(physical=tw.MuonPhysical(0.1, 1.0), batch_size=8),
        "MuonHyperparameters.from_method": dict(method=tw.muon(bowl, 0.1)),
        "MuonHyperparameters.factor": dict(self=tw.MuonHyperparameters(), shape=(8, 2)),
        "MuonHyperparameters.to": dict(self=tw.MuonHyperparameters(), convention="optax", scaling="original",
                                       shape=(8, 2), transposed=False),
        "AdamHyperparameters.schedule": dict(self=ADAM, learning_rate=rate),
        "Physical": dict(step=0.1, friction=1.0, temperature=1.0, lookahead=0.0),
        "translate": dict(hyperparameters=HP, curvature=1.0),
        "gradient_descent": dict(objective=bowl, learning_rate=0.1),
        "momentum": dict(objective=bowl, learning_rate=0.1, momentum=0.9),
        "nesterov": dict(objective=bowl, learning_rate=0.1, momentum=0.9),
        "leapfrog": dict(objective=bowl, learning_rate=0.1, momentum=0.9),
        "midpoint_momentum": dict(objective=bowl, learning_rate=0.1, momentum=0.9),
        "sign_descent": dict(objective=bowl, learning_rate=0.1),
        "mirror_descent": dict(objective=bowl, learning_rate=0.1, potential="hypentropy", parameter=1.0),
        "geometry.Norm": dict(kind="linf", unit=True, per_leaf=False),
        "geometry.Metric": dict(value=jnp.eye(2)),
        "geometry.Mirror": dict(potential="hypentropy", parameter=1.0, inverse=None),
        "adam": dict(objective=bowl, learning_rate=0.1, beta1=0.9, beta2=0.99, epsilon=1e-8),
        "adamw": dict(objective=bowl, learning_rate=0.1, beta1=0.9, beta2=0.99, epsilon=1e-8, weight_decay=0.01),
        "nadam": dict(objective=bowl, learning_rate=0.1, beta1=0.9, beta2=0.99, epsilon=1e-8, momentum_decay=0.004),
        "rmsprop": dict(objective=bowl, learning_rate=0.1, beta2=0.9, epsilon=1e-8),
        "lion": dict(objective=bowl, learning_rate=0.1, beta1=0.9, beta2=0.99, weight_decay=0.01),
        "muon": dict(objective=bowl, learning_rate=0.1, beta=0.9, weight_decay=0.01, nesterov=True,
                     adam_learning_rate=0.05, adam_beta1=0.9, adam_beta2=0.99, adam_weight_decay=0.1, epsilon=1e-8,
                     layout="out_in", scaling="none", iterations=3, coefficients=(3.4445, -4.775, 2.0315),
                     corrected=False, stacked=True, iteration_dtype="bfloat16"),
        "mala": dict(objective=bowl, learning_rate=0.1, temperature=1.0),
        "sgld": dict(objective=bowl, learning_rate=0.1, temperature=1.0),
        "riemannian_momentum": dict(objective=bowl, learning_rate=0.1, momentum=0.9, geometry=tw.geometry.Sphere()),
        "natural_gradient": dict(objective=bowl, learning_rate=0.1, geometry=tw.geometry.GaussNewton(jnp.sin)),
        "gauss_newton": dict(least_squares=jnp.sin, learning_rate=0.1, damping=0.1),
        "geometry.GaussNewton": dict(residuals=jnp.sin, damping=0.1, tolerance=1e-6, products=10, dense=2),
        "geometry.Fisher": dict(model=bowl_of, inputs=DATA, likelihood="gaussian", noise=0.5, damping=0.1,
                                average=False, tolerance=1e-6, products=10, dense=2),
        "geometry.EmpiricalFisher": dict(losses=bowl_of, data=DATA, damping=0.1, average=True, tolerance=1e-6,
                                         products=10, dense=2),
        "geometry.FisherInformation": dict(family="gaussian", chart="natural"),
        "stabilised_descent": dict(objective=bowl, learning_rate=0.1, stages=3, damping=0.05),
        "Row": dict(name="mine", make=descent, defaults={}, reference="", aliases=(), needed=()),
        "register": lambda: dict(row=tw.Row("mine", lambda f, learning_rate: GD, {"learning_rate": 0.1})),
        "Record": dict(metrics=("loss",), positions=0, checkpoint_seconds=2.0),
        "Recorder": dict(path="mine", method=HP, objective="mine", curvature=lambda: 1.0, curvature_every=3,
                         preconditioned_curvature=None,
                         gradients_per_step=1, resume=False),
        "run": dict(method=GD, x0=X0, steps=3, key=0, record=None, out="run", resume=False, progress=False,
                    stop={"loss": 0.0}, velocity=None, source=None),
        "solve": dict(method=GD, x0=X0, steps=3, key=0, save=None, at=[0, 3], times=None, velocity=None,
                      gradient="direct"),
        "minimize": dict(objective=bowl, x0=X0, tolerance=1e-6, max_gradients=20, record=None, out=None, resume=False,
                         progress=False),
        "sample": dict(method=SGLD, x0=X0, draws=4, chains=2, warmup=1, thin=1, key=0, keep="draws", scheme=None,
                       energies=False, diagnostics=False, out=None, resume=False, progress=False, source=None),
        "read_samples": dict(path="nowhere", diagnostics=False),
        "sweep": dict(make_method=descent, grid={"learning_rate": [0.1, 0.2]}, x0=X0, steps=3, seeds=1, losses=True,
                      keep=None, out=None, resume=False, progress=False),
        "compare": dict(methods={"gd": GD}, x0=X0, tolerance=1e-6, max_steps=5, seeds=1, limits=False, out=None,
                        progress=False, record=None, sources=None),
        "compare_runs": lambda: dict(runs={"mine": made().run}, tolerance=1e-3),
        "work_precision": dict(methods={"gd": GD}, x0=X0, until=1.0, steps=(4, 8), tolerances=None, velocity=None,
                               repeats=1, reference=None),
        "Run.load": dict(path="nowhere"),
        "Sweep.load": dict(path="nowhere"),
        "Method.with_step_size": dict(self=GD, step_size=0.1),
        "Method.with_learning_rate": dict(self=GD, learning_rate=0.1),
        "Method.with_objective": dict(self=GD, objective=F),
        "Method.diffusion_limit": dict(self=GD, noise_covariance=1.0, x=None),
        "Method.temperature": dict(self=GD, noise_covariance=1.0, hessian=2.0),
        "Method.init": dict(self=GD, position=X0, velocity=None),
        "Hyperparameters.to": dict(self=HP, convention="ema", running=False, bias_correction=None),
        "Hyperparameters.retune": dict(self=HP, learning_rate=0.2, momentum=None, batch_size=None, rule="exact"),
        "Hyperparameters.from_physical": dict(physical=tw.Physical(0.1, 1.0), convention="torch"),
        "Hyperparameters.schedule": dict(self=HP, learning_rate=rate),
        "Comparison.report": lambda: dict(self=made().compare, path="page.html", title="mine"),
        "WorkPrecision.cost": lambda: dict(self=made().work, method="gd", error=1e-2, of="gradients"),
        "WorkPrecision.cheapest": lambda: dict(self=made().work, error=1e-2, of="gradients"),
        "WorkPrecision.of": lambda: dict(self=made().work, method="gd"),
        "WorkPrecision.save": lambda: dict(self=made().work, directory="place"),
        "measures.wasserstein": dict(q=tw.measures.Gaussian(X0, 1.0), p=tw.measures.Gaussian(-X0, 2.0), way="sliced",
                                     errors=True, directions=4, epsilon=0.5, key=0),
        "analysis.amplification": dict(method=GD, curvature=1.0, time=None, at=None),
        "analysis.spectral_radius": dict(method=GD, curvature=1.0, time=None, at=None),
        "analysis.contraction_per_gradient": dict(method=GD, curvature=1.0, time=None),
        "analysis.largest_stable_learning_rate": dict(method=GD, curvature=1.0),
        "analysis.largest_stable_step": dict(method=GD, curvature=1.0, time=None, at=None),
        "analysis.stationary_covariance": dict(method=GD, hessian=1.0, noise_covariance=1.0, of="position"),
        "analysis.transient_covariance": dict(method=GD, hessian=1.0, steps=3, noise_covariance=1.0, start=None,
                                              of="position"),
        "analysis.transient_mean": dict(method=GD, hessian=1.0, steps=3, start=1.0, of="position"),
        "analysis.modified_equation": dict(method=GD, hessian=1.0, noise_covariance=1.0, order=1),
        "analysis.modified_error": dict(method=GD, hessian=1.0, noise_covariance=1.0),
        "analysis.smoothness_constant": dict(hessian=1.0, norm="linf", like=0.0),
        "analysis.largest_curvature": dict(objective=bowl, x=X0, iterations=20, tolerance=1e-6),
        "analysis.gradient_noise": dict(objective=SUM, x=X0, samples=3, key=0),
        "analysis.energy_account": lambda: dict(run=made().run),
        "analysis.lyapunov": lambda: dict(run=made().run, which=None),
        "analysis.equivalent_batch_schedule": dict(hyperparameters=HP, learning_rate=rate, steps=3, keep="momentum"),
        "analysis.equivalent_rate_schedule": dict(hyperparameters=HP, batch_size=lambda k: 32.0, steps=3,
                                                  keep="momentum"),
        "analysis.escape_time": dict(potential=well, start=-1.0, end=0.0, temperature=1.0),
        "analysis.kramers_time": dict(potential=well, well=-1.0, barrier=0.0, temperature=0.1),
        "analysis.depth_transfer": dict(network=tw.networks.residual(jnp.sin, 2, 0.1, shared=True), inputs=DATA,
                                        labels=jnp.array([0, 1, 0, 1, 0]), schemes=(tw.Heun(),), depths=(2, 4),
                                        tolerance=0.1),
        "analysis.convergence_order": dict(method=GD, x0=X0, horizon=1.0, steps=(4, 8, 16), velocity=None,
                                           reference=None),
        "analysis.batch_rules": dict(hyperparameters=HP, batch_size=64),
        "analysis.noise_order": dict(method=SGLD, curvature=1.0, horizon=1.0, start=1.0),
        "analysis.noise_scale": dict(small=[1.0, 1.2, 0.9, 1.1], large=[0.6, 0.5, 0.55, 0.6], small_batch=8,
                                     large_batch=32),
        "analysis.scale_adam": dict(adam=ADAM, batch_size=64, rule="square root"),
        "analysis.scale_sgd": dict(hyperparameters=HP, batch_size=64, rule="linear"),
        "problems.banana": dict(bend=0.1, spread=3.0, dimension=2),
        "problems.canyon": dict(steepness=100.0, slope=0.1),
        "problems.double_well": dict(dimension=2, temperature=1.0),
        "problems.funnel": dict(dimension=3, spread=3.0),
        "problems.gaussian": dict(precision=None, condition_number=10.0, dimension=2, rotated=True, seed=0, mean=None),
        "problems.gaussian_mixture": dict(means=((0.0, 1.0), (1.0, 0.0)), weights=(0.5, 0.5), covariances=None),
        "problems.get": dict(name="rosenbrock"),
        "problems.logistic_breast_cancer": dict(regularisation=1e-3),
        "problems.logistic_digits": dict(regularisation=1e-3),
        "problems.logistic_posterior": dict(prior_scale=1.0),
        "problems.network_digits": dict(hidden=2, regularisation=1e-4, seed=0),
        "problems.quadratic": dict(spectrum=None, condition_number=10.0, dimension=2, rotated=True, seed=0),
        "problems.rosenbrock": dict(dimension=2),
        "problems.saddle": dict(dimension=2, instability=1.0, offset=1e-3),
        "claims.find": dict(ids="exponential-decay"),
        "claims.check": dict(ids="exponential-decay"),
        "geometry.Stiefel": dict(metric="canonical"),
        "geometry.SPD": dict(),
        "geometry.Hyperboloid": dict(),
        "geometry.PoincareBall": dict(),
        "geometry.Product": dict(by_leaf={"a": tw.geometry.Sphere(), "b": None}, labels=None),
        "geometry.Stein": dict(kernel=tw.measures.GaussianKernel(1.0), flux="upwind"),
        "geometry.Wasserstein": dict(flux="upwind"),
        "geometry.KalmanWasserstein": dict(flux="upwind"),
        "geometry.WassersteinFisherRao": dict(transport=1.0, reaction=1.0, flux="upwind"),
        "measures.Grid": dict(density=jnp.full(4, 0.25), edges=jnp.arange(5.0), periodic=False),
        "measures.Grid.of": dict(density=jnp.ones(4), edges=jnp.arange(5.0), periodic=False),
        "measures.Particles": dict(positions=X0, weights=None, log_density=None),
        "measures.Quantiles": dict(values=jnp.arange(4.0)),
        "measures.Gaussian": dict(mean=X0, covariance=jnp.eye(2)),
        "measures.Potential": dict(potential=bowl),
        "measures.Entropy": dict(bandwidth=1.0),
        "measures.Internal": dict(exponent=2.0, bandwidth=None),
        "measures.Interaction": dict(energy=bowl),
        "measures.KL": dict(target=bowl, log_normalizer=0.0, bandwidth=None),
        "measures.MMD": dict(target=DATA, kernel=tw.measures.EnergyKernel()),
        "measures.GaussianKernel": dict(bandwidth=1.0),
        "measures.InverseMultiquadric": dict(scale=1.0, exponent=0.5),
        "networks.VariancePreserving": dict(beta_min=0.1, beta_max=20.0),
        "networks.time_grid": dict(noising=tw.networks.VarianceExploding(), steps=4, spacing="karras", start=80.0,
                                   end=0.002, rho=7.0, to_data=True),
        "networks.sampler": dict(name="ddim", noising=NOISING, score=lambda t, x: -x, times=jnp.array([80.0, 1.0])),
        "networks.compare_samplers": dict(
            problem=GAUSSIAN, samplers=("ddim",), evaluations=(2,), noising=None, score=None, spacing="karras",
            draws=10, key=0),
        "problems.diffusion": dict(name="mixture-diffusion"),
        "problems.DiffusionProblem": dict(name="mine", data=GAUSSIAN, noising=NOISING, end=0.1, description="mine"),
        "networks.denoising_loss": dict(noising=tw.networks.RectifiedFlow(), kind=tw.networks.Velocity,
                                        time_of=lambda u: u),
        "networks.log_likelihood": dict(
            method=tw.Method(tw.ProbabilityFlow(tw.networks.VarianceExploding(), lambda t, x: -x / (1.0 + t**2)),
                             tw.Heun(), times=jnp.array([80.0, 1.0])),
            x=X0, divergence="exact", key=0, probes=1, end_law=lambda x: jnp.sum(x)),
        "analysis.sampling_bias": dict(
            method=tw.Method(tw.ProbabilityFlow(tw.networks.VarianceExploding(), lambda t, x: -x), tw.DDIM(),
                             times=jnp.array([80.0, 1.0])),
            gaussian=tw.measures.Gaussian(X0, jnp.eye(2)), start="prior"),
        "ProbabilityFlow": dict(noising=tw.networks.VariancePreserving(), score=lambda t, x: -x),
        "ReverseDiffusion": dict(noising=tw.networks.VariancePreserving(), score=lambda t, x: -x, eta=1.0),
        "ExponentialRungeKutta": dict(order=2, prediction="data"),
        "ExponentialMultistep": dict(order=2, prediction="data", weights=None),
        "measures.flow": lambda: dict(
            functional=tw.measures.KL(bowl), start=tw.measures.Gaussian(X0, jnp.eye(2)), time=0.1, geometry=None,
            scheme=tw.RK4(), steps=2,
        ),
        "testing.check_geometry": dict(geometry=tw.geometry.Sphere(), at=jnp.array([0.6, 0.8]), seed=0,
                                       leave_out=("bend",)),
        "testing.check_method": dict(method=GD, leave_out=("order",)),
        "testing.check_optimizer": dict(factory=bowl, framework="optax", reference=None, steps=1, seed=0, examples=1,
                                        leave_out=()),
        "plot.density": lambda: dict(run=made().flow, ax=None, at=None, axis=0),
        "plot.dissipation": lambda: dict(run=made().flow, ax=None),
        "plot.animate": lambda: dict(run=made().flow, path="flow.gif", frames=2, seconds=1.0),
        "plot.curves": lambda: dict(comparison=made().compare, against="gradients", ax=None),
        "plot.loss": lambda: dict(run=made().run, ax=None, against="steps", label=None),
        "plot.course": lambda: dict(runs={"mine": made().run}, name="loss", against="steps", ax=None),
        "plot.losses": lambda: dict(runs={"mine": made().run}, against="steps", ax=None),
        "plot.paths": lambda: dict(comparison=made().compare, ax=None, points=None),
        "plot.stability_map": dict(curvature=1.0, ax=None, rates=(0.1, 1.0), momenta=(0.0, 0.5), scheme="momentum",
                                   points=None),
        "plot.work_precision": lambda: dict(result=made().work, axes=None),
        "plot.write_report": lambda: dict(comparison=made().compare, path="page.html", title="mine"),
        "plot.write_flow_report": lambda: dict(
            run=made().flow, path="flow.html", title="mine", particles=None, frames=2
        ),
        "plot.chains": dict(tree=None, parameters=None, law=None, axes=None),
        "adapters.optax.transformation": dict(method=GD),
        "adapters.optax.preconditioned_curvature": lambda: dict(
            objective=bowl, params=X0, state=adam_state(), method=tw.AdamHyperparameters(0.1), iterations=20,
            tolerance=1e-6,
        ),
        "adapters.scipy.minimizer": dict(method=GD),
        "adapters.blackjax.potential": dict(logdensity_fn=bowl),
        "adapters.blackjax.sampling_algorithm": dict(method=SGLD),
        "plot.unit_balls": lambda: dict(geometries=tw.geometry.Norm("l2"), slope=(1.0, 2.0), position=None, ax=None),
        "measures.kernel_stein_discrepancy": dict(q=tw.measures.Particles(DATA), target=bowl,
                                                  kernel=tw.measures.GaussianKernel(1.0), statistic="U"),
        "measures.median_bandwidth": dict(q=tw.measures.Particles(DATA)),
        "plot.samplers": lambda: dict(result=made().samplers, axes=None),
        "plot.write_sampler_report": lambda: dict(result=made().samplers, path="samplers.html", title="mine"),
        "plot.diffusion": dict(method=SAMPLER, data=GAUSSIAN, count=3, key=0, ax=None),
        "plot.depth": dict(network=tw.networks.residual(jnp.sin, 2, 0.1, shared=True), inputs=DATA,
                           labels=[0, 1, 0, 1, 0], ax=None),
        "plot.depth_transfer": lambda: dict(result=tw.analysis.depth_transfer(
            tw.networks.residual(jnp.sin, 2, 0.1, shared=True), DATA), axes=None),
        "web.serve": dict(root="none", port=None, token=None, ready=None),
        "web.write_page": dict(runs="none", path="page.html", title="mine"),
        "plot.sweep": lambda: dict(result=made().sweep, over=None, ax=None),
    }  # fmt: skip


def found(name):
    """A public name such as `analysis.convergence_order`."""
    value = tw
    for part in name.split("."):
        value = getattr(value, part)
    return value
