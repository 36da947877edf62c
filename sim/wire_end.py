"""The wire side of a simulated card, whether bare NIC or whole board: frames out and in, the PHY, waves."""

import os
import stat
import struct
from collections.abc import Callable
from errno import ESPIPE
from typing import Any

from .frame import Frame, on_wire
from .native import NativeLibrary
from .world import FS_PER_NS

__all__ = ["FrameListener", "FrameWatcher", "WireEnd"]

# native/wire_abi.h: hw_reason, hw_frame.
_FRAME, _RX_FRAME = 4, 128
_FRAME_STRUCT = struct.Struct("<QQQIIIxxxx")
_NEVER = (1 << 64) - 1

FrameListener = Callable[[list[Frame]], None]
FrameWatcher = Callable[[list[Frame], bool], None]


class WireEnd:
    """A card in native code, seen from the cable.

    Parameters
    ----------
    native : NativeLibrary
        What it is a card of.
    period_fs, phase_fs : int
        Of its clock; the phase is the time of the first edge.

    Members
    -------
    on_frames : callable or None
        Called with a list of frames as soon as they have left; without it they wait for ``take_frames``, or are not
        kept if there is a cable (:meth:`connect`).
    on_received : callable or None
        Called with a list of frames as soon as they have come in; without it they are not recorded.
    on_sent : callable or None
        As ``on_frames``, for the cable: a link that takes frames whole sets it.
    period_fs, phase_fs : int
        Of its clock; the phase is the time of the first edge.
    """

    def __init__(self, native: NativeLibrary, *, period_fs: int, phase_fs: int) -> None:
        self._on_frames: FrameListener | None = None
        self._on_received: FrameListener | None = None
        self._on_sent: FrameListener | None = None
        self._watchers: list[FrameWatcher] = []
        self._left: list[Frame] = []  # Only watched so far.
        self._wired = False
        self.period_fs = period_fs
        self.phase_fs = phase_fs
        self.native = native
        self._lib: Any = native.lib
        ffi: Any = native.ffi
        self._nic: Any = ffi.gc(self._lib.hw_new(), self._lib.hw_free)
        self.address = int(ffi.cast("uintptr_t", self._nic))
        self._state: Any = self._lib.hw_get_state(self._nic)

    # Time.

    @property
    def cycle(self) -> int:
        """Clock cycles since the start, skipped ones included."""
        return int(self._state.cycle)

    @property
    def time_fs(self) -> int:
        """The world's time of the present cycle."""
        return self.phase_fs + int(self._state.cycle) * self.period_fs

    # What came out.

    @property
    def stops_for_frames(self) -> int:
        """The events of frames that somebody waits for, as a mask of ``hw_reason``."""
        stop = 0
        if self._on_frames is not None or self._on_sent is not None or self._watchers:
            stop |= _FRAME
        if self._on_received is not None or self._watchers:
            stop |= _RX_FRAME
        return stop

    def deliver_frames(self, reasons: int) -> None:
        """Tell those who wait of frames."""
        if reasons & _FRAME:
            frames = self.take_frames()
            listeners = [listener for listener in (self._on_sent, self._on_frames) if listener is not None]
            for listener in listeners if frames else ():
                listener(frames)
            if not listeners and not self._wired:
                self._left = frames
        if reasons & _RX_FRAME and (self._on_received is not None or self._watchers):
            frames = self._take_received()
            for watcher in self._watchers:
                watcher(frames, False)
            if self._on_received is not None:
                self._on_received(frames)

    @property
    def on_frames(self) -> "FrameListener | None":
        """Who is told of frames that have left."""
        return self._on_frames

    @on_frames.setter
    def on_frames(self, listener: "FrameListener | None") -> None:
        self._on_frames = listener
        self._record()

    @property
    def on_received(self) -> "FrameListener | None":
        """Who is told of frames that have come in."""
        return self._on_received

    @on_received.setter
    def on_received(self, listener: "FrameListener | None") -> None:
        self._on_received = listener
        self._record()

    @property
    def on_sent(self) -> "FrameListener | None":
        """Who takes frames to the other end of the cable."""
        return self._on_sent

    @on_sent.setter
    def on_sent(self, listener: "FrameListener | None") -> None:
        self._on_sent = listener
        self._record()

    def _record(self) -> None:
        watched = bool(self._watchers)
        tx = watched or not self._wired or self._on_frames is not None or self._on_sent is not None
        self._lib.hw_set_recording(self._nic, tx, watched or self._on_received is not None)

    def watch(self, watcher: "FrameWatcher") -> Callable[[], None]:
        """Call ``watcher(frames, sent)`` as soon as frames have left, or come in; nobody else gets fewer for that.

        Returns
        -------
        callable
            What ends it.
        """
        self._watchers.append(watcher)
        self._record()

        def stop() -> None:
            self._watchers.remove(watcher)
            self._record()

        return stop

    def take_frames(self) -> list[Frame]:
        """Return the frames that have left since the last call."""
        state = self._state
        frames = self._frames(state.frame_count, state.frames, state.octets)
        if frames:
            self._lib.hw_clear_frames(self._nic)
            for watcher in self._watchers:
                watcher(frames, True)
        if self._left:
            frames, self._left = self._left + frames, []
        return frames

    def _take_received(self) -> list[Frame]:
        state = self._state
        frames = self._frames(state.rx_frame_count, state.rx_frames, state.rx_octets)
        self._lib.hw_clear_rx_frames(self._nic)
        return frames

    def _frames(self, count: int, structs: Any, data: Any) -> list[Frame]:
        if not count:
            return []
        ffi = self.native.ffi
        headers = ffi.buffer(structs, count * _FRAME_STRUCT.size)
        _, _, last_offset, last_length, _, _ = _FRAME_STRUCT.unpack_from(headers, (count - 1) * _FRAME_STRUCT.size)
        octets = bytes(ffi.buffer(data, last_offset + last_length))
        period_fs, phase_fs = self.period_fs, self.phase_fs
        frames = []
        for start, end, at, length, gap, flags in _FRAME_STRUCT.iter_unpack(headers):
            fcs_at = max(at, at + length - 4)
            fcs = octets[fcs_at : at + length]
            frames.append(Frame(phase_fs + start * period_fs, octets[at:fcs_at], gap, flags, start, end, fcs))
        return frames

    # The cable.

    def inject(
        self, octets: bytes, *, start_fs: int | None = None, errors: bytes | None = None, gap_octets: int = 12
    ) -> None:
        """Let octets come from the PHY as they are; :func:`.frame.on_wire` gives those of a proper frame.

        Parameters
        ----------
        octets : bytes
            All octets with ``rx_dv``: preamble, SFD, frame, FCS.
        start_fs : int or None
            Not before this time; None: at once. Frames come in the order of their times.
        errors : bytes or None
            ``rx_er`` of each octet.
        gap_octets : int
            Octet times of silence after the frame before, at least.

        Raises
        ------
        ValueError
            If there are no octets, not one error for each of them, or no gap.
        """
        if not octets:
            raise ValueError("a frame has at least 1 octet")
        if errors is not None and len(errors) != len(octets):
            raise ValueError(f"{len(octets)} octets need as many errors, not {len(errors)}")
        if gap_octets < 1:
            raise ValueError(f"gap_octets must be at least 1, not {gap_octets!r}")
        start = 0 if start_fs is None else self.cycle_at(start_fs)
        ffi = self.native.ffi
        self._lib.hw_inject(self._nic, start, octets, ffi.NULL if errors is None else errors, len(octets), gap_octets)

    def receive(self, octets: bytes, fcs: bytes, *, error: bool = False) -> None:
        """Let a frame come from the PHY now, or after those that still wait; ``error``: its last octet is bad."""
        wire = on_wire(octets, fcs)
        self.inject(wire, errors=bytes(len(wire) - 1) + b"\1" if error else None)

    def cycle_at(self, time_fs: int) -> int:
        """Return the first cycle that is not before a time."""
        return max(0, -((self.phase_fs - time_fs) // self.period_fs))

    def set_link(self, up: bool, *, autoneg_ns: int = 20_000) -> None:
        """Tell the PHY whether there is a partner; autonegotiation takes a while after one has come."""
        self._lib.hw_set_link(self._nic, up, autoneg_ns * FS_PER_NS // self.period_fs)

    def set_phy_address(self, address: int) -> None:
        """Set the address of the PHY on the management bus, 1 at first."""
        self._lib.hw_set_phy_address(self._nic, address)

    def waves(self, path: str | None, *, from_ns: int = 0, to_ns: int | None = None) -> None:
        """Write FST waves of a window of time to a file; None ends it.

        Raises
        ------
        ValueError
            If the device was made without ``waves=True``.
        OSError
            If the file cannot be written; ``ESPIPE`` if it is no regular one.
        """
        if path is not None:
            # Verilator does not say that it cannot open a file, and aborts where it cannot seek.
            with open(path, "ab") as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise OSError(ESPIPE, os.strerror(ESPIPE), path)
        first = max(0, from_ns * FS_PER_NS - self.phase_fs) // self.period_fs
        last = _NEVER if to_ns is None else (to_ns * FS_PER_NS - self.phase_fs) // self.period_fs
        name = self.native.ffi.NULL if path is None else os.fsencode(path)
        if not self._lib.hw_waves(self._nic, name, self.phase_fs, self.period_fs, first, last):
            raise ValueError("this device was made without waves=True")
