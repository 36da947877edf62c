"""One run of a test in a world of its own, and what is to be said of it if it fails."""

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ..lan import Lan
from ..link import Link
from ..machine import Machine
from ..world import DeadlockError, World
from .records import Recorder, Records

__all__ = ["Run"]

_FINISH_NS = 100_000
_TRAFFIC = re.compile(r".*_(frames|octets|broadcast|multicast|\d\w*|delivered|doorbells|copied)")


@dataclass
class Run:
    """One run of a test.

    Parameters
    ----------
    title : str
        Which test it is.
    seed : int
        Seed of the world.
    folder : Path
        Where records go.
    records : Records
        What to record.
    second : bool
        It repeats one that has failed.

    Members
    -------
    failed : bool
        Whether a part of the test has raised something.
    refused : bool
        Whether a fixture could not make what the test asks for.
    time_ns, cycles : int or None
        Simulated time at the end of the test, and clock cycles that its cards were evaluated for; None before.
    facts : list[str]
        What became of packets, if it has failed.
    files : list[Path]
        The records.
    """

    title: str
    seed: int
    folder: Path
    records: Records
    second: bool = False
    failed: bool = False
    refused: bool = False
    time_ns: int | None = None
    cycles: int = 0
    facts: list[str] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    _machines: list[Machine] = field(default_factory=list)
    _links: list[Link] = field(default_factory=list)
    _recorder: Recorder | None = None

    def world(self) -> Iterator[World]:
        """Make the world, and end it, as a fixture does."""
        world = World(seed=self.seed)
        recorder = self._recorder = Recorder(world, self.records, self.title, self.folder)
        try:
            yield world
            self.time_ns = world.now_ns
            self.cycles = sum(getattr(nic, "cycles_evaluated", 0) for nic in world.nics)  # Simulated ones have it.
            if not self.failed:
                _finish(world)
        finally:
            self.files = recorder.close()
        if self.failed:
            self._look()
        # pytest keeps tests to the end, and with them this, but nobody has room for all their worlds.
        self._recorder = None
        self._machines.clear()
        self._links.clear()

    def begin(self, made: object = None) -> None:
        """Note what was made for the test, and begin to record."""
        if isinstance(made, Lan):
            self._machines += made
            self._links += made.links
        elif isinstance(made, Machine):
            self._machines.append(made)
        if self._recorder is not None:
            self._recorder.begin()

    def _look(self) -> None:
        """Note what became of packets."""
        for machine in self._machines:
            name = machine.host.name
            self._note(f"{name}, stack: dropped", machine.kernel.drop_counts())
            try:
                counters = machine.counters()
            except (OSError, RuntimeError):
                continue  # The card hangs, which is why the test failed.
            self._note(f"{name}, {machine.dev.name}:", {n: c for n, c in counters.items() if not _TRAFFIC.fullmatch(n)})
        for number, link in enumerate(self._links):
            for way, traffic in zip(("a to b", "b to a"), link.counters, strict=True):
                self._note(f"link{number}, {way}:", asdict(traffic))

    def _note(self, what: str, counts: dict[str, int]) -> None:
        if any(counts.values()):
            self.facts.append(f"{what} {', '.join(f'{count:,} {name}' for name, count in counts.items() if count)}")


def _finish(world: World) -> None:
    """Let cards end what they have begun: what they must not do counts after the last line of a test, too."""
    try:
        world.drain(_FINISH_NS)
    except (DeadlockError, TimeoutError):
        pass  # A test may end in the middle of something.
