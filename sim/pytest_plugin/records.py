"""What is kept of one run of a test: captures and waves of its cards, and the journey of its packets."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from ..capture import Capture
from ..nic import SimNic
from ..world import FS_PER_NS, World
from .journey import JourneyFiles

__all__ = ["Recorder", "Records", "make_folder"]


@dataclass(frozen=True, kw_only=True)
class Records:
    """What is wanted.

    Parameters
    ----------
    pcap, waves, journey : bool
        Which records.
    begin_ns : int
        Simulated time from which on waves and journey are recorded.
    longest_ns : int or None
        How much of it waves show.
    """

    pcap: bool = False
    waves: bool = False
    journey: bool = False
    begin_ns: int = 0
    longest_ns: int | None = None


class Recorder:
    """Records of a world, from its making to :meth:`close`.

    Parameters
    ----------
    world : World
        A new one.
    wanted : Records
        What to record.
    title : str
        Whose world it is, for people.
    folder : Path
        Where files go; it is made if there will be one.
    """

    def __init__(self, world: World, wanted: Records, title: str, folder: Path) -> None:
        self._world = world
        self._title = title
        self._wanted = wanted
        self._folder = folder
        self._files: list[Path] = []
        self._open = ExitStack()
        self._journey: JourneyFiles | None = None
        self._waves: dict[str, Path] = {}
        self._names: dict[SimNic, str] = {}
        self._begun = False
        world.waves = wanted.waves
        if wanted.pcap or wanted.waves or wanted.journey:
            world.on_nic = self._add
            make_folder(folder)

    def begin(self) -> None:
        """Record waves and journey, as soon as it is time: the making of hosts, before, is always the same."""
        if self._begun:
            return
        self._begun = True
        for nic, name in self._names.items():
            self._show(nic, name)
        if self._wanted.journey:
            begin_fs = self._wanted.begin_ns * FS_PER_NS
            if begin_fs > self._world.now_fs:
                self._world.timer(begin_fs, self._begin_journey)
            else:
                self._begin_journey()

    def close(self) -> list[Path]:
        """End the records; return the files."""
        self._open.close()
        if self._journey is not None:
            self._files += self._journey.end(self._folder, self._waves)
        return sorted(path for path in self._files if path.stat().st_size)

    def _add(self, nic: SimNic) -> None:
        """Record a card that has just been made."""
        number = sum(other.host is nic.host for other in self._names)
        name = self._names[nic] = f"{nic.host.name} eth{number}"
        if self._wanted.pcap:
            self._open.enter_context(Capture(self._path(name, ".pcapng"), [name])).watch(nic)
        if self._begun:
            self._show(nic, name)
        if self._journey is not None:
            self._journey.add(nic)

    def _show(self, nic: SimNic, name: str) -> None:
        if self._wanted.waves:
            begin_ns = max(self._wanted.begin_ns, self._world.now_ns)
            longest_ns = self._wanted.longest_ns
            end_ns = None if longest_ns is None else begin_ns + longest_ns
            path = self._waves[name] = self._path(name, ".fst")
            nic.waves(str(path), from_ns=begin_ns, to_ns=end_ns)
            self._open.callback(nic.waves, None)

    def _begin_journey(self) -> None:
        self._journey = JourneyFiles(self._world, self._title)

    def _path(self, card: str, suffix: str) -> Path:
        path = self._folder / f"{card.replace(' ', '-')}{suffix}"
        self._files.append(path)
        return path


def make_folder(folder: Path) -> None:
    """Make the folder of a test's records, and the one around it.

    Raises
    ------
    OSError
        If that cannot be.
    """
    parent = folder.parent
    if not parent.exists():
        parent.mkdir(parents=True, exist_ok=True)
        (parent / ".gitignore").write_text("*\n")  # As in the cache of pytest.
    folder.mkdir(exist_ok=True)
