"""Engines compute the maps of a batch: ONNX Runtime here; the torch engine has the same interface and lives in nets/.

`WithinMemory` keeps a run alive on a card whose memory is full: smaller batches first, then the processor.
"""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from nucleate.errors import InputError, ModelError, TooLargeError
from nucleate.run.breaking import no_thread, start

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["Engine", "OnnxEngine", "WithinMemory", "load_onnxruntime"]

_logger = logging.getLogger(__name__)

_LISTEN = 0.2
"""Seconds after which a thread that waits for its maps notices an interrupt."""


class Engine(Protocol):
    """Anything that turns a batch into maps of the same height and width."""

    def __call__(self, batch_NCHW: NDArray[np.float32], /) -> NDArray[np.float32]:
        """Compute maps float32 (N, maps, H, W) in 0..1 from a batch float32 (N, channels, H, W)."""


class OnnxEngine:
    """Run an ONNX file on the processor with ONNX Runtime.

    The session is made on the first call or by `warm_up`, so that building an engine costs nothing. Engines may be
    called from several threads and can be pickled. Ctrl-C ends a call within a second or so.

    Parameters
    ----------
    model : bytes or path-like
        Content of an ONNX file, or the file. One input (N, C, H, W) float32, one output of maps with free H and W.
    threads : int, optional
        Processor threads for one call; ONNX Runtime's own choice when None.

    Raises
    ------
    ModelError
        When the session is made, if the model cannot be read; on any call, if it does not take the batch.
    TooLargeError
        If the batch needs more memory than there is.
    InputError
        If no thread can be started to compute in.
    """

    def __init__(self, model: bytes | Path | str, threads: int | None = None) -> None:
        self._model = model if isinstance(model, bytes) else Path(model)
        self._threads = threads
        self._lock = threading.Lock()
        self._session: Any = None

    @property
    def name(self) -> str:
        """The file, or a description of bytes, for messages."""
        return "ONNX model" if isinstance(self._model, bytes) else str(self._model)

    def __call__(self, batch_NCHW: NDArray[np.float32], /) -> NDArray[np.float32]:
        """Compute maps float32 (N, maps, H, W) from a batch float32 (N, channels, H, W)."""
        session = self._opened()
        feed = {session.get_inputs()[0].name: np.ascontiguousarray(batch_NCHW, np.float32)}
        try:
            maps = _computed(session, feed)
        except InputError:
            raise
        except Exception as error:  # the classes of ONNX Runtime have no common root but Exception
            reason = _first_line(error)
            if "alloc" in reason.lower():
                raise TooLargeError(
                    f"not enough memory for a tile of {batch_NCHW.shape[2]} x {batch_NCHW.shape[3]} px; "
                    "give a lower --memory or a smaller --tile, or close other programs"
                ) from error
            raise ModelError(
                f"{self.name} does not take a batch of shape {batch_NCHW.shape}: {reason}; "
                "look at channels and multiple in the model's card"
            ) from error
        return _check(np.asarray(maps), batch_NCHW, name=self.name)

    def warm_up(self) -> None:
        """Make the session, which takes a seventh of a second while other threads run on; raises as a call does."""
        self._opened()

    def __getstate__(self) -> dict[str, Any]:
        return {"_model": self._model, "_threads": self._threads}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # A session and a lock cannot leave the process that made them.
        vars(self).update(state, _lock=threading.Lock(), _session=None)

    def _opened(self) -> Any:  # noqa: ANN401 - ONNX Runtime ships no types
        with self._lock:
            if self._session is None:
                self._session = _session(self._model, self._threads, name=self.name)
            return self._session


class WithinMemory:
    """An engine that goes on when its memory is full: with half as many tiles at once, then on another engine.

    Each step holds for all later batches, and is logged once.

    Parameters
    ----------
    engine : Engine
        The fast one, for example on a graphics card.
    spare : callable
        Makes the engine that takes over when not even one tile fits; called once, if at all.
    """

    def __init__(self, engine: Engine, spare: Callable[[], Engine]) -> None:
        self.engine = engine
        self._spare: Callable[[], Engine] | None = spare
        self._most: int | None = None

    def __call__(self, batch_NCHW: NDArray[np.float32], /) -> NDArray[np.float32]:
        """Compute maps float32 (N, maps, H, W) from a batch float32 (N, channels, H, W)."""
        parts: list[NDArray[np.float32]] = []
        done = 0
        while done < len(batch_NCHW):
            part_NCHW = batch_NCHW[done : done + (self._most or len(batch_NCHW))]
            try:
                parts.append(self.engine(part_NCHW))
            except (MemoryError, RuntimeError) as error:  # torch has a class of its own, which this room must not know
                if self._spare is None or not _memory_is_full(error):
                    raise
                self._give_way(len(part_NCHW), self._spare)
                continue
            done += len(part_NCHW)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _give_way(self, tiles: int, spare: Callable[[], Engine]) -> None:
        if tiles > 1:
            self._most = tiles // 2
            _logger.warning("the graphics card's memory is full: going on with tiles by %d", self._most)
            return
        _logger.warning("the graphics card's memory is full: going on on the processor")
        self.engine, self._spare, self._most = spare(), None, 1


def _memory_is_full(error: Exception) -> bool:
    return isinstance(error, MemoryError) or "out of memory" in str(error).lower()


def load_onnxruntime() -> Any:  # noqa: ANN401 - as above
    """Import ONNX Runtime, which takes a third of a second, so that it sends nothing anywhere.

    Releases from 1.29 on send reports to their makers as soon as they are imported, and keep files in the user's cache
    folder for that, unless an environment variable forbids it.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    return onnxruntime


def _session(model: bytes | Path, threads: int | None, *, name: str) -> Any:  # noqa: ANN401 - as above
    onnxruntime = load_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # faults are raised as exceptions, so its lines on stderr would repeat them
    # Waiting threads that spin keep a processor busy between tiles, while other work could use it.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Planning the memory for each size of tile takes half as much memory again, and saves no time.
    options.enable_mem_pattern = False
    if threads is not None:
        options.intra_op_num_threads = threads
    if isinstance(model, Path) and not model.is_file():
        raise ModelError(f"no model file {name}; give a name from 'nucleate models' or an .onnx file")
    source = model if isinstance(model, bytes) else str(model)
    try:
        # There is nothing to fall back to, which it would say on the standard output.
        return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"], enable_fallback=0)
    except Exception as error:  # see above
        if "pthread_create" in str(error):
            raise no_thread() from error
        raise ModelError(f"cannot read {name}: {_first_line(error)}; fetch or export the model again") from error


def _computed(session: Any, feed: dict[str, NDArray[np.float32]]) -> Any:  # noqa: ANN401 - as above
    """Compute maps in a thread of their own, so that an interrupt of this one need not wait for a whole tile."""
    options, ended, done = load_onnxruntime().RunOptions(), [], threading.Event()

    def compute() -> None:
        try:
            ended.append(session.run(None, feed, options)[0])
        except Exception as error:  # raised again in the caller's thread
            ended.append(error)
        done.set()

    thread = threading.Thread(target=compute, name="nucleate-engine", daemon=True)
    try:
        start(thread)
        # Not Thread.join: before Python 3.13, a join that is broken off marks the thread as ended.
        while not done.wait(_LISTEN):
            pass
    except BaseException:
        options.terminate = True  # the call ends at the next layer, or before the first
        while thread.is_alive() and not done.wait(_LISTEN):
            pass
        raise
    if isinstance(ended[0], Exception):
        raise ended[0]
    return ended[0]


def _check(maps: NDArray[Any], batch_NCHW: NDArray[np.float32], *, name: str) -> NDArray[np.float32]:
    wanted = (batch_NCHW.shape[0], *batch_NCHW.shape[2:])
    if maps.ndim != 4 or (maps.shape[0], *maps.shape[2:]) != wanted:
        raise ModelError(
            f"{name} gave maps of shape {maps.shape} for a batch of shape {batch_NCHW.shape}; "
            "a network must keep height and width"
        )
    return maps.astype(np.float32, copy=False)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:300]
