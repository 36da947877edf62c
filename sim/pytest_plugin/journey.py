"""The journey of a test's packets, as a file: what the stacks of all hosts called, and what their cards did."""

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from ..journey import device_events, timeline, tree
from ..nic import SimNic
from ..trace import Tracer
from ..world import World

__all__ = ["Journey"]


class Journey:
    """Records calls and events of a world, from now on.

    Parameters
    ----------
    world : World
        Where they happen.
    """

    def __init__(self, world: World) -> None:
        self._cards: list[tuple[SimNic, str]] = []
        self._tracer = Tracer(lambda: world.now_fs)
        self._tracing = ExitStack()
        self._tracing.enter_context(self._tracer)

    def add(self, nic: SimNic, name: str) -> None:
        """Record a card, too, from now on."""
        nic.log_events()
        self._cards.append((nic, name))

    def end(self, folder: Path) -> list[Path]:
        """Write what was recorded; return the files."""
        self._tracing.close()
        events = [
            replace(event, what=f"{name}: {event.what}") for nic, name in self._cards for event in device_events(nic)
        ]
        path = folder / "journey.txt"
        path.write_text(tree("journey", timeline(self._tracer, events)).plain + "\n")
        return [path]
