"""What every test and every doctest runs under: float64, no silent broadcasting, checked types, fixed seeds.

It stands at the root because the doctests of src/thalweg need it as much as the tests.
"""

import gc
import os
import signal
import sys
import zlib
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("KERAS_BACKEND", "jax")

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import _typeguard, install_import_hook

from tests.chance import Chance
from tests.environment import same_environment

# A job in the background of a shell inherits SIGINT ignored; the tests of Ctrl-C and their children need it.
signal.signal(signal.SIGINT, signal.default_int_handler)

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")

# The hook checks only what is imported after it.
if "thalweg" in sys.modules:
    raise pytest.UsageError("thalweg was imported before the type-checking hook of conftest.py")
install_import_hook("thalweg", "beartype.beartype")


def _isinstance_of(fn, typechecked=_typeguard.typechecked):
    """What jaxtyping has typeguard make for each tree that it checks, to check its leaves: a twentieth of all time."""
    (hint,) = fn.__annotations__.values()
    if not isinstance(hint, type):
        return typechecked(fn)

    def accepts(leaf):
        if not isinstance(leaf, hint):
            raise TypeError(f"a leaf is no {hint}")

    return accepts


_typeguard.typechecked = _isinstance_of

# Derandomised: the examples depend on the test alone, so that a failure comes back when it is run again.
hypothesis.settings.register_profile("thalweg", derandomize=True, deadline=None, database=None, print_blob=True)
hypothesis.settings.load_profile("thalweg")


def pytest_addoption(parser):
    parser.addoption("--seed", type=int, default=0, help="seed of the fixtures `seed`, `key` and `rng` (default: 0)")


def pytest_report_header(config):
    return f"thalweg: float64, jaxtyping with beartype, --seed {config.getoption('--seed')}"


# Slow too: what was measured and takes long, by `tools/long_tests.py`.
LONG = frozenset(Path(__file__).with_name("tests").joinpath("long.txt").read_text("utf-8").splitlines())
TESTS_OF_CHANCE, LOST = pytest.StashKey(), pytest.StashKey[list[str]]()
TESTS_MADE = pytest.StashKey[int]()
_MAPS = 30_000


# Before any are deselected: the slow ones count.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    config.stash[TESTS_OF_CHANCE] = [item for item in items if "chance" in getattr(item, "fixturenames", ())]
    known, files = {item.nodeid for item in items}, {item.nodeid.partition("::")[0] for item in items}
    config.stash[LOST] = [name for name in LONG - known if name.partition("::")[0] in files]
    for item in items:
        if item.nodeid in LONG:
            item.add_marker(pytest.mark.slow)


def pytest_collection_finish(session):
    # What is loaded by now stays to the end, and need not be gone through again for garbage.
    gc.freeze()


@pytest.fixture
def tests_of_chance(request) -> list:
    """Every collected test that could fail by chance; see tests/chance.py."""
    return request.config.stash[TESTS_OF_CHANCE]


@pytest.fixture
def lost_long_tests(request) -> list:
    """Names of `tests/long.txt` that no test of the files collected has."""
    return request.config.stash[LOST]


@pytest.fixture
def chance():
    """The share of the false alarms that one test may have; see tests/chance.py."""
    share = Chance()
    yield share
    assert share.used > 0, "a share is taken and not used"


@pytest.fixture(autouse=True)
def room_for_programs(request):
    """Every program that JAX compiles maps memory three or four times, and a process may do so 65,530 times.

    Beyond that the compiler does not fail, it crashes. To count takes milliseconds, so it is done every few tests.
    """
    yield
    maps = Path("/proc/self/maps")
    made = request.config.stash[TESTS_MADE] = request.config.stash.get(TESTS_MADE, 0) + 1
    if made % 8 == 0 and maps.exists() and maps.read_bytes().count(b"\n") > _MAPS:
        jax.clear_caches()


@pytest.fixture(autouse=True)
def environment_of_its_own():
    """What a test puts into the environment, as the examples do that it runs, is not for the processes of the next."""
    with same_environment():
        yield


@pytest.fixture(autouse=True)
def rows_of_its_own():
    """The rows that a test registers are forgotten with it."""
    yield
    table = sys.modules.get("thalweg._methods.table")
    if table is not None:
        table._REGISTERED.clear()


@pytest.fixture(scope="session")
def float16():
    """float16, where XLA can compile it: on a processor without F16C it lacks the conversions."""
    try:
        jax.block_until_ready(jax.jit(lambda x: x + 1)(jnp.ones(2, jnp.float16)))
    except jax.errors.JaxRuntimeError:
        pytest.skip("XLA compiles no float16 on this processor")
    return jnp.float16


@pytest.fixture
def seed(request) -> int:
    """A seed of the test's own: the same in every run and order, another under another `--seed`."""
    return zlib.crc32(f"{request.config.getoption('--seed')} {request.node.nodeid}".encode())


@pytest.fixture
def key(seed):
    """A JAX key of the test's own."""
    return jax.random.key(seed)


@pytest.fixture
def rng(seed) -> np.random.Generator:
    """A NumPy generator of the test's own."""
    return np.random.default_rng(seed)
