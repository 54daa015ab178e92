"""Compiling is told apart from work, and nothing that is compiled on the way of something else counts twice."""

import threading
import time

import jax
import jax.numpy as jnp
import numpy as np

from thalweg._loops import stopwatch
from thalweg._loops.stopwatch import Stopwatch


def compiled_anew():
    return jax.jit(lambda x: jnp.sin(x) + jnp.cumsum(x))(np.ones(3))


def test_what_is_compiled_is_no_work():
    watch, begun = Stopwatch(), time.perf_counter()
    compiled_anew()
    time.sleep(0.05)
    lap, whole = watch.lap(), time.perf_counter() - begun
    assert watch.compile_seconds > 0
    np.testing.assert_allclose(lap + watch.compile_seconds, whole, atol=5e-3)
    assert lap == watch.seconds >= 0.05


def test_a_part_is_not_counted_beside_its_whole(monkeypatch):
    monkeypatch.setattr(stopwatch, "_compiled", stopwatch._Compiled())
    watch, now = Stopwatch(), [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    for at, seconds in ((1e9 + 1, 0.5), (1e9 + 2, 0.25), (1e9 + 3, 2.75), (1e9 + 4, 1.0)):
        now[0] = at
        jax.monitoring.record_event_duration_secs("/jax/core/compile/backend_compile_duration", seconds)
        jax.monitoring.record_event_duration_secs("/jax/another", 50.0)
    assert watch.compile_seconds == 3.75


def test_what_another_thread_compiles_is_not_counted():
    watch = Stopwatch()
    thread = threading.Thread(target=compiled_anew)
    thread.start()
    thread.join()
    assert watch.compile_seconds == 0


def test_a_run_that_goes_on_adds_to_what_it_took():
    watch = Stopwatch()
    watch.go_on_from(3.0, 2.0)
    watch.begin()
    assert watch.lap() < 1.0
    assert 3.0 < watch.seconds < 4.0
    assert watch.compile_seconds == 2.0


def test_a_whole_of_many_parts_counts_once(monkeypatch):
    monkeypatch.setattr(stopwatch, "_compiled", stopwatch._Compiled())
    watch, now = Stopwatch(), [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    for now[0] in range(1000, 1100):
        jax.monitoring.record_event_duration_secs("/jax/core/compile/backend_compile_duration", 0.5)
    jax.monitoring.record_event_duration_secs("/jax/core/compile/jaxpr_trace_duration", 128.0)
    assert watch.compile_seconds == 128.0
