"""Several network cards of one world, stepped together by one native call."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .nic import SimNic
    from .world import World

__all__ = ["Stepper"]

_IDLE, _QUIET = 16, 64  # native/abi.h: hw_reason.
_FOR_EVER = (1 << 64) - 1
_LONGEST_FS = 1 << 59  # Times in native code are counted from the start of a call, in 60 bits.
_LOW = (1 << 64) - 1


class Stepper:
    """Lets time pass for all cards of a world at once.

    The card with the earliest clock edge goes first; of several with the same, the one that was made first. When an
    event stops them, every card has done the edges before its time and no other, so that what is done then meets each
    of them in the right cycle.

    Parameters
    ----------
    world : World
        The cards are those in its list, now and later.
    """

    def __init__(self, world: "World") -> None:
        self._world = world
        first = world.nics[0].native
        self._lib: Any = first.lib
        self._native: Any = first.ffi.gc(self._lib.hw_world_new(), self._lib.hw_world_free)
        self._reached: Any = first.ffi.new("uint64_t *")
        self._ffi: Any = first.ffi
        self._nics: list[SimNic] = []

    def step(self, until_fs: int | None) -> int | None:
        """Run to a time, or to the first event before; return the time reached, None if nothing will ever happen."""
        world = self._world
        nics = self._prepare()
        now_fs = world.now_fs
        for nic in nics:
            self._lib.hw_world_set_stop(self._handle(nic), nic.stops_for)
        if until_fs is None:
            left_fs = _FOR_EVER
        else:
            left_fs = min(max(until_fs - now_fs, 0), _LONGEST_FS)
        stop = _QUIET if world.draining else 0
        why = self._lib.hw_world_run(self._native, now_fs >> 64, now_fs & _LOW, left_fs, stop, self._reached)
        if why == _IDLE:
            return None
        reached_fs: int = now_fs + self._reached[0]
        world.now_fs = reached_fs
        events = [(nic, reasons) for nic in nics if (reasons := nic.stopped_by)]
        for nic, reasons in events:
            nic.deliver(reasons)
        return reached_fs

    def read32(self, nic: "SimNic", offset: int) -> int:
        """Read a register of a card while the others go on, too; return what ``hw_read32`` returns."""
        world = self._world
        self._prepare()
        now_fs = world.now_fs
        answer: int = self._lib.hw_world_read32(
            self._native, self._handle(nic), now_fs >> 64, now_fs & _LOW, offset, self._reached
        )
        world.now_fs = now_fs + self._reached[0]
        return answer

    def _handle(self, nic: "SimNic") -> Any:
        """Return a card as this library's type: each library has its own."""
        return self._ffi.cast("hw_nic *", nic.address)

    def _prepare(self) -> "list[SimNic]":
        nics = self._world.nics
        for nic in nics[len(self._nics) :]:
            phase_fs = nic.phase_fs
            self._lib.hw_world_add(self._native, self._handle(nic), phase_fs >> 64, phase_fs & _LOW, nic.period_fs)
            self._nics.append(nic)
        for nic in nics:
            nic.flush()
        return nics
