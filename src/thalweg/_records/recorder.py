"""A run directory of ours, written from inside somebody else's loop."""

import atexit
import collections
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from .._errors import InputError, check_count, is_path
from .._typed import typed
from . import terminate
from .batch_sizes import batch_sizes
from .capture import copied, norm, number
from .directory import Directory, environment
from .kinds import stamped
from .margin import PLAIN, PRECONDITIONED, as_motion
from .run import Run
from .stability import NoMarginWarning, StabilityWarning, text_below, text_without
from .storage import RecordError
from .watch import Watch
from .written import OURS, Written, count_steps

# Rows are written so long after the first of them was logged, together.
_FLUSH_SECONDS = 0.5
# A loop that is so many rows ahead of its own results waits for them.
_ROWS_AHEAD = 100_000


class Recorder:
    r"""Log a training loop of optax, torch or anything else to a run directory of ours.

    What `log` is given is captured at once and read, formatted and written by a thread, so that the loop does not
    wait for a device. Rows are on disk within a second; what was written outlives a crash.

    Arguments:
        path: the directory; it must be empty or not be there yet.
        method: `tw.Hyperparameters`, `tw.AdamHyperparameters`, a `tw.Method`, a name, or a dictionary of numbers (and
            texts, of which "name" is the method's); None where nothing is known of it.
        objective: what is trained, in words.
        curvature: a function that returns the largest curvature at the loop's parameters of the moment; it is
            called by `log` itself.
        preconditioned_curvature: likewise, of the curvature over what Adam, or its like, divides a step by.
        curvature_every: steps between two calls of it, at most: it is called sooner where the loss jumps, where the
            curvature has moved since the last time and where the margin is below 2.
        gradients_per_step: gradients the loop takes in a step; the method's own, else 1.
        batch_size: samples of a step; that of the `tw.Hyperparameters` where they say it. A loop whose batches change
            logs a column `batch_size=`.
        part_size: samples of the batch of which `log(part=)` is given the gradient.
        resume: append to the recorded run in `path`, if there is one; `step` tells where to go on.

    Attributes:
        step: the step that the next `log` belongs to.
        path: the directory.

    Raises:
        InputError: before anything is written, with one line that says what is wrong.
        RecordError: the directory could not be written.

    Warns:
        once, where the stability margin falls below 1, at the next `log` or `close`; once, where a curvature is logged
        that makes no margin: a plain one of Adam, or any of a method whose direction is a sign.

    >>> import tempfile
    >>> import thalweg as tw
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with tw.Recorder(f"{folder}/mine", method=tw.Hyperparameters(0.5), objective="a bowl") as recorder:
    ...         x = 8.0
    ...         for _ in range(3):
    ...             recorder.log(loss=0.5 * x**2, gradient=x, curvature=1.0)
    ...             x -= 0.5 * x
    ...     run = tw.Run.load(f"{folder}/mine")
    ...     run.status, run.metrics["loss"].tolist(), run.metrics["stability_margin"].round(9).tolist()
    ('finished', [32.0, 8.0, 2.0], [4.0, 4.0, 4.0])
    """

    @typed("path", "objective", "curvature", "preconditioned_curvature")
    def __init__(
        self,
        path: str | Path,
        method: Any = None,
        objective: str = "unnamed",
        *,
        curvature: Callable[[], Any] | None = None,
        preconditioned_curvature: Callable[[], Any] | None = None,
        curvature_every: int = 100,
        gradients_per_step: int | None = None,
        batch_size: int | None = None,
        part_size: int | None = None,
        resume: bool = False,
    ) -> None:
        if not is_path(path):
            raise InputError(f"path must be that of a directory, but is {path!r}")
        if not isinstance(objective, str):
            raise InputError(f"objective must be a few words, such as 'digits, 2 layers', but is {objective!r}")
        if not isinstance(resume, bool):
            raise InputError(f"resume must be True or False, but is {resume!r}")
        given = {PLAIN: curvature, PRECONDITIONED: preconditioned_curvature}
        self._functions = {name: function for name, function in given.items() if function is not None}
        for name, function in self._functions.items():
            if not callable(function):
                raise InputError(
                    f"{name} must be a function without arguments that returns a number, but is {function!r}; "
                    f"a number of the moment goes to log({name}=)"
                )
        self.path = Path(path)
        self.step = 0
        self._motion = as_motion(method)
        self._watch = Watch(check_count("curvature_every", curvature_every))
        self._warned = self._told = False
        self._batch = batch_sizes(batch_size, part_size, method)
        for name in self._functions:
            self._motion.check(name)
        each, at_start = (1 if gradients_per_step is None else check_count("gradients_per_step", gradients_per_step)), 0
        if gradients_per_step is None and hasattr(method, "gradients_per_step"):
            each, at_start = method.gradients_per_step, method.gradients_at_start
        self._columns: tuple[str, ...] = ()
        self._rows: collections.deque[Any] = collections.deque()
        self._draining = self._closed = self._free = False
        self._closing = threading.Event()
        self._run: Run | None = None
        self._directory = Directory(self.path)
        self._written = Written(
            self._directory, self._motion, (each, at_start), set(self._functions), self._watch, self._sizes
        )
        self._open(objective, resume)
        self._tell(self._functions, 3)

    @property
    def _sizes(self) -> tuple[float, float] | None:
        batch = self._batch
        return (float(batch["part"]), float(batch["size"])) if "part" in batch else None

    def _open(self, objective: str, resume: bool) -> None:
        config = {"run": {"version": _version()}, "method": self._motion.about, "objective": {"name": objective}}
        config = stamped("recorded", config | ({"batch": self._batch} if self._batch else {}))
        try:
            if resume and (self.path / "run.toml").exists():
                self._columns = self._written.restore(self._directory.reopen(config, keep_rows=True))
                self.step, self._free = self._written.steps, True
            else:
                # A loop of torch is not to make JAX take hold of the devices.
                self._directory.create(config, environment(backend="torch" not in sys.modules))
            self._written.save()
        except BaseException as error:
            self._directory.close()
            if isinstance(error, OSError) and not isinstance(error, RecordError):
                raise self._directory.failure(error) from error
            raise
        atexit.register(self._forgotten)
        terminate.begin(self)

    def log(
        self,
        *,
        step: Any = None,
        gradient: Any = None,
        part: Any = None,
        update: Any = None,
        parameters: Any = None,
        curvature: Any = None,
        preconditioned_curvature: Any = None,
        **scalars: Any,
    ) -> None:
        r"""Log a row: what belongs to the state before a step.

        A scalar is a Python number, or an array of NumPy, JAX or torch of one element, on any device; None where
        there is none this time. Every call gives the same ones.

        Arguments:
            step: which step; the one after the last if None.
            gradient: a tree of arrays, or tensors of torch (those that are None are left out); its norm is logged
                as `gradient_norm`.
            part: likewise, the gradient of the `part_size` first samples of the batch, such as those that a step
                accumulates first, as `part_norm`. From both the scale of the gradient's noise is estimated
                (`tw.analysis.noise_scale`), which `thalweg show` tells.
            update: likewise, what the optimizer adds to the parameters, as `update_norm`.
            parameters: a tree of arrays, a `state_dict` or named tensors; the last ones given are kept as
                `Run.final`. They are copied at every call that gives them. Given alone, as after the loop, they make
                no row.
            curvature: the largest curvature at the parameters, now and then; logged beside the stability margin, the
                largest stable learning rate over the one in use.
            preconditioned_curvature: likewise, of Adam and its like the one that makes their margin
                (`tw.adapters.torch.largest_curvature(..., optimizer=)`, `tw.adapters.optax.preconditioned_curvature`).
            scalars: `loss`, and whatever else. A `learning_rate` is the one in use.

        Raises:
            InputError: a value of another kind, other columns than before, or a recorder that is closed. Nothing of
                the row is written then.
            RecordError: the directory could not be written.

        Warns:
            where a margin below 1 has been found.
        """
        if self._closed:
            raise InputError(f"the recorder of {self.path} is closed; go on with tw.Recorder(..., resume=True)")
        self._guarded(self._directory.check)
        at = self.step if step is None else self._check_step(step)
        values = {name: number(name, value) for name, value in scalars.items()}
        if part is not None and self._sizes is None:
            raise InputError("part= needs to know the samples of both: tw.Recorder(..., batch_size=, part_size=)")
        for name, tree in (("gradient", gradient), ("part", part), ("update", update)):
            if tree is not None:
                if f"{name}_norm" in values:
                    raise InputError(f"{name}_norm is computed from {name}=; give one of them")
                values[f"{name}_norm"] = norm(name, tree)
        given = {PLAIN: curvature, PRECONDITIONED: preconditioned_curvature}
        curvatures = {name: value for name, value in given.items() if value is not None}
        if not values and parameters is not None and step is None and not curvatures:
            self._written.newest.append((*copied(parameters), at))
            return
        if not values or tuple(values) != self._columns:
            self._check_columns(values)
        for name, value in curvatures.items():
            self._motion.check(name)
            curvatures[name] = number(name, value)
        if not curvatures and self._functions:
            curvatures = self._measured(at, values)
        newest = None if parameters is None else copied(parameters)
        if self._free and at < self.step:
            self._forget(at)
        self._columns = self._columns or tuple(values)
        self._free = False
        self.step = at + 1
        if newest is not None:
            self._written.newest.append((*newest, at))
        self._rows.append((at, values, curvatures))
        if not self._draining:
            self._draining = True
            self._guarded(lambda: self._directory.submit(self._drain))
        if len(self._rows) > _ROWS_AHEAD:
            self._wait()
        self._warn(3)
        self._tell(curvatures, 3)

    def _measured(self, at: int, values: dict[str, Any]) -> dict[str, Any]:
        """The curvatures, where they are due."""
        loss = values.get("loss")
        # One that a device still computes is seen by the writer's thread.
        if isinstance(loss, float):
            self._watch.see(loss)
        if not self._watch.due(at):
            return {}
        found = {name: number(f"what {name}() returns", function()) for name, function in self._functions.items()}
        first = found.get(self._motion.column, next(iter(found.values())))
        if isinstance(first, float):
            self._watch.measured(at, first)
        return found

    def _tell(self, names: Iterable[str], level: int) -> None:
        """Say once of a curvature that it makes no margin, and why."""
        motion = self._motion
        if not self._told and PLAIN in names and (motion.preconditioned or motion.limitless):
            self._told = True
            warnings.warn(text_without(motion.limitless), NoMarginWarning, stacklevel=level)

    def _warn(self, level: int) -> None:
        below = self._written.below
        if below is not None and not self._warned:
            self._warned = True
            warnings.warn(text_below(below, self._motion.knob), StabilityWarning, stacklevel=level)

    @property
    def run(self) -> Run:
        """The run as it is on disk."""
        return Run.load(self.path) if self._run is None else self._run

    def close(self, status: str = "finished", message: str | None = None) -> Run:
        """Write what is left, and end the run; a second call changes nothing.

        Arguments:
            status: how it ended; "not finite" where a loss was not, if this says "finished".
            message: what happened, in a line.

        Returns:
            the `Run`.

        Raises:
            RecordError: the directory could not be written.
        """
        if self._run is not None:
            return self._run
        if not self._closed:
            self._closed = True
            atexit.unregister(self._forgotten)
            self._closing.set()
            self._guarded(lambda: self._directory.submit(lambda: self._end(status, message)))
        terminate.end(self)
        self._directory.close()
        self._run = Run.load(self.path)
        self._warn(3)
        return self._run

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        del trace
        if kind is None or error is None or (isinstance(error, SystemExit) and not error.code):
            self.close()
            return
        if isinstance(error, SystemExit) and error.code == terminate.STATUS:
            status, message = "interrupted", f"ended by SIGTERM after {count_steps(self.step)}"
        elif issubclass(kind, KeyboardInterrupt):
            status, message = "interrupted", f"interrupted after {count_steps(self.step)}"
        else:
            text = " ".join(str(error).split())
            status = "failed"
            message = f"failed after {count_steps(self.step)}: {kind.__name__}{': ' if text else ''}{text}"
        # What ended the loop is not to be hidden by a warning that is an error.
        self._warned = True
        try:
            self.close(status, message)
        except (OSError, InputError):
            # What ended the loop is what its owner must see.
            return

    def __repr__(self) -> str:
        return f"Recorder({str(self.path)!r}, {'closed' if self._closed else 'open'} after {count_steps(self.step)})"

    # What `log` checks.

    def _check_step(self, step: Any) -> int:
        at = check_count("step", step, at_least=0)
        if at < self.step and not self._free:
            raise InputError(f"step must be greater than that of the row before, {self.step - 1}, but is {at}")
        return at

    def _check_columns(self, values: dict[str, Any]) -> None:
        if not values:
            raise InputError("log needs at least one number, such as loss=")
        if not self._columns:
            for name in values:
                if name in OURS:
                    raise InputError(f"{name} is a column of the recorder's own; log yours under another name")
            return
        missing = [name for name in self._columns if name not in values]
        new = [name for name in values if name not in self._columns]
        if missing or new:
            wrong = [f"{', '.join(names)} {word}" for names, word in ((missing, "missing"), (new, "new")) if names]
            known = ", ".join(self._columns)
            raise InputError(
                f"every call of log gives the same columns ({known}), but here {' and '.join(wrong)}; "
                "give None where there is no value"
            )

    def _guarded(self, job: Callable[[], None]) -> None:
        """Whatever has gone wrong ends the recorder."""
        try:
            job()
        except BaseException:
            self._closed = True
            atexit.unregister(self._forgotten)
            raise

    def _wait(self) -> None:
        # Once more: Ctrl-C may have come between a row and the drain it asks for.
        self._draining = True
        self._guarded(lambda: self._directory.submit(self._drain))
        while len(self._rows) > _ROWS_AHEAD // 2:
            self._guarded(self._directory.check)
            time.sleep(0.01)

    def _forget(self, step: int) -> None:
        """Leave out rows on disk from a step on: the loop goes on from an older state of its own."""
        self._directory.cut_metrics(step)
        self._written.forget(step)
        self.step = self._written.steps

    def _forgotten(self) -> None:
        self.close("interrupted", f"the program ended after {count_steps(self.step)} without closing the recorder")

    # What the writer's thread does.

    def _drain(self) -> None:
        # Asked for twice: the first has done it. Else those that wait would hold up a loop that is quick.
        if not self._draining:
            return
        self._closing.wait(_FLUSH_SECONDS)
        # Before the rows are taken: one that is logged later starts a drain of its own.
        self._draining = False
        self._written.write(self._taken(), self._columns)
        if self._written.due:
            self._written.save()

    def _taken(self) -> list[Any]:
        return [self._rows.popleft() for _ in range(len(self._rows))]

    def _end(self, status: str, message: str | None) -> None:
        self._written.write(self._taken(), self._columns)
        self._written.end(status, message or "", self.step)


def _version() -> str:
    from .. import __version__

    return __version__
