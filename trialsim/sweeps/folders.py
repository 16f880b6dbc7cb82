"""Folders that may not be writable, or in which somebody else is at work."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from trialsim.errors import ResultsError
from trialsim.sweeps.whole_files import write_whole

LOCK, MANIFEST = ".lock", "manifest.json"


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Nobody else writes to the folder meanwhile; it is made if need be. ResultsError if somebody does."""
    lock = FileLock(folder / LOCK, timeout=0)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
        except Timeout:  # an OSError too
            raise ResultsError(
                f"{folder}: another process is running this sweep. Wait for it, watch it with "
                "`trialsim status`, or stop it."
            ) from None
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[None]:
    """What cannot be written becomes one message. Raises ResultsError for OSError."""
    try:
        yield
    except OSError as error:
        raise ResultsError(unwritable(folder, error)) from error


def unwritable(folder: Path, error: OSError) -> str:
    """One message for a disk that is full or a place that may not be written to."""
    cause = (error.strerror or str(error)).lower()
    return (
        f"{folder}: cannot be written to ({cause}). What was finished is kept; "
        f"make room or choose another place, then: trialsim resume {folder}"
    )


def somebody_in(folder: Path) -> bool:
    """Whether a process is at work in the folder."""
    try:
        with FileLock(folder / LOCK, timeout=0):
            return False
    except Timeout:
        return True
    except OSError:  # a folder that may only be read
        return False


def refuse_inside_results(folder: Path) -> None:
    """ResultsError for a place among the data files of other results."""
    for above in folder.absolute().parents:
        if above.name == "data" and (above.parent / MANIFEST).is_file():
            raise ResultsError(f"{folder}: lies among the data of {above.parent}. Choose another --out.")


def write_new(path: Path, text: str) -> None:
    """A text file that was not there before. ResultsError if it was, or cannot be written."""
    if path.exists():
        raise ResultsError(f"{path}: exists already and is left as it is. Choose another name.")
    with writing(path):
        write_whole(path, text.encode())
