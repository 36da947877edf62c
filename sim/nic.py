"""The simulated network card: real gateware behind Mmio and Irq, and the frames that come out."""

import os
import stat
import struct
from array import array
from collections.abc import Callable
from errno import ESPIPE
from functools import partial
from typing import Any, NamedTuple

from ..hdl.config import NicConfig
from .build import Progress
from .bus_model import BusModel
from .frame import Frame
from .memory import BUS_BASE
from .native import NativeLibrary, load
from .world import FS_PER_NS, Host

__all__ = ["DmaViolation", "Event", "HardwareHang", "SimNic", "Violation"]

# native/abi.h: hw_reason, hw_frame, hw_violation, hw_event.
_TIME, _IRQ, _FRAME, _VIOLATION, _IDLE, _HANG, _QUIET = 1, 2, 4, 8, 16, 32, 64
_FRAME_STRUCT = struct.Struct("<QQQIIIxxxx")
_VIOLATION_STRUCT = struct.Struct("<QQII")
_EVENT_STRUCT = struct.Struct("<QIIQ")
_NEVER = (1 << 64) - 1
_KINDS = (
    "read outside all mappings",
    "write outside all mappings",
    "burst across a 4 KiB border",
    "malformed burst",
    "register access answered with an error",
)
_EVENTS = "mmio_write mmio_read read read_done write write_done desc arp csum cpl frame_start frame_end irq".split()


class Violation(NamedTuple):
    """Something that the device must not do, or that was done to it.

    Parameters
    ----------
    cycle : int
        When.
    address : int
        Bus address, or register offset.
    kind : str
        What.
    descriptor : int or None
        Ring index of the last descriptor that the device had decoded.
    """

    cycle: int
    address: int
    kind: str
    descriptor: int | None


class Event(NamedTuple):
    """Something that happened at the device's ports: kinds and the meaning of ``a`` and ``b`` in native/abi.h."""

    cycle: int
    kind: str
    a: int
    b: int


class DmaViolation(RuntimeError):
    """The device did what it must not do; raised in strict mode. ``violations`` are all of them."""

    def __init__(self, violations: list[Violation]) -> None:
        first = violations[0]
        more = f", and {len(violations) - 1} more" if len(violations) > 1 else ""
        descriptor = "none" if first.descriptor is None else first.descriptor
        super().__init__(
            f"{first.kind} at {first.address:#x}, cycle {first.cycle}, last descriptor decoded: {descriptor}{more}"
        )
        self.violations = violations


class HardwareHang(RuntimeError):
    """The device claims to be busy, but nothing moves on any of its ports."""


class SimNic:
    """A network card: the gateware under Verilator, in a host's memory. Implements ``Mmio`` and ``Irq``.

    Parameters
    ----------
    host : Host
        Whose memory it reads and who gets its interrupt.
    config : NicConfig
        Parameters of the gateware.
    bus : BusModel
        How the host's memory behaves.
    strict : bool
        Raise ``DmaViolation`` as soon as the device does what it must not; else only record it.
    skipping : bool
        Jump over cycles in which nothing happens. Off gives the same frames, cycles and registers, slower.
    waves : bool
        Use the library that can write waves; see :meth:`waves`.
    progress : callable or None
        Told how a build goes on; see :func:`.build.library_dir`.

    Members
    -------
    on_frames : callable or None
        Called with a list of frames as soon as they have left; without it they wait for ``take_frames``.
    """

    def __init__(
        self,
        host: Host,
        config: NicConfig | None = None,
        *,
        bus: BusModel | None = None,
        strict: bool = True,
        skipping: bool = True,
        waves: bool = False,
        progress: Progress | None = None,
    ) -> None:
        self.host = host
        self.world = host.world
        self.config = config or NicConfig()
        self.dma = host.memory
        self.strict = strict
        self.on_frames: Callable[[list[Frame]], None] | None = None
        self.period_fs = round(1_000_000_000_000 / self.config.clock_khz)
        self._phase_fs = self.world.now_fs
        self._handler: Callable[[], None] | None = None
        self._native: NativeLibrary = load(self.config, waves=waves, progress=progress)
        self._lib: Any = self._native.lib
        ffi: Any = self._native.ffi
        self._nic: Any = ffi.gc(self._lib.hw_new(), self._lib.hw_free)
        self._state: Any = self._lib.hw_get_state(self._nic)
        memory = host.memory
        # Not from memory.octets: when the collector clears a memoryview before cffi lets go of it, Python crashes.
        self._keep = (ffi.from_buffer(memory.storage), ffi.from_buffer(memory.shadow))
        octets, shadow = (ffi.cast("uint8_t *", buffer) for buffer in self._keep)
        self._lib.hw_set_memory(self._nic, octets, shadow, BUS_BASE, memory.size_octets)
        self._lib.hw_set_skipping(self._nic, skipping)
        self._posted: list[int] = []  # Offset, value, offset, value, ... since time last passed.
        self._run: Callable[[int, int], int] = partial(self._lib.hw_run, self._nic)
        self._number = len(self.world.nics)
        self.set_bus(bus or BusModel())
        self.world.nics.append(self)

    # Mmio and Irq.

    def write32(self, offset: int, value: int) -> None:
        """Write a register: posted; the device hears of it when time passes."""
        posted = self._posted  # Two appends take a quarter of the time of a call into native code.
        posted.append(offset)
        posted.append(value)

    def read32(self, offset: int) -> int:
        """Read a register; time passes until the device has answered. An error answer reads as all ones."""
        if self._posted:
            self._flush()
        answer: int = self._lib.hw_read32(self._nic, offset)
        now_fs = self.time_fs
        if now_fs > self.world.now_fs:
            self.world.now_fs = now_fs
        if answer >> 33:  # Bit 33: an error response; bit 63: none.
            if answer >> 63:
                raise HardwareHang(f"no answer to a read of register {offset:#x}")
            return 0xFFFF_FFFF
        return answer & 0xFFFF_FFFF

    def request(self, handler: Callable[[], None]) -> None:
        """Call ``handler`` while the interrupt line is high, between the steps of tasks.

        The line counts only while no posted write is under way, so that a handler that has cleared the interrupt is not
        called again before the device has heard of it.
        """
        self._handler = handler

    def free(self) -> None:
        """Stop calling the handler."""
        self._handler = None

    # Time.

    @property
    def cycle(self) -> int:
        """Clock cycles since the start, skipped ones included."""
        return int(self._state.cycle)

    @property
    def cycles_evaluated(self) -> int:
        """Cycles that the model was really run for."""
        return int(self._state.evaluated)

    @property
    def time_fs(self) -> int:
        """The world's time of the present cycle."""
        return self._phase_fs + int(self._state.cycle) * self.period_fs

    @property
    def quiet(self) -> bool:
        """Nothing is under way, no interrupt waits for its handler and no moderation timer runs."""
        if self._posted:
            return False
        state = self._lib.hw_get_state(self._nic)
        return bool(state.quiet) and not (state.irq and self._handler is not None)

    def step(self, until_fs: int | None) -> int | None:
        """Run to a time, or to the first event before; return the time reached, None if nothing will ever happen."""
        if self._posted:
            self._flush()
        if until_fs is None:
            until_cycle = _NEVER
        else:
            until_cycle = max(0, -((self._phase_fs - until_fs) // self.period_fs))
        stop = _VIOLATION
        if self._handler is not None:
            stop |= _IRQ
        if self.on_frames is not None:
            stop |= _FRAME
        if self.world.draining:
            stop |= _QUIET
        reasons = self._run(until_cycle, stop)
        if reasons & (_VIOLATION | _HANG):
            self._complain(reasons)
        reached_fs = self.time_fs
        if until_fs is not None and reached_fs > until_fs:
            reached_fs = until_fs
        world = self.world
        if reached_fs > world.now_fs:
            world.now_fs = reached_fs
        if reasons & _FRAME and self.on_frames is not None:
            self.on_frames(self.take_frames())
        if reasons & _IRQ and self._handler is not None:
            world.interrupt(self._handler)
        return None if reasons == _IDLE else reached_fs

    # What came out.

    def take_frames(self) -> list[Frame]:
        """Return the frames that have left since the last call."""
        state = self._state
        count = state.frame_count
        if not count:
            return []
        ffi = self._native.ffi
        headers = ffi.buffer(state.frames, count * _FRAME_STRUCT.size)
        _, _, last_offset, last_length, _, _ = _FRAME_STRUCT.unpack_from(headers, (count - 1) * _FRAME_STRUCT.size)
        octets = bytes(ffi.buffer(state.octets, last_offset + last_length))
        period_fs, phase_fs = self.period_fs, self._phase_fs
        frames = [
            Frame(phase_fs + start * period_fs, octets[at : max(at, at + length - 4)], gap, flags, start, end)
            for start, end, at, length, gap, flags in _FRAME_STRUCT.iter_unpack(headers)
        ]
        self._lib.hw_clear_frames(self._nic)
        return frames

    def take_violations(self) -> list[Violation]:
        """Return what was recorded since the last call."""
        state = self._state
        raw = self._native.ffi.buffer(state.violations, state.violation_count * _VIOLATION_STRUCT.size)
        found = [
            Violation(cycle, address, _KINDS[kind], None if descriptor == 0xFFFF_FFFF else descriptor)
            for cycle, address, kind, descriptor in (_VIOLATION_STRUCT.iter_unpack(raw) if len(raw) else ())
        ]
        self._lib.hw_clear_violations(self._nic)
        return found

    def log_events(self, capacity: int = 1 << 20) -> None:
        """Keep a log of what happens at the ports, of at most ``capacity`` events; 0 turns it off."""
        self._lib.hw_set_events(self._nic, capacity)

    def take_events(self) -> list[Event]:
        """Return the log since the last call."""
        state = self._lib.hw_get_state(self._nic)
        raw = self._native.ffi.buffer(state.events, state.event_count * _EVENT_STRUCT.size)
        found = [
            Event(cycle, _EVENTS[kind], a, b)
            for cycle, kind, a, b in (_EVENT_STRUCT.iter_unpack(raw) if len(raw) else ())
        ]
        self._lib.hw_clear_events(self._nic)
        return found

    @property
    def counters(self) -> dict[str, int]:
        """Counters of the harness: bus transactions, injected errors, frames."""
        state = self._lib.hw_get_state(self._nic)
        names = ("reads", "writes", "errors_injected", "mmio_errors", "frames_total", "events_lost")
        return {name: int(getattr(state, name)) for name in names}

    # Controls.

    def set_bus(self, bus: BusModel) -> None:
        """Change how the host's memory behaves, from now on."""
        self.bus = bus
        seed = self.world.random(f"bus{self._number}").getrandbits(64)
        members = bus.native(clock_khz=self.config.clock_khz, seed=seed)
        self._lib.hw_configure(self._nic, self._native.ffi.new("hw_memory_config *", members))

    def set_skipping(self, on: bool) -> None:
        """Turn the skipping of idle cycles on or off."""
        self._lib.hw_set_skipping(self._nic, on)

    def set_hang_cycles(self, cycles: int) -> None:
        """Set how long a busy device may keep still before that counts as a hang."""
        self._lib.hw_set_hang(self._nic, cycles)

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
        first = max(0, from_ns * FS_PER_NS - self._phase_fs) // self.period_fs
        last = _NEVER if to_ns is None else (to_ns * FS_PER_NS - self._phase_fs) // self.period_fs
        name = self._native.ffi.NULL if path is None else os.fsencode(path)
        if not self._lib.hw_waves(self._nic, name, self.period_fs, first, last):
            raise ValueError("this device was made without waves=True")

    def bench_prefilled(
        self,
        *,
        tail_offset: int,
        cpl_tail_offset: int,
        tail: int,
        ring_size: int,
        frames: int,
        batch: int,
        in_flight: int,
    ) -> int:
        """Post prefilled descriptors with no Python in the loop; return the number of frames sent.

        Parameters
        ----------
        tail_offset, cpl_tail_offset : int
            Offsets of the two registers.
        tail, ring_size : int
            First index to post; number of descriptors in the ring, one frame each.
        frames, batch, in_flight : int
            Frames to send, frames a doorbell, most frames posted and not sent.
        """
        self._flush()
        sent: int = self._lib.hw_bench_prefilled(
            self._nic, tail_offset, cpl_tail_offset, tail, ring_size - 1, frames, batch, in_flight
        )
        return sent

    def _flush(self) -> None:
        pairs = array("I", self._posted)
        self._posted.clear()
        self._lib.hw_write(self._nic, self._native.ffi.from_buffer("uint32_t[]", pairs), len(pairs) // 2)

    def _complain(self, reasons: int) -> None:
        if reasons & _HANG:
            raise HardwareHang(f"the device is busy, but nothing has moved on its ports up to cycle {self.cycle}")
        if self.strict:
            raise DmaViolation(self.take_violations())
