"""What an RX ring has to do with frames and descriptors, in Python: the reference of its bench."""

from collections import deque
from dataclasses import dataclass, field

from hardwire.stack.abi import RX_ALIGN_OCTETS, RX_PAD_OCTETS, RxStatus

__all__ = ["Buffer", "Frame", "RxRingModel"]


@dataclass
class Frame:
    """A frame that the ring took: its octets, and what the datapath said of it."""

    octets: bytes
    csum: int
    vlan_tci: int
    flags: int


@dataclass
class Buffer:
    """A posted descriptor, and what was written to its buffer: octet by place, and the numbers of the bursts."""

    addr: int
    length: int
    cookie: int
    unreadable: bool = False
    refuses: bool = False  # The bus answers writes with an error.
    octets: dict[int, int] = field(default_factory=dict)
    bursts: list[int] = field(default_factory=list)

    @property
    def bad(self) -> bool:
        """Nothing can be received into it."""
        misfit = self.addr % RX_ALIGN_OCTETS or self.length % RX_ALIGN_OCTETS or not self.length
        return bool(misfit) or self.unreadable

    @property
    def fault(self) -> RxStatus:
        """Why it is bad."""
        return RxStatus.DESC_ERROR if self.unreadable else RxStatus.BAD_DESCRIPTOR


class RxRingModel:
    """The rules of ``stack.abi.desc`` for one completion after another.

    Members
    -------
    frames : deque[Frame]
        Frames that the ring took and did not complete.
    counts : dict[str, int]
        How often each of the ring's strobes has to have come for what was completed.
    flags : list[int]
        Flags of the frames that were completed as OK.
    no_buffer_used : list[int]
        For each frame that ran out of buffers: descriptors used up by then, since the ring started.
    """

    def __init__(self) -> None:
        self.frames: deque[Frame] = deque()
        self.counts = dict.fromkeys(("delivered", "no_buffer", "disabled", "bus_error", "refused"), 0)
        self.flags: list[int] = []
        self.no_buffer_used: list[int] = []

    def complete(self, completion: dict[str, int], buffers: list[Buffer], used: int) -> None:
        """Check a completion that covers these buffers, the last one being number ``used - 1`` of the ring."""
        status = RxStatus(completion["status"])
        assert all(completion[name] == 0 for name in ("timestamp", "hash", "hash_type", "reserved"))
        last = buffers[-1]
        assert completion["cookie"] == (0 if last.unreadable else last.cookie)
        if status != RxStatus.OK:
            assert completion["length"] == 0
        if len(buffers) == 1 and last.bad:
            assert status == last.fault
            assert not last.octets
            return
        frame = self.frames.popleft()
        self._frame(frame, completion, status, buffers, used)

    def _frame(self, frame: Frame, completion: dict[str, int], status: RxStatus, buffers: list[Buffer], used: int):
        assert not any(buffer.bad for buffer in buffers[:-1])
        octets = len(frame.octets) + RX_PAD_OCTETS
        room = sum(buffer.length for buffer in buffers[:-1])
        assert room < octets, "more buffers than the frame needs"
        if buffers[-1].bad:
            assert status == buffers[-1].fault
            self.counts["bus_error" if buffers[-1].unreadable else "refused"] += 1
        elif room + buffers[-1].length < octets:
            assert status == RxStatus.NO_BUFFER
            self.counts["no_buffer"] += 1
            self.no_buffer_used.append(used)
        elif any(buffer.refuses for buffer in buffers):
            assert status == RxStatus.PAYLOAD_ERROR
            self.counts["bus_error"] += 1
        else:
            assert status == RxStatus.OK
            self.counts["delivered"] += 1
            self.flags.append(frame.flags)
            assert completion["length"] == len(frame.octets)
            assert all(completion[name] == getattr(frame, name) for name in ("csum", "vlan_tci", "flags"))
        self._octets(frame, buffers)

    def _octets(self, frame: Frame, buffers: list[Buffer]) -> None:
        """Check that each buffer got its octets of the frame, and no more."""
        at = -RX_PAD_OCTETS
        for buffer in buffers:
            if not buffer.bad:
                places = range(max(0, -at), min(buffer.length, len(frame.octets) - at))
                assert buffer.octets == {place: frame.octets[at + place] for place in places}
                at += buffer.length
