"""The simulated network card: real gateware behind Mmio and Irq, and the frames that come out."""

from array import array
from collections.abc import Callable
from functools import partial
from typing import Any

from ..hdl.config import NicConfig
from .build import Progress
from .bus_model import BusModel
from .memory import BUS_BASE
from .native import load
from .nic_event import DmaViolation, Event, HardwareHang, Violation, read_events, read_violations
from .wire_end import WireEnd
from .world import Host

__all__ = ["SimNic"]

# native/wire_abi.h: hw_reason.
_TIME, _IRQ, _VIOLATION, _IDLE, _HANG, _QUIET = 1, 2, 8, 16, 32, 64
_NEVER = (1 << 64) - 1


class SimNic(WireEnd):
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
        Use the library that can write waves; see :meth:`waves`. In a world that is for waves, any card does.
    ppm : float
        How much faster its clock is than it should be, in parts per million.
    phase_fs : int
        How long after its making its first clock edge is.
    progress : callable or None
        Told how a build goes on; see :func:`.build.library_dir`.
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
        ppm: float = 0,
        phase_fs: int = 0,
        progress: Progress | None = None,
    ) -> None:
        self.host = host
        self.world = host.world
        self.config = config or NicConfig()
        self.dma = host.memory
        self.strict = strict
        self._handler: Callable[[], None] | None = None
        super().__init__(
            load(self.config, waves=waves or self.world.waves, progress=progress),
            period_fs=round(1_000_000_000_000 / self.config.clock_khz / (1 + ppm / 1_000_000)),
            phase_fs=self.world.now_fs + phase_fs,
        )
        ffi: Any = self.native.ffi
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
        self.world.add_nic(self)

    # Mmio and Irq.

    def write32(self, offset: int, value: int) -> None:
        """Write a register: posted; the device hears of it when time passes."""
        posted = self._posted  # Two appends take a quarter of the time of a call into native code.
        posted.append(offset)
        posted.append(value)

    def read32(self, offset: int) -> int:
        """Read a register; time passes until the device has answered. An error answer reads as all ones."""
        if self._posted:
            self.flush()
        answer: int
        if len(self.world.nics) > 1:
            answer = self.world.stepper.read32(self, offset)
        else:
            answer = self._lib.hw_read32(self._nic, offset)
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
    def cycles_evaluated(self) -> int:
        """Cycles that the model was really run for."""
        return int(self._state.evaluated)

    @property
    def quiet(self) -> bool:
        """Nothing is under way or due by itself, and no interrupt waits for its handler."""
        if self._posted:
            return False
        state = self._lib.hw_get_state(self._nic)
        return bool(state.quiet) and not (state.irq and self._handler is not None)

    def step(self, until_fs: int | None) -> int | None:
        """Run to a time, or to the first event before; return the time reached, None if nothing will ever happen."""
        if self._posted:
            self.flush()
        if until_fs is None:
            until_cycle = _NEVER
        else:
            until_cycle = max(0, -((self.phase_fs - until_fs) // self.period_fs))
        stop = self.stops_for
        if self.world.draining:
            stop |= _QUIET
        reasons = self._run(until_cycle, stop)
        reached_fs = self.time_fs
        if until_fs is not None and reached_fs > until_fs:
            reached_fs = until_fs
        world = self.world
        if reached_fs > world.now_fs:
            world.now_fs = reached_fs
        if reasons & ~(_TIME | _IDLE | _QUIET):
            self.deliver(reasons)
        return None if reasons == _IDLE else reached_fs

    @property
    def stops_for(self) -> int:
        """The events that somebody waits for, as a mask of ``hw_reason``."""
        stop = _VIOLATION | _HANG
        if self._handler is not None:
            stop |= _IRQ
        return stop | self.stops_for_frames

    @property
    def stopped_by(self) -> int:
        """What the world's last step ended with here, as a mask of ``hw_reason``."""
        return int(self._state.why)

    def deliver(self, reasons: int) -> None:
        """Tell those who wait of events."""
        if reasons & (_VIOLATION | _HANG):
            self._complain(reasons)
        self.deliver_frames(reasons)
        if reasons & _IRQ and self._handler is not None:
            self.world.interrupt(self._handler)

    def take_violations(self) -> list[Violation]:
        """Return what was recorded since the last call."""
        state = self._state
        found = read_violations(self.native.ffi, state)
        self._lib.hw_clear_violations(self._nic)
        return found

    def log_events(self, capacity: int = 1 << 20) -> None:
        """Keep a log of what happens at the ports, of at most ``capacity`` events; 0 turns it off."""
        self._lib.hw_set_events(self._nic, capacity)

    def take_events(self) -> list[Event]:
        """Return the log since the last call."""
        state = self._lib.hw_get_state(self._nic)
        found = read_events(self.native.ffi, state)
        self._lib.hw_clear_events(self._nic)
        return found

    @property
    def counters(self) -> dict[str, int]:
        """Counters of the harness: bus transactions, injected errors, frames."""
        state = self._lib.hw_get_state(self._nic)
        names = ("reads", "writes", "errors_injected", "mmio_errors", "frames_total", "rx_frames_total", "events_lost")
        return {name: int(getattr(state, name)) for name in names}

    # The cable.

    def connect(self, other: "SimNic | None", delay_fs: int = 0) -> None:
        """Lead what this card sends to another one of the same world, octet by octet; None ends that."""
        ffi = self.native.ffi
        to = ffi.NULL if other is None else ffi.cast("hw_nic *", other.address)
        self._lib.hw_connect(self._nic, to, delay_fs)
        self._wired = other is not None
        self._record()

    def set_wire_up(self, up: bool) -> None:
        """Pull the cable of :meth:`connect`, in the direction from this card, or put it back."""
        self._lib.hw_set_wire_up(self._nic, up)

    @property
    def wire_counters(self) -> tuple[int, int, int]:
        """Frames that went into the cable of :meth:`connect`, came out, and were cut off."""
        counters = self.native.ffi.new("hw_wire_counters *")
        self._lib.hw_get_wire_counters(self._nic, counters)
        return int(counters.sent), int(counters.delivered), int(counters.cut)

    # Controls.

    def set_bus(self, bus: BusModel) -> None:
        """Change how the host's memory behaves, from now on."""
        self.bus = bus
        seed = self.world.random(f"bus{self._number}").getrandbits(64)
        members = bus.native(clock_khz=self.config.clock_khz, seed=seed)
        self._lib.hw_configure(self._nic, self.native.ffi.new("hw_memory_config *", members))

    def set_skipping(self, on: bool) -> None:
        """Turn the skipping of idle cycles on or off."""
        self._lib.hw_set_skipping(self._nic, on)

    def set_hang_cycles(self, cycles: int) -> None:
        """Set how long a busy device may keep still before that counts as a hang."""
        self._lib.hw_set_hang(self._nic, cycles)

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
        self.flush()
        sent: int = self._lib.hw_bench_prefilled(
            self._nic, tail_offset, cpl_tail_offset, tail, ring_size - 1, frames, batch, in_flight
        )
        return sent

    def flush(self) -> None:
        """Hand the posted writes to the device."""
        if not self._posted:
            return
        pairs = array("I", self._posted)
        self._posted.clear()
        self._lib.hw_write(self._nic, self.native.ffi.from_buffer("uint32_t[]", pairs), len(pairs) // 2)

    def _complain(self, reasons: int) -> None:
        if reasons & _HANG:
            raise HardwareHang(f"the device is busy, but nothing has moved on its ports up to cycle {self.cycle}")
        if self.strict:
            raise DmaViolation(self.take_violations())
