"""A journey as a tree for the terminal."""

from collections import defaultdict
from collections.abc import Iterator

from rich.text import Text

from .model import Journey, JourneyError, Step, Track

__all__ = ["tree"]

_STYLES = {"call": "cyan", "frame": "green", "wait": "magenta", "drop": "bold red"}


def tree(journey: Journey, packet: int | None = None) -> Text:
    """Return a journey, or of it what is about one packet, as a tree: two columns a level, for the stack is deep.

    Each line has the time since the journey began, and at its end the ids of the packets that it is about. With several
    hosts, lines at the outermost level name theirs, or the card of a host that has several.

    Raises
    ------
    JourneyError
        If there is no such packet.
    """
    if packet is not None and not 1 <= packet <= len(journey.packets):
        raise JourneyError(f"there is no packet #{packet}: ids go up to {len(journey.packets)}")
    inside: dict[int | None, list[int]] = defaultdict(list)
    shown = _about(journey, packet)
    for place, step in enumerate(journey.steps):
        if place in shown:
            inside[step.parent].append(place)
    names = _names(journey)

    def lines(places: list[int], guides: str) -> Iterator[Text]:
        for place in places:
            step = journey.steps[place]
            last = place is places[-1]
            where = names[step.track] if step.parent is None else ""
            yield _line(journey, step, guides + ("└ " if last else "├ "), where)
            yield from lines(inside[place], guides + ("  " if last else "│ "))

    return Text("\n").join([Text(journey.title, style="bold"), *lines(inside[None], "")])


def _names(journey: Journey) -> list[str]:
    """Return by track what its lines begin with."""
    hosts: dict[str, set[str]] = defaultdict(set)
    for track in journey.tracks:
        if track.host is not None:
            hosts[track.host] |= {_card(track)} if track.stage else set()

    def name(track: Track) -> str:
        if track.host is None:
            return ""
        if track.stage and len(hosts[track.host]) > 1:
            return f"{_card(track)}: "
        return f"{track.host}: " if len(hosts) > 1 else ""

    return [name(track) for track in journey.tracks]


def _card(track: Track) -> str:
    return track.name.removesuffix(f" {track.stage}")


def _about(journey: Journey, packet: int | None) -> set[int]:
    """Return the places of the steps about a packet, and of those around them; None: all."""
    if packet is None:
        return set(range(len(journey.steps)))
    found: set[int] = set()
    for place, step in enumerate(journey.steps):
        around: int | None = place if packet in step.packets else None
        while around is not None and around not in found:
            found.add(around)
            around = journey.steps[around].parent
    return found


def _line(journey: Journey, step: Step, guides: str, where: str) -> Text:
    what, rest = (step.name, f"  {step.what}") if step.kind == "call" else (step.what, "")
    if step.end_fs != step.begin_fs and step.kind != "call":
        rest += f"  {(step.end_fs - step.begin_fs) / 1e9:.3f} µs"
    packets = "".join(f" #{packet}" for packet in step.packets)
    return Text.assemble(
        (f"{(step.begin_fs - journey.begin_fs) / 1e9:>9.3f} µs  {guides}", "dim"),
        (where, "dim"),
        (what, _STYLES.get(step.kind, "yellow")),
        (rest, "dim"),
        (packets, "bold blue"),
    )
