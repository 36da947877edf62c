"""Values of options that several commands have."""

from pathlib import Path

from .report import MISUSED, CommandError

__all__ = ["bounded", "regular", "writable"]


def bounded(option: str, value: int, least: int, most: int) -> int:
    """Return a number that is in its bounds.

    Raises
    ------
    CommandError
        If it is not.
    """
    if not least <= value <= most:
        raise CommandError(f"{option} must be in {least:,}..{most:,}, not {value:,}", MISUSED)
    return value


def writable(option: str, path: Path | None) -> Path | None:
    """Return a file that can be written.

    Raises
    ------
    CommandError
        If it cannot.
    """
    if path is None:
        return None
    if not path.absolute().parent.is_dir():
        raise CommandError(f"{option}: there is no folder {path.parent}", MISUSED)
    if path.exists() and not path.is_file() and not path.is_dir():
        return path  # Not tried: who reads a pipe would see it end.
    try:
        path.open("ab").close()
    except OSError as error:
        raise CommandError(f"{option}: cannot write {path}: {error.strerror}", MISUSED) from error
    return path


def regular(option: str, path: Path | None) -> Path | None:
    """Return a file that is a regular one.

    Raises
    ------
    CommandError
        If it is not.
    """
    if path is not None and not path.is_file():
        raise CommandError(f"{option}: {path} is not a regular file", MISUSED)
    return path
