"""Compiling is timed apart from work, and nothing that is compiled on the way of something else counts twice."""

import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from thalweg._loops import stopwatch
from thalweg._loops.stopwatch import Stopwatch

COMPILED = "/jax/core/compile/backend_compile_duration"


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands until it is set, in a thread that has compiled nothing yet."""
    now = [0.0]
    monkeypatch.setattr(stopwatch, "_compiled", stopwatch._Compiled())
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    return now


def compiled_anew():
    return jax.jit(lambda x: jnp.sin(x) + jnp.cumsum(x))(np.ones(3))


def test_what_jax_compiles_is_heard_of():
    watch = Stopwatch()
    compiled_anew()
    assert watch.compile_seconds > 0


def test_what_is_compiled_is_no_work(clock):
    clock[0] = 100.0
    watch = Stopwatch()
    clock[0] = 103.0
    jax.monitoring.record_event_duration_secs(COMPILED, 2.0)
    clock[0] = 104.5
    assert watch.lap() == watch.seconds == 2.5
    assert watch.compile_seconds == 2.0
    clock[0] = 105.0
    assert watch.lap() == 0.5
    assert watch.seconds == 3.0


def test_a_part_is_not_counted_beside_its_whole(clock):
    watch = Stopwatch()
    for at, seconds in ((1e9 + 1, 0.5), (1e9 + 2, 0.25), (1e9 + 3, 2.75), (1e9 + 4, 1.0)):
        clock[0] = at
        jax.monitoring.record_event_duration_secs(COMPILED, seconds)
        jax.monitoring.record_event_duration_secs("/jax/another", 50.0)
    assert watch.compile_seconds == 3.75


def test_what_another_thread_compiles_is_not_counted():
    watch = Stopwatch()
    thread = threading.Thread(target=compiled_anew)
    thread.start()
    thread.join()
    assert watch.compile_seconds == 0


def test_a_run_that_goes_on_adds_to_what_it_took(clock):
    watch = Stopwatch()
    watch.go_on_from(3.0, 2.0)
    watch.begin()
    clock[0] = 0.25
    assert watch.lap() == 0.25
    assert (watch.seconds, watch.compile_seconds) == (3.25, 2.0)


def test_a_whole_of_many_parts_counts_once(clock):
    watch = Stopwatch()
    for clock[0] in range(1000, 1100):
        jax.monitoring.record_event_duration_secs(COMPILED, 0.5)
    jax.monitoring.record_event_duration_secs("/jax/core/compile/jaxpr_trace_duration", 128.0)
    assert watch.compile_seconds == 128.0
