"""A program for a simulated host, of our own, and what those share that read a command line."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn

from .machine import Machine
from .send import parse_number

__all__ = ["Program", "ProgramError", "checked", "nothing", "number_in", "program_parser"]


class ProgramError(ValueError):
    """A program's words make no sense."""


def nothing() -> None:
    """Do nothing."""


@dataclass
class Program:
    """A program on one host.

    Members
    -------
    text : str
        As it was asked for.
    serves : bool
        It answers others for as long as they run, and does not end by itself.
    lines : list[str]
        What it has said.
    result : dict
        What came of it.
    lead : Callable or None
        For one that serves: what it does before, which does end.
    ended : Callable
        What is left to do for one that serves, when the others have ended.
    """

    text: str
    run: Callable[["Program", Machine], None]
    serves: bool = False
    lines: list[str] = field(default_factory=list)
    result: dict[str, Any] = field(default_factory=dict)
    lead: "Callable[[Program, Machine], None] | None" = None
    ended: Callable[[], None] = nothing

    def count(self, what: str, number: int = 1) -> None:
        """Add to a number of the result."""
        self.result[what] = self.result.get(what, 0) + number


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ProgramError(f"{self.prog}: {message}; {self.format_usage().strip()}")


def program_parser(name: str) -> argparse.ArgumentParser:
    """Return a parser of a program's words, which raises ``ProgramError``."""
    return _Parser(prog=name, add_help=False, allow_abbrev=False)


def checked(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """Let argparse say what is wrong in the words of ``parse``."""

    def checked_parse(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return checked_parse


def number_in(least: int, most: int) -> Callable[[str], int]:
    """Return what takes a number within bounds."""
    return checked(lambda text: parse_number(text, least, most, "a number"))
