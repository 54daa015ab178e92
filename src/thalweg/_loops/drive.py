"""The one loop of the host: chunks of a job, one after the other, and between them what is kept of each."""

import abc
import threading
import time
from typing import Any, NamedTuple

import jax
import numpy as np

from .._errors import InputError
from .._records.keeper import AbstractKeeper, Rows
from .._records.storage import RecordError
from .interrupt import Interrupt, Terminated
from .progress import Progress
from .stopwatch import Stopwatch

# Long enough to hide the host, short enough to be watched and stopped.
CHUNK_SECONDS = 0.5


class Chunk(NamedTuple):
    """A chunk: its size in units of the job, and what the job needs to know of it."""

    size: int
    plan: Any


class AbstractJob(abc.ABC):
    """A job: compiled in chunks, judged between them.

    Attributes:
        total, done: in units of its own, such as steps.
        units: their name.
        label: what is running.
        status, message: how it ended; it goes on while there is no message.
        newest: the newest value of the objective, for whom watches.
        watch: its time.
    """

    total: int
    units: str
    label: str

    # Least time between two checkpoints.
    checkpoint_seconds = 2.0
    # Whether `thalweg resume` knows how to go on.
    by_command = False

    def __init__(self, watch: Stopwatch) -> None:
        self.done = 0
        self.status, self.message = "finished", ""
        self.newest: float | None = None
        self.watch = watch

    @property
    def so_far(self) -> str:
        """Units made, of all."""
        return f"{self.done} of {self.total} {self.units}"

    def begin(self) -> None:
        """Be ready for the first chunk."""
        return

    @abc.abstractmethod
    def plan(self, wanted: int | None) -> Chunk | None:
        """The next chunk, of about so many units; None where nothing more can be made."""

    @abc.abstractmethod
    def advance(self, chunk: Chunk) -> Any:
        """The chunk, on the device."""

    @abc.abstractmethod
    def take(self, chunk: Chunk, found: Any) -> Rows:
        """Judge what a chunk has made, move on to its end, or to where it ended, and give its rows."""

    def finish(self) -> Rows | None:
        """The last rows; say how it ended."""
        return None

    @abc.abstractmethod
    def leaves(self) -> tuple[list[np.ndarray], dict[str, Any]]:
        """The state to go on from, and what is known of it."""

    @abc.abstractmethod
    def restore(self, checkpoint: dict[str, Any]) -> None:
        """The inverse."""

    def close(self) -> None:
        """Let go of what it holds."""
        return


def drive(job: AbstractJob, keeper: AbstractKeeper, progress: bool | None) -> None:
    """Make a job to its end, or to what ends it first.

    Arguments:
        job: what runs.
        keeper: where it is kept.
        progress: True or False; None shows it where the job takes longer than a second.

    Raises:
        RecordError: what was made could not be kept.
        KeyboardInterrupt: Ctrl-C or SIGTERM, once all is saved; a job that is kept in memory ends instead, and is
            ended by SIGTERM at once.
    """
    interrupted = threading.Event()
    guard = Interrupt(interrupted)
    guard.saved = keeper.path is not None
    try:
        with guard, Progress(job.total, progress, job.label, job.units) as shown:
            before = keeper.begin()
            if before is None:
                _save(job, keeper)
            else:
                job.restore(before)
                job.done = before["step"]
                job.watch.go_on_from(before["seconds"], before["compile_seconds"])
            job.begin()
            shown.announce("compiling")
            _chunks(job, keeper, shown, interrupted)
        rows = job.finish()
        job.message = job.message or f"made {job.so_far}"
        # The last row of what is to go on is made when it has gone on.
        if job.status == "interrupted" and keeper.path is not None:
            rows = None
        keeper.end(*_state(job, keeper), rows)
    finally:
        job.close()
        keeper.close()
    if guard.terminated:
        # Also where it came to its end: whoever ends the process means all of it.
        raise Terminated(job.message if job.status == "interrupted" else f"ended by SIGTERM; {job.message}")
    if job.status == "interrupted" and keeper.path is not None:
        raise KeyboardInterrupt(job.message)


def _chunks(job: AbstractJob, keeper: AbstractKeeper, shown: Progress, interrupted: threading.Event) -> None:
    watch, wanted, saved = job.watch, None, time.monotonic()
    watch.begin()
    while job.done < job.total and not job.message:
        try:
            chunk = job.plan(wanted)
            if chunk is None:
                break
            watch.lap()
            found = jax.block_until_ready(job.advance(chunk))
            wanted = max(1, int(chunk.size / max(watch.lap(), 1e-7) * CHUNK_SECONDS))
            rows = job.take(chunk, found)
        except RecordError:
            raise
        except Exception as error:
            _save(job, keeper)
            if isinstance(error, InputError) and keeper.path is not None:
                text = f"{error}; the {job.done} {job.units} before it are saved in {keeper.path}"
                raise InputError(text) from error.__cause__
            raise
        keeper.keep(rows)
        shown.update(job.done, job.newest)
        keeper.check()
        if keeper.path is not None and time.monotonic() - saved >= job.checkpoint_seconds:
            watch.lap()
            _save(job, keeper)
            watch.begin()
            saved = time.monotonic()
        if interrupted.is_set() and job.done < job.total and not job.message:
            job.status, job.message = "interrupted", f"interrupted after {job.so_far}{_way_on(job, keeper)}"
    watch.lap()


def _way_on(job: AbstractJob, keeper: AbstractKeeper) -> str:
    if keeper.path is None:
        return ""
    return f"; saved in {keeper.path}, go on with" + (f": {keeper.command}" if job.by_command else " resume=True")


def _save(job: AbstractJob, keeper: AbstractKeeper) -> None:
    if keeper.path is not None:
        keeper.checkpoint(*_state(job, keeper))


def _state(job: AbstractJob, keeper: AbstractKeeper) -> tuple[list[np.ndarray], int, dict[str, Any]]:
    # In memory nothing is gone on from, and a state is not copied for nothing.
    if keeper.path is None:
        return [], job.done, {}
    leaves, about = job.leaves()
    about |= {
        "status": job.status if job.message else "running",
        "message": job.message or f"made {job.so_far} so far",
        "seconds": job.watch.seconds,
        "compile_seconds": job.watch.compile_seconds,
    }
    return leaves, job.done, about
