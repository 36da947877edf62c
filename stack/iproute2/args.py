"""The words of a command, and what is said when they make no sense (iproute2: lib/utils.c)."""

import shlex
from collections.abc import Callable, Mapping
from errno import EINVAL
from itertools import takewhile
from typing import Any, NoReturn

from ..wire.address import ipv4_from_text, mac_from_text
from ..wire.error import WireError

__all__ = [
    "Args",
    "CommandError",
    "addr",
    "dispatch",
    "invarg",
    "lladdr",
    "matches",
    "prefix",
    "split_options",
    "take_object",
]


class CommandError(OSError):
    """A command that failed: what it would print, and the status that it would end with.

    Members
    -------
    errno : int
        The kernel's; ``EINVAL`` for words that make no sense.
    strerror : str
        As the command prints it.
    status : int
        1: words that make no sense; 2: the kernel said no; 255: of its usage.
    """

    def __init__(self, text: str, *, errno: int = EINVAL, status: int = 1) -> None:
        super().__init__(errno, text)
        self.status = status

    def __str__(self) -> str:
        return str(self.strerror)


def invarg(what: str, word: str) -> NoReturn:
    """Say that a word is wrong."""
    raise CommandError(f'Error: argument "{word}" is wrong: {what}'.rstrip(), status=255)


def matches(word: str, name: str) -> bool:
    """Return whether a word is a name, or an abbreviation of it."""
    return word != "" and name.startswith(word)


class Args:
    """The words that are left of a command."""

    def __init__(self, words: list[str]) -> None:
        self._words = words
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._words)

    @property
    def word(self) -> str:
        """The present word."""
        return self._words[self._at]

    def take(self) -> str:
        """Return the present word, and go on."""
        self._at += 1
        return self._words[self._at - 1]

    def next(self) -> str:
        """Return what belongs to the word taken last, and go on.

        Raises
        ------
        CommandError
            If there is nothing.
        """
        if not self:
            raise CommandError('Command line is not complete. Try option "help"', status=255)
        return self.take()

    def taken(self, *names: str) -> bool:
        """Return whether the present word is one of the names; if so, go on."""
        if self and self.word in names:
            self._at += 1
            return True
        return False

    def rest(self) -> list[str]:
        """Return the words that are left, and take them."""
        words = self._words[self._at :]
        self._at = len(self._words)
        return words


def dispatch(run: Any, args: Args, commands: "Mapping[str, Callable[[Any, Args], None]]", what: str) -> None:
    """Do the command that the present word names, or abbreviates; without a word, the first one.

    Raises
    ------
    CommandError
        If there is none; what the command raises.
    """
    if not args:
        next(iter(commands.values()))(run, args)
        return
    word = args.take()
    for name, do in commands.items():
        if matches(word, name):
            do(run, args)
            return
    raise CommandError(f'Command "{word}" is unknown, try "{what} help".', status=255)


def split_options(command: str) -> tuple[list[str], Args]:
    """Return the options in front of a command's words, and the words."""
    words = shlex.split(command)
    options = list(takewhile(lambda word: word.startswith("-"), words))
    return options, Args(words[len(options) :])


def addr(word: str) -> int:
    """Return an IPv4 address; ``any``, ``all`` and ``default`` are 0.

    Raises
    ------
    CommandError
        If it is none.
    """
    if word in ("any", "all", "default"):
        return 0
    try:
        return ipv4_from_text(word)
    except WireError:
        raise CommandError(f'Error: any valid address is expected rather than "{word}".') from None


def prefix(word: str, family: str = "any valid") -> tuple[int, int]:
    """Return address and prefix length of ``10.0.0.0/8``, ``10.0.0.1`` (32), or ``default`` (0).

    ``family`` is what is said to be expected if it is none of these.

    Raises
    ------
    CommandError
        If it is none.
    """
    if word in ("any", "all", "default"):
        return 0, 0
    text, slash, length = word.partition("/")
    try:
        address = ipv4_from_text(_padded(text) if slash else text)
        bits = _bits(length) if slash else 32
    except WireError:
        raise CommandError(f'Error: {family} prefix is expected rather than "{word}".') from None
    return address, bits


def _padded(text: str) -> str:
    """Return an address that may lack octets at its end: ``10/8`` is ``10.0.0.0/8``."""
    return text + ".0" * (3 - text.count("."))


def _bits(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text) <= 32:
        return int(text)
    mask = ipv4_from_text(text)
    bits = mask.bit_count()
    if mask != (0xFFFF_FFFF << 32 - bits) & 0xFFFF_FFFF:
        raise WireError("netmask", text)
    return bits


def lladdr(word: str) -> bytes:
    """Return a MAC address.

    Raises
    ------
    CommandError
        If it is none.
    """
    try:
        return mac_from_text(word)
    except WireError:
        raise CommandError(f'"{word}" is invalid lladdr.') from None


def take_object(
    name: str, args: Args, objects: "Mapping[str, Callable[[Any, Args], None]]", *, status: int
) -> "Callable[[Any, Args], None]":
    """Return what does a command about the object that the present word names, or abbreviates.

    Raises
    ------
    CommandError
        If there is no word, or no such object; the latter with ``status``.
    """
    if not args:
        raise CommandError(f"{name} takes an object: {', '.join(objects)}", status=255)
    word = args.take()
    for known, do in objects.items():
        if matches(word, known):
            return do
    raise CommandError(f'Object "{word}" is unknown, try "{name} help".', status=status)
