"""A journey as a capture: the frames of every card, each with a comment that has its packet's id."""

from pathlib import Path

from ..capture import INBOUND, OUTBOUND, Capture, epb_errors
from ..world import FS_PER_NS
from .model import Journey

__all__ = ["write_pcapng"]

_FCS_OCTETS = 4


def write_pcapng(journey: Journey, path: Path | str) -> None:
    """Write all frames at their cards, in order of time; an interface is a card.

    The time of a frame, in ns, is that of the first octet of its preamble. The comment is ``#ID LABEL; cycle N``.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    frames = [step for step in journey.on("frame") if journey.tracks[step.track].kind == "card"]
    names = {step.track: journey.tracks[step.track].name.rpartition(" MAC ")[0] for step in frames}
    with Capture(path, dict.fromkeys(names.values()) or ["none"]) as capture:
        for step in frames:
            assert step.after is not None
            octets = journey.states[step.after].octets[:-_FCS_OCTETS]
            if not octets:
                continue  # The format has no room for it.
            direction = OUTBOUND if journey.tracks[step.track].stage == "MAC TX" else INBOUND
            labels = "; ".join(f"#{packet} {journey.packets[packet - 1].label}" for packet in step.packets)
            capture.write(
                step.begin_fs // FS_PER_NS,
                octets,
                names[step.track],
                direction | epb_errors(int(step.values["flags"])),
                comment=f"{labels or 'no packet'}; cycle {journey.cycle(step)}",
            )
