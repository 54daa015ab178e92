"""Distributions that move, and functionals of them: what flows go down."""
