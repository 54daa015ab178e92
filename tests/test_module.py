"""The base of pytrees: what a bound method of one is, and that all of ours have it."""

import pickle

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

import thalweg as tw
from thalweg._module import Module


class Scaled(Module):
    by: jax.Array

    def __call__(self, x):
        return self.by * x

    def twice(self, x):
        """Twice."""
        return self(self(x))

    @jax.jit
    def compiled(self, x):
        return self.twice(x)

    @classmethod
    def unit(cls):
        return cls(jnp.ones(()))

    @staticmethod
    def half(x):
        return 0.5 * x

    @property
    def inverse(self):
        return 1.0 / self.by


class Shifted(Scaled):
    def twice(self, x):
        return super().twice(x) + 1.0


@pytest.mark.parametrize("kind", [Scaled, Shifted])
@pytest.mark.parametrize("again", [False, True])
def test_a_bound_method_is_the_one_of_equinox(kind, again):
    module = kind(jnp.array(3.0))
    if again:
        assert module.twice(1.0) == kind(jnp.array(3.0)).twice(1.0)
    own, theirs = module.twice, eqx.Module.__getattribute__(module, "twice")
    assert type(own) is type(theirs) and own.__self__ is module
    assert jax.tree.structure(own) == jax.tree.structure(theirs)
    assert vars(own).keys() == vars(theirs).keys()
    assert (own.__name__, own.__doc__, own.__qualname__) == (theirs.__name__, theirs.__doc__, theirs.__qualname__)
    assert eqx.tree_equal(own, theirs) and repr(own) == repr(theirs)


def test_its_arrays_are_arguments_of_a_program():
    traced = []

    @eqx.filter_jit
    def call(fn, x):
        traced.append(fn)
        return fn(x)

    assert [float(call(Scaled(jnp.array(by)).twice, 1.0)) for by in (2.0, 3.0, 4.0)] == [4.0, 9.0, 16.0]
    assert len(traced) == 1
    assert jax.grad(lambda module: module.twice(1.0))(Scaled(jnp.array(3.0))).by == 6.0


def test_what_is_no_function_of_the_instance_stays():
    module = Shifted(jnp.array(2.0))
    assert Shifted.unit().by == module.unit().by == 1.0
    assert module.half(3.0) == 1.5 and module.inverse == 0.5
    assert module.compiled(1.0) == 5.0
    assert type(module).twice is Shifted.twice and callable(module.__call__)
    with pytest.raises(AttributeError, match="nothing"):
        _ = module.nothing


def test_bound_methods_are_pickled():
    law = tw.HeavyBall(None, 1.0)
    rates = pickle.loads(pickle.dumps(law.in_flat_space))
    assert eqx.tree_equal(rates(), law.in_flat_space())


def test_every_class_of_ours_has_it():
    def below(cls):
        return {cls}.union(*map(below, cls.__subclasses__()))

    ours = [one for one in below(eqx.Module) if one.__module__.partition(".")[0] == "thalweg"]
    assert len(ours) > 100
    assert [one for one in ours if not issubclass(one, Module) and one.__module__ != "thalweg._module"] == []
