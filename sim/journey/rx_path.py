"""Which packet each event on a card's way in is about."""

from bisect import bisect_left, bisect_right
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence

from ...stack.abi import RxStatus
from ..frame import FCS_OK, PREAMBLE_OK, TX_ER, Frame
from .calls import Polled, Rings
from .frame_seen import FrameSeen
from .model import Step
from .packet_state import States

__all__ = ["RxPath"]

_ADDRESSES_END, _TAG_END = 12, 16
_BAD_DESCRIPTORS = {RxStatus.DESC_ERROR, RxStatus.BAD_DESCRIPTOR}


class RxPath:
    """Packets on their way from the wire to the driver.

    A packet that the driver has polled tells which frame it was: by its octets, as the frames keep their order.

    Parameters
    ----------
    polled : Sequence[Polled]
        What the driver has taken out of the ring, in order.
    states : States
        Where octets are kept.
    drop : callable
        Adds a step that says that a frame is dropped: given when, and the reason; returns the step.
    """

    def __init__(self, polled: Sequence[Polled], states: States, drop: Callable[[int, str], Step]) -> None:
        self._polled = polled
        self._states = states
        self._drop = drop
        self._at = 0
        self._verdicts: list[Step] = []
        self._completions: list[Step | int] = []  # Between them times at which the queue was started.
        self._next: int | None = None  # The descriptor after those that are completed.
        self._buffers: dict[int, list[Polled]] = defaultdict(list)
        for one in polled:
            for _, bus in one.parts:
                self._buffers[bus].append(one)
        self._starts = sorted(self._buffers)

    def rings(self, now_fs: int) -> Rings | None:
        """Return where the queue's rings are, if that is known: as the next packet was taken out of them."""
        last = len(self._polled) - 1
        while self._at < last and self._polled[self._at].time_fs < now_fs:
            self._at += 1
        return self._polled[self._at].rings if self._polled else None

    def writing(self, address: int, now_fs: int) -> tuple[int, ...]:
        """Return whose octets are written."""
        at = bisect_right(self._starts, address) - 1
        if at < 0:
            return ()
        packets = self._buffers[self._starts[at]]
        later = bisect_left(packets, now_fs, key=lambda one: one.time_fs)
        if later == len(packets) or address >= self._starts[at] + packets[later].room_octets:
            return ()
        return (packets[later].packet,)

    def judged(self, step: Step) -> None:
        """Hear that the card has accepted or dropped the last good frame."""
        self._verdicts.append(step)

    def restarted(self, now_fs: int) -> None:
        """Hear that the queue starts anew: what was in the ring is gone."""
        self._completions.append(now_fs)
        self._next = 0

    def completed(self, step: Step, index: int) -> None:
        """Hear what became of a packet."""
        # A descriptor that is no good is completed by itself, but one in the middle of a frame ends that.
        alone = self._next in (None, index) or index == 0
        if not (alone and step.values["status"] in _BAD_DESCRIPTORS):
            self._completions.append(step)
        self._next = index + 1

    def join(self, received: Sequence[FrameSeen]) -> None:
        """Let frames, which are all that came in, find what the card says of them, and the packets that they became."""
        good = [seen for seen in received if seen.frame.ok]
        ends = [seen.step.end_fs for seen in good]
        for step in self._verdicts:
            at = bisect_right(ends, step.begin_fs) - 1
            if at >= 0:
                good[at].found.append(step)
        for seen in received:
            if not seen.frame.ok:
                seen.found.append(self._drop(seen.step.end_fs, _fault(seen.frame)))
        inside = deque(seen for seen in good if seen.found and seen.found[0].kind == "rx")
        failed: deque[Step] = deque()  # Completions of which it is not known yet for which frame they are.
        for step, packet in self._packets():
            if packet is None:
                failed.append(step)
                continue
            step.packets = (packet.packet,)
            count = self._place(packet, inside, step.begin_fs)
            if count is not None:  # Else it came before the recording began.
                for _ in range(count):
                    self._fail(inside.popleft(), failed)
                seen = inside.popleft()
                seen.step.packets = seen.found[0].packets = step.packets
                seen.found[0].before = seen.step.after
                seen.found[0].after = self._states.of_frame(seen.frame.octets, fcs=False)
            failed.clear()
        while inside and failed:
            self._fail(inside.popleft(), failed)

    def _place(self, packet: Polled, inside: deque[FrameSeen], until_fs: int) -> int | None:
        """Return which of the frames that were inside by some time became a packet."""
        for place, seen in enumerate(inside):
            if seen.found[0].begin_fs > until_fs:
                break
            if self._is_in(packet, seen.frame):
                return place
        return None

    def _packets(self) -> Iterator[tuple[Step, Polled | None]]:
        """Yield each completion, with the packet that the driver has made of it."""
        polled = deque(self._polled)
        begun = False
        for step in self._completions:
            if isinstance(step, int):
                while polled and polled[0].time_fs < step:
                    polled.popleft()
                continue
            packet = None
            if step.values["status"] == RxStatus.OK:
                index = step.values["index"]
                if not begun:  # The first ones were completed before the recording began.
                    known = [one.parts[-1][0] for one in polled]
                    for _ in range(known.index(index) if index in known else 0):
                        polled.popleft()
                    begun = True
                if polled and polled[0].parts[-1][0] == index:
                    packet = polled.popleft()
            yield step, packet

    def _fail(self, seen: FrameSeen, failed: deque[Step]) -> None:
        """Note what became of a frame that is no packet: what the next completion says, or that there was no buffer."""
        if not failed:
            seen.found.append(self._drop(seen.found[0].begin_fs, "HW_NO_BUFFER"))
            return
        step = failed.popleft()
        seen.found.append(step)
        if step.values["status"] != RxStatus.OK:
            seen.found.append(self._drop(step.begin_fs, f"HW_{step.name}"))

    def _is_in(self, packet: Polled, frame: Frame) -> bool:
        """Return whether a frame has the octets of a packet, be it without its tag."""
        octets, given = frame.octets, self._states.octets(packet.state)
        return given in (octets, octets[:_ADDRESSES_END] + octets[_TAG_END:])


def _fault(frame: Frame) -> str:
    if frame.flags & TX_ER:
        return "RX_ERROR"
    if not frame.flags & PREAMBLE_OK:
        return "PREAMBLE_ERROR"
    return "CRC_ERROR" if not frame.flags & FCS_OK else "RUNT"
