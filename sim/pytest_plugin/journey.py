"""The journeys of a test's packets, as files."""

from contextlib import ExitStack, suppress
from pathlib import Path

from ..journey import JourneyError, Recorder
from ..journey.files import write_journey
from ..journey.waves import mark_waves
from ..nic import SimNic
from ..world import World

__all__ = ["JourneyFiles"]


class JourneyFiles:
    """Records the journeys in a world, from now on.

    Parameters
    ----------
    world : World
        Whose packets they are.
    title : str
        For people.
    """

    def __init__(self, world: World, title: str) -> None:
        self._recorder = Recorder(world, title)
        self._recording = ExitStack()
        self._recording.enter_context(self._recorder)

    def add(self, nic: SimNic) -> None:
        """Record a card, too, that has just been made."""
        self._recorder.add(nic)

    def end(self, folder: Path, waves: dict[str, Path]) -> list[Path]:
        """Write a page, and the same for ``hardwire journey``; mark the waves of cards; return the new files."""
        self._recording.close()
        try:
            journey = self._recorder.journey()
        except JourneyError as error:
            path = folder / "journey.txt"
            path.write_text(f"{error}\n")
            return [path]
        files = [folder / "journey.html", folder / "journey.json"]
        for path in files:
            write_journey(journey, path)
        for card, path in waves.items():
            # A card that did nothing has no marks, nor has any without the package for that.
            with suppress(JourneyError):
                mark_waves(journey, path, card)
        return files
