"""A world whose time goes with the computer's clock, so that what is outside may take part."""

import select
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from .world import FS_PER_NS, World

__all__ = ["Port", "RealTime"]

_AHEAD_NS = 1_000_000  # How far simulated time may run ahead, to bring to its end what has just come in.
_SLICE_NS = 10_000_000  # Simulated time between two looks at what is outside, if there is always something to do.
_LATE_NS = 100_000_000
_POLL_NS = 1_000_000  # What ``poll`` counts in.
_NAP_NS = 100_000_000  # Longest wait, so that ``stop`` is heard.
_CHECK_NS = 1_000_000_000
_QUIET_NS = 5_000_000_000  # Between two remarks about the same.


class Port(Protocol):
    """Where frames come in from outside."""

    @property
    def ready(self) -> bool:
        """Whether the world can take frames now; else they wait outside."""
        ...

    def fileno(self) -> int:
        """Return what is readable when frames wait."""
        ...

    def pump(self) -> bool:
        """Take some of the frames that wait; return whether there were any."""
        ...

    def overrun(self) -> int:
        """Return how many more frames were lost since the last call, as they waited too long."""
        ...


class RealTime:
    """Lets a world live in real time, with ports to the outside.

    Frames come in, and timers run, when their real time has come. What a frame then sets off runs at once, up to a
    millisecond ahead: waiting for the microseconds that a card needs would be all that the computer does.

    A timer that runs later than a tenth of a second is too late to be made up for: simulated time then goes on from
    there, and that is said, as are frames that were lost outside, at most every five seconds.

    Parameters
    ----------
    world : World
        What is to live in real time.
    ports : sequence of Port
        Where frames come in.
    say : callable
        Told in a line what is amiss.
    clock_ns : callable
        The real time.
    done : callable
        Whether there is nothing left to live for.

    Members
    -------
    behind_ns : int
        Real time that the simulation could not keep up with, in all.
    """

    def __init__(
        self,
        world: World,
        ports: Sequence[Port],
        *,
        say: Callable[[str], None],
        clock_ns: Callable[[], int] = time.monotonic_ns,
        done: Callable[[], bool] = lambda: False,
    ) -> None:
        self.behind_ns = 0
        self._world = world
        self._ports = ports
        self._say = say
        self._clock_ns = clock_ns
        self._done = done
        self._origin_ns = clock_ns() - world.now_ns
        self._settled = False  # Nothing happens by itself before the next timer.
        self._stopped = False
        self._checked_ns = 0
        self._said_ns: dict[str, int] = {}

    def stop(self) -> None:
        """Make :meth:`run` return soon; a signal handler may call it."""
        self._stopped = True

    def run(self) -> None:
        """Run until :meth:`stop`, or until ``done``."""
        self._origin_ns = self._clock_ns() - self._world.now_ns
        poll = select.poll()
        while not self._stopped and not self._done():
            self._catch_up()
            busy = False
            for port in self._ports:
                busy |= port.pump()
            self._run_ahead()
            if busy:
                self._check()
            else:
                self._wait(poll)

    def _now_ns(self) -> int:
        """Return where simulated time should be."""
        return self._clock_ns() - self._origin_ns

    def _due_ns(self) -> int | None:
        """Return when something will happen by itself; None: never."""
        if not self._settled:
            return self._world.now_ns
        timer_fs = self._world.next_timer_fs
        return None if timer_fs is None else timer_fs // FS_PER_NS

    def _catch_up(self) -> None:
        """Let simulated time pass up to real time, or in part if there is much to do."""
        now_ns, due_ns = self._now_ns(), self._due_ns()
        if due_ns is not None and due_ns < now_ns:
            late_ns = now_ns - due_ns
            if late_ns > _LATE_NS:
                self._origin_ns += late_ns
                self.behind_ns += late_ns
                self._remark(
                    "late", f"the simulation is {late_ns / 1e9:.1f} s behind real time, and goes on from there"
                )
            now_ns = min(now_ns, due_ns + _SLICE_NS)
        self._world.advance(max(now_ns - self._world.now_ns, 0))

    def _run_ahead(self) -> None:
        """Bring to its end what is under way."""
        room_ns = self._now_ns() + _AHEAD_NS - self._world.now_ns
        self._settled = room_ns > 0 and self._world.settle(min(room_ns, _SLICE_NS))

    def _wait(self, poll: select.poll) -> None:
        """Wait until the next event is due, or a frame comes that can be taken."""
        due_ns = self._due_ns()
        wait_ns = _NAP_NS if due_ns is None else min(due_ns - self._now_ns(), _NAP_NS)
        if wait_ns >= _POLL_NS:
            for port in self._ports:
                poll.register(port, select.POLLIN if port.ready else 0)
            poll.poll(wait_ns // _POLL_NS)
        elif wait_ns > 0:  # As when a frame is in a cable with a short delay.
            time.sleep(wait_ns / 1e9)

    def _check(self) -> None:
        """Look whether frames are lost outside."""
        now_ns = self._clock_ns()
        if now_ns - self._checked_ns >= _CHECK_NS:
            self._checked_ns = now_ns
            lost = sum(port.overrun() for port in self._ports)
            if lost:
                self._remark("lost", f"{lost:,} frames lost in the kernel: they come faster than they are simulated")

    def _remark(self, what: str, text: str) -> None:
        now_ns = self._clock_ns()
        if now_ns - self._said_ns.get(what, -_QUIET_NS) >= _QUIET_NS:
            self._said_ns[what] = now_ns
            self._say(text)
