"""A journey: what happened to packets, on one time line, as plain values that every output is made from."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Self

__all__ = ["Clock", "Journey", "JourneyError", "Layer", "Packet", "State", "Step", "Track"]

VERSION = 1


class JourneyError(ValueError):
    """Something is no journey, or none that can be shown as asked."""


@dataclass(frozen=True, slots=True)
class Clock:
    """A clock: edge ``n`` is at ``phase_fs + n * period_fs``."""

    period_fs: int
    phase_fs: int

    def cycle(self, time_fs: int) -> int:
        """Return the last edge that is not after a time."""
        return (time_fs - self.phase_fs) // self.period_fs


@dataclass(frozen=True, slots=True)
class Track:
    """Where steps happen.

    Parameters
    ----------
    name : str
        For people, unique.
    host : str or None
        Of a wire None.
    kind : str
        ``stack``, ``driver``, ``card`` or ``wire``.
    stage : str
        Of a card: the part of it.
    clock : Clock or None
        Of a card.
    """

    name: str
    host: str | None
    kind: str
    stage: str = ""
    clock: Clock | None = None


@dataclass(slots=True)
class Packet:
    """A packet, under one id from the system call to the last place that it was seen at.

    Parameters
    ----------
    id : int
        From 1.
    parent : int or None
        The packet that it was made from, or because of: a fragment, a reply, a query for an address.
    label : str
        What it is.
    fate : str
        What became of it.
    """

    id: int
    parent: int | None = None
    label: str = "packet"
    fate: str = ""


@dataclass(frozen=True, slots=True)
class Layer:
    """A header, or what lies between headers: octets ``begin`` to ``end``; each field a name, a value, begin, end."""

    name: str
    begin: int
    end: int
    fields: tuple[tuple[str, str, int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class State:
    """Octets of a packet at some point.

    Parameters
    ----------
    octets : bytes
        From the outermost header that there is.
    data : int
        Where ``skb->data`` points in them.
    note : str
        What is not in the octets, such as ``CHECKSUM_PARTIAL``.
    layers : tuple[Layer, ...]
        They cover all octets, in order.
    """

    octets: bytes
    data: int
    note: str
    layers: tuple[Layer, ...]


@dataclass(slots=True)
class Step:
    """Something that happened.

    Parameters
    ----------
    track : int
        Index of its track.
    begin_fs, end_fs : int
        The world's time.
    kind : str
        ``call``, ``wait``, ``drop``, ``register``, ``dma``, ``desc``, ``arp``, ``csum``, ``fifo``, ``completion``,
        ``irq``, ``rx`` or ``frame``.
    name, what : str
        A short name, and more words.
    parent : int or None
        Index of the step that it is inside of.
    packets : tuple[int, ...]
        Ids of the packets that it is about.
    before, after : int or None
        Indices of the first packet's states.
    values : dict
        Further facts.
    """

    track: int
    begin_fs: int
    end_fs: int
    kind: str
    name: str
    what: str = ""
    parent: int | None = None
    packets: tuple[int, ...] = ()
    before: int | None = None
    after: int | None = None
    values: dict[str, int | str] = field(default_factory=dict)


@dataclass(slots=True)
class Journey:
    """What a recorder has seen; see :mod:`.recorder`.

    Parameters
    ----------
    steps : list[Step]
        In order of time, at the same time causes first.
    """

    title: str
    begin_fs: int
    end_fs: int
    tracks: list[Track]
    packets: list[Packet]
    steps: list[Step]
    states: list[State]

    def on(self, *kinds: str, packet: int | None = None) -> Iterator[Step]:
        """Yield the steps of some kinds, of one packet if that is given."""
        for step in self.steps:
            if step.kind in kinds and (packet is None or packet in step.packets):
                yield step

    def cycle(self, step: Step) -> int | None:
        """Return the card's cycle in which a step began; None where there is no clock."""
        clock = self.tracks[step.track].clock
        return None if clock is None else clock.cycle(step.begin_fs)

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "version": VERSION,
            "title": self.title,
            "begin_fs": self.begin_fs,
            "end_fs": self.end_fs,
            "tracks": [asdict(track) for track in self.tracks],
            "packets": [asdict(packet) for packet in self.packets],
            "steps": [asdict(step) for step in self.steps],
            "states": [{**asdict(state), "octets": state.octets.hex()} for state in self.states],
        }

    @classmethod
    def from_json(cls, plain: Any) -> Self:
        """Return the journey of ``to_json``.

        Raises
        ------
        JourneyError
            If it is none, or one of another version.
        """
        if not isinstance(plain, dict) or "steps" not in plain:
            raise JourneyError("this is no journey")
        if plain.get("version") != VERSION:
            raise JourneyError(f"a journey of version {plain.get('version')}; this hardwire reads version {VERSION}")
        try:
            found = cls(
                title=plain["title"],
                begin_fs=plain["begin_fs"],
                end_fs=plain["end_fs"],
                tracks=[
                    Track(**{**track, "clock": None if track["clock"] is None else Clock(**track["clock"])})
                    for track in plain["tracks"]
                ],
                packets=[Packet(**packet) for packet in plain["packets"]],
                steps=[Step(**{**step, "packets": tuple(step["packets"])}) for step in plain["steps"]],
                states=[_state(state) for state in plain["states"]],
            )
            for place, step in enumerate(found.steps):
                found._check(place, step)
        except (KeyError, TypeError, ValueError) as error:
            raise JourneyError(f"this is no journey: {error!r}") from error
        return found

    def _check(self, place: int, step: Step) -> None:
        """Refuse a step that points to what is not there."""
        states = [state for state in (step.before, step.after) if state is not None]
        if not (
            0 <= step.track < len(self.tracks)
            and (step.parent is None or 0 <= step.parent < place)
            and all(0 < packet <= len(self.packets) for packet in step.packets)
            and all(0 <= state < len(self.states) for state in states)
            and self.begin_fs <= step.begin_fs <= step.end_fs <= self.end_fs
        ):
            raise ValueError(f"step {place} points to what is not there")


def _state(plain: dict[str, Any]) -> State:
    layers = tuple(
        Layer(layer["name"], layer["begin"], layer["end"], tuple(tuple(one) for one in layer["fields"]))
        for layer in plain["layers"]
    )
    return State(bytes.fromhex(plain["octets"]), plain["data"], plain["note"], layers)
