"""A journey as a Perfetto trace, for ui.perfetto.dev: a process for each host, a track for each of its stages.

Ref: https://perfetto.dev/docs/reference/synthetic-track-event
"""

from collections import defaultdict
from pathlib import Path
from typing import Any

from ..world import FS_PER_NS
from .model import Journey, JourneyError, Step

__all__ = ["write_perfetto"]

_SEQUENCE = 1


def write_perfetto(journey: Journey, path: Path | str) -> None:
    """Write a journey as a Perfetto trace; flows lead each packet through its slices.

    Times are in whole ns; a slice has the exact ones, in fs, and the card's cycle among its arguments.

    Raises
    ------
    JourneyError
        If the package ``perfetto`` is missing.
    OSError
        If the file cannot be written.
    """
    try:
        from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import TrackEvent
        from perfetto.trace_builder.proto_builder import StreamingTraceProtoBuilder
    except ImportError as error:
        raise JourneyError("a Perfetto trace needs a package: pip install 'hardwire[journey]'") from error
    with Path(path).open("wb") as file:
        _Writer(StreamingTraceProtoBuilder(file), TrackEvent).write(journey)


class _Writer:
    def __init__(self, builder: Any, event_type: Any) -> None:
        self._builder = builder
        self._event_type = event_type
        self._uuid = 0
        self._lanes: dict[int, list[tuple[int, int]]] = defaultdict(list)  # By track: uuid, until when it is taken.

    def write(self, journey: Journey) -> None:
        self._journey = journey
        self._hosts: dict[str, int] = {}
        for track in journey.tracks:
            if (name := track.host or "wire") not in self._hosts:
                self._hosts[name] = self._describe(name, process=len(self._hosts) + 1)
        inside: dict[int | None, list[int]] = defaultdict(list)
        for place, step in enumerate(journey.steps):
            inside[step.parent].append(place)
        self._inside = inside
        for place in inside[None]:
            self._write_step(place, None, 0)

    def _write_step(self, place: int, outer: Step | None, outer_lane: int) -> None:
        """Write a slice, and those inside it; of those at the same time the order is that in which they are written."""
        step = self._journey.steps[place]
        lane = outer_lane if outer is not None and outer.track == step.track else self._lane(step)
        event = self._event(lane, step.begin_fs, self._event_type.TYPE_SLICE_BEGIN)
        event.name = step.name
        if outer is None or outer.packets != step.packets:
            event.flow_ids.extend(step.packets)
        facts: dict[str, int | str] = {
            "what": step.what,
            "packets": " ".join(f"#{packet}" for packet in step.packets),
            "begin_fs": step.begin_fs,
            "end_fs": step.end_fs,
            **step.values,
        }
        cycle = self._journey.cycle(step)
        if cycle is not None:
            facts["cycle"] = cycle
        for name, value in facts.items():
            annotation = event.debug_annotations.add()
            annotation.name = name
            if isinstance(value, int):
                annotation.int_value = value
            else:
                annotation.string_value = value
        self._flush()
        for inner in self._inside[place]:
            self._write_step(inner, step, lane)
        self._event(lane, step.end_fs, self._event_type.TYPE_SLICE_END)
        self._flush()

    def _lane(self, step: Step) -> int:
        """Return a track where the step overlaps no other: tasks that sleep, and bursts, are not inside each other."""
        lanes = self._lanes[step.track]
        for number, (uuid, taken_fs) in enumerate(lanes):
            if taken_fs <= step.begin_fs:
                lanes[number] = (uuid, step.end_fs)
                return uuid
        track = self._journey.tracks[step.track]
        uuid = self._describe(track.name, parent=self._hosts[track.host or "wire"])
        lanes.append((uuid, step.end_fs))
        return uuid

    def _describe(self, name: str, *, parent: int = 0, process: int = 0) -> int:
        self._uuid += 1
        self._packet = self._builder.create_packet()
        descriptor = self._packet.track_descriptor
        descriptor.uuid = self._uuid
        if process:
            descriptor.process.pid = process
            descriptor.process.process_name = name
        else:
            descriptor.parent_uuid = parent
            descriptor.name = name
        self._flush()
        return self._uuid

    def _event(self, uuid: int, time_fs: int, kind: int) -> Any:
        self._packet = self._builder.create_packet()
        self._packet.timestamp = time_fs // FS_PER_NS
        event = self._packet.track_event
        event.type = kind
        event.track_uuid = uuid
        return event

    def _flush(self) -> None:
        self._packet.trusted_packet_sequence_id = _SEQUENCE
        self._builder.write_packet(self._packet)
