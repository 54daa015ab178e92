"""The sentences of the five articles that can be checked, in our words and with their conditions."""

import dataclasses

ARTICLES = {
    "000": "article: gradient flow",
    "001": "article: gradient descent as Euler's method, against Runge-Kutta",
    "002": "article: Wasserstein gradient flow",
    "003": "article: momentum and Nesterov as differential equations",
    "004": "article: SGD, momentum and Nesterov as dynamics of a particle in a potential",
}
GROUPS = ("core", "geometry", "distributions", "networks", "later")

# Article and number, the group it belongs to, and what is said.
_TEXT = """
000.1 core The solution of x' = -kx is x₀ exp(-kt).
000.2 core Gradient descent with steps b(t) dt becomes x' = -b(t) ∇f as dt goes to 0.
000.3 core Along the flow df/dt = -b |∇f|² ≤ 0: f falls all the time.
000.4 core As along the flow, every iteration of gradient descent lowers f.
000.5 core As t goes to infinity the system settles, x' goes to 0 and hence ∇f.
000.6 core So x(t) tends to the extremum, usually the optimum, since f is convex.
000.8 core Momentum corresponds to a damped equation of second order.
000.9 core Simple equations are solved in closed form, others numerically.
000.10 core The choice of the rate b affects how fast the flow converges.
000.11 networks The reverse diffusion of DDPM and NCSN can be modelled as an ordinary equation, the probability flow.
000.12 networks From noise to data generation is a continuous way.
000.13 networks A neural differential equation replaces discrete layers and raises the expressive power.
000.14 core A discrete iteration may be a numerical approximation of the equation.
000.15 core Lyapunov stability studies the behaviour of algorithms in the long run.
000.16 core Gradient flow is like the dissipation of energy in physics.
000.17 core Every discrete step corresponds to a piece of the continuous flow.
000.18 core The equation proves that f falls and shows convergence to the optimum.
001.1 core Runge-Kutta methods sample the derivative several times a step and so approximate the trajectory.
001.2 core Explicit Euler steps of length η on gradient flow are standard gradient descent.
001.3 core The learning rate η is the step h.
001.4 core RK4 on gradient flow has the stages k₁ to k₄ and the weights 1/6 (1, 2, 2, 1).
001.5 core RK4 is more accurate.
001.6 core RK4 is more stable.
001.7 core But each of its steps is dearer: four evaluations.
001.8 core Runge-Kutta methods of high order are not used in training, because a step costs several gradients.
001.9 networks A residual block x + f(x) is Euler's method on x' = f(x, t) with h = 1, layers as time.
001.11 core More stages of Runge-Kutta are more accurate, of second or fourth order.
001.12 core Better is one gradient a step and momentum.
001.13 geometry Better is one gradient a step and preconditioning such as Adam's scaling.
001.14 core Better are schedules of the learning rate: stability and speed go before accuracy.
002.1 core As the step goes to 0 the path of descent becomes a continuous curve, the gradient flow.
002.2 core Where f is smooth and convex one usually reaches the valley; else one may stick in a small valley.
002.3 core Along the negative gradient, however small the step, f always falls.
002.4 geometry The negative gradient is the direction of steepest descent in Euclidean space only.
002.5 geometry Natural gradient descent takes the Kullback-Leibler divergence as its regulariser.
002.6 geometry And so it takes a more accurate path and goes round obstacles.
002.8 distributions With Wasserstein's distance for Euclid's gradient descent becomes the Wasserstein gradient flow.
002.9 distributions It leads to the continuity equation.
002.10 distributions It leads to the Fokker-Planck equation.
002.11 distributions The negative direction of F[q] gives an iteration that minimises F[q].
003.1 core In a canyon gradient descent goes zig-zag: it oscillates along the steep direction.
003.2 core On ill-conditioned surfaces the gradient deviates strongly from the direction of the optimum.
003.4 core Momentum is v⁺ = γv + η∇f, θ⁺ = θ - v⁺ with γ in (0, 1).
003.5 core As γ goes to 0 it is plain gradient descent.
003.6 core With γ about 0.9 it accelerates dimensions in which the gradient is consistent.
003.7 core Components that oscillate are cancelled.
003.8 core Good momentum speeds convergence up by an order of magnitude.
003.9 core At a ratio of curvatures of 100 to 1 it needs 90 % fewer iterations, or more than that.
003.10 core v_t = η Σ γ^(t-i) ∇f(θ_i), i from 1 to t.
003.11 core The velocity is an exponentially weighted average of the gradients.
003.12 core Momentum is a low-pass filter of the gradients: it smooths noise of high frequency.
003.13 core In flat regions the momentum that has been accumulated keeps moving.
003.14 core And it helps to leave shallow local minima.
003.15 core Start with v₀ = 0, or warm the momentum up.
003.16 core Lower the base learning rate, because momentum rescales the gradient.
003.17 core The zero at which v begins wants a correction of its bias.
003.18 core torch.optim.SGD(lr=0.01, momentum=0.9) is the typical implementation.
003.19 core It improves convergence from O(1/ε) to O(1/√ε).
003.21 core The average v = βv + (1 - β)g, θ⁺ = θ - αv is momentum.
003.22 core With p = mv, a ball in rough terrain accelerates.
003.23 core Su et al. (2016) first gave the equation θ'' + (3/t) θ' + ∇f = 0.
003.24 core In m x'' + μx' + ∇U = 0 Nesterov's method balances inertia and friction: friction prevents oscillation.
003.25 core Nesterov's method, second form: v = βv + ∇f(θ - βv), θ⁺ = θ - αv.
003.26 core Nesterov's method, third form: v = βv + ∇f(θ + βv), θ⁺ = θ - ηv.
003.27 core Nesterov's method, first form: v = γv + η∇f(θ - γv).
003.28 core Looking ahead predicts the gradient more accurately.
003.29 core So in theory it reaches a better rate.
003.30 core Lyapunov functions prove the rate from the equation.
003.31 core Su's equation has O(1/t²) under strongly convex f, in agreement with the discrete method.
003.32 core Other terms of friction or inertia give better convergence.
003.33 core Nesterov's method evaluates at θ - γv, momentum at θ.
003.34 core For L-smooth, μ-strongly convex f Nesterov's method converges as (1 - √(μ/L))^t.
003.35 core And classical momentum only as (1 - μ/L)^t.
003.36 networks On wide and deep linear networks Nesterov's method converges as (1 - O(1/κ))^t.
003.37 core In a canyon momentum oscillates by what it has accumulated, and looking ahead suppresses that.
003.38 core Near the optimum Nesterov's method shrinks its steps by itself; momentum has no such adaptation.
003.39 networks On a residual network the loss of Nesterov's method falls more steeply early.
003.40 networks And it ends at a lower loss.
003.41 core In steep regions momentum overshoots the optimum; Nesterov's method corrects in time.
003.42 core Nesterov's method excels where there are many saddles.
003.43 networks A CNN on CIFAR-10 reaches the same accuracy 15 to 20 % faster with Nesterov's method.
003.44 core γ from 0.9 to 0.99 is typical.
003.45 core On a rough surface γ = 0.9, on a smooth one γ = 0.99.
003.46 core The learning rate of Nesterov's method should be 80 to 90 % of momentum's.
003.47 core PyTorch has an optimizer NesterovSGD.
003.48 core Where κ is near 1 Nesterov's method and momentum are alike.
003.49 core In small batches Nesterov's method is more sensitive to errors of the gradient.
003.50 networks Nesterov's method for networks of 10 layers or more; momentum for shallow ones, or κ near 1.
003.51 networks ResNet-50 on CIFAR-10, learning rate 0.1, momentum 0.9: 120 epochs against 85 to 92 %.
003.52 networks Translation (IWSLT) in batches of 4,096: BLEU varies by ±1.2 with momentum, ±0.7 with Nesterov's method.
003.53 core The friction 3/t allows large oscillations early and damps more and more later.
003.54 core The look-ahead term with 3/t explains robustness to noise.
003.55 core In continuous time Nesterov's method is θ'' + (3/t) θ' + ∇f(θ + t/(t+3) θ') = 0.
003.56 networks While an item has a burst Nesterov's method updates its embedding 40 % more.
003.57 networks And it keeps long-tail items stable.
003.58 core At a saddle (DCGAN) momentum takes 320 iterations and Nesterov's method 210.
003.59 networks In adversarial training Nesterov's method escapes saddles better.
003.60 core Over 1,000 random settings with rates in [0.01, 0.3] the performance of Nesterov's method falls 60 % less.
003.61 core Looking ahead is a dynamic learning rate: a larger effective step while gradients agree.
003.62 core Switched by curvature, Nesterov's method where flat, momentum where steep: steadier than either.
003.63 networks Layer by layer: momentum in the lower layers, Nesterov's method in the upper ones.
003.64 core A viscous term: θ⁺ = θ - ηv + γ(v - v⁻).
003.65 core It suppresses oscillation of high frequency.
003.66 later Stochastic resonance: noise of a shaped spectrum speeds ResNet-152 up by 17 %.
003.67 later In federated learning aggregated momentum saves 40 % of the rounds.
003.68 later Looking ahead suits the calibration of noise for differential privacy: more accuracy at the same budget.
003.69 later Nesterov's method mitigates barren plateaus: 10 times fewer measurements than SGD.
003.70 core A neural-ODE optimizer reads Nesterov's method as a numerical integrator with a given step.
003.72 geometry Nesterov's method accelerates in hyperbolic space too.
003.74 networks In the tangent-kernel regime the momentum term is a regulariser of gradient flow.
003.75 later Mini-batches make trajectories chaotic.
003.76 later Lyapunov exponents of momentum bound the batch size.
003.77 core Seen as an equation Nesterov's method has second-order convergence.
003.78 core On ill-conditioned losses Nesterov's method improves training markedly.
004.1 core Gradient descent (equation 2) is Euler's method on θ' = -∇L.
004.2 core Equation 4 is a conservative system and therefore converges to a fixed point.
004.3 core It can converge to a fixed point.
004.4 core A stable fixed point is a local minimum, not necessarily a global one.
004.5 core A full gradient is too dear a step: a random subset gives an estimate of it.
004.6 core The error of the gradient is normal with variance σ², approximately.
004.7 core SGD is θ' = -∇L + σξ, Langevin's equation.
004.8 core Its stationary law is exp(-L/σ²).
004.9 core There σ² is the variance of the gradient of a mini-batch.
004.10 core The learning rate brings noise, too.
004.11 core Minima of L are maxima of the stationary law.
004.12 core Run for ever, SGD visits all values.
004.13 core The larger the batch, the smaller the variance.
004.14 core A larger σ makes a flatter law; with a smaller σ one is trapped in a pit.
004.15 core Instead of a learning rate that decays the batch can grow.
004.16 core Begin with small batches and a large learning rate, then let one grow or the other decay.
004.17 core A larger batch costs more, so that growth stops at some size.
004.18 core The learning rate must not exceed the width of the pit.
004.19 core The smaller σ, the narrower the pit: the learning rate must fall as training goes on.
004.20 geometry Pure SGD is slow compared with Adam.
004.21 core Momentum accelerates SGD.
004.22 core The stable fixed points of the second-order system are the minima, too.
004.23 core So where it converges to is no different from gradient descent, only the speed is.
004.24 core A ball that stops can stop in a valley, with low probability at a top or a saddle, never on a slope.
004.25 core The difference quotient is in error by O(γ) at n and by O(γ²) at n + 1/2.
004.26 core Momentum with β and α of equation 15 is of second order (equations 13 to 16).
004.27 core This is leapfrog integration.
004.28 core At equal learning rate and accuracy momentum goes on by √α and gradient descent by α: hence it is faster.
004.29 core With little friction the ball passes A, B, C, D where gradient descent stops: by energy, without noise.
004.30 core SGD needs a large learning rate or a small batch for the same.
004.31 core With λ = 0, that is β = 1, it never stops, however small the learning rate.
004.32 core So λ > 0 is necessary for convergence.
004.33 core With λ too large the motion stops before the lowest point.
004.34 core 0 < β < 1.
004.35 core At fixed λ a lower α asks for a higher β: β is about 1 - λ√α.
004.36 core The rule for a learning rate r times as large: β becomes 1 - (1 - β)√r.
004.37 core The half-step form (equation 17) leads to equation 19 with the coefficients of 18.
004.38 core The implicit equation 19 is of second order.
004.39 core Equation 20 has β/2, from θ at n + 1 being about θ + βv.
004.40 core Momentum and Nesterov's method are both of second order, of the same accuracy but for a constant.
004.41 core In theory Nesterov's method is implicit, so its stable region is wider.
004.42 core The gradient at the midpoint is more central than that of Nesterov's method.
004.43 core Frameworks' form is in Θ = θ + βv.
004.44 core Θ and θ become equal at the end, since v goes to 0.
004.45 core Nesterov's method usually gives better results.
004.46 core Equation 21 is Kramers's equation: the heavy ball with σξ.
004.47 core At λ = 0 the stationary law is exp(-(η²/2 + L)/σ²).
004.48 core Its marginal in θ is equation 9, so that what is said of SGD holds for momentum and Nesterov's method.
004.51 core For SGD a bigger batch is not always better.
"""

# Of a sentence that no experiment can judge, or none yet.
_LATER = "needs a system that is not covered yet"
_REASONS = {
    "000.15": "says what a field is about; Lyapunov functions themselves are in 000.18 and 003.30",
    "003.18": "says what is common; that it is the method of 003.4 is tested to 1e-12 against torch",
    "003.44": "says what is common, and nothing of the method",
} | dict.fromkeys(("003.66", "003.67", "003.68", "003.69", "003.75", "003.76"), _LATER)


@dataclasses.dataclass(frozen=True)
class Sentence:
    """One sentence of an article.

    Arguments:
        id: the article and a number, such as "003.9".
        group: what it is about: core, geometry, distributions, networks; later, of what is not covered yet.
        text: what is said, in our words.
        reason: none of a sentence that can be judged; else why it has no claim.
    """

    id: str
    group: str
    text: str
    reason: str = ""

    @property
    def article(self) -> str:
        """The number of the article."""
        return self.id[:3]


def _read() -> dict[str, Sentence]:
    rows = (line.split(" ", 2) for line in _TEXT.strip().splitlines())
    return {name: Sentence(name, group, text, _REASONS.get(name, "")) for name, group, text in rows}


SENTENCES = _read()
