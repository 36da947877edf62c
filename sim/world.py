"""A simulated world: one time for all its hosts and devices, and the scheduler that alone lets it pass."""

import heapq
from collections import deque
from collections.abc import Callable, Sequence
from random import Random
from typing import TYPE_CHECKING, Any

from greenlet import getcurrent, greenlet

from ..stack.core.platform import WaitQueue
from .memory import HostMemory, MemoryBlock

if TYPE_CHECKING:
    from .nic import SimNic
    from .stepper import Stepper

__all__ = ["FS_PER_NS", "DeadlockError", "Host", "SimTimer", "Task", "World"]

FS_PER_NS = 1_000_000
_STORM = 1000


class DeadlockError(RuntimeError):
    """Tasks wait, and nothing that could wake them will ever happen."""


class Task:
    """A simulated program: a function that may call what sleeps.

    Members
    -------
    name : str
        For messages.
    done : bool
        Whether it has returned or raised.
    result : object
        What it returned.
    error : BaseException or None
        What the sleep that it is in, or else its next one, ends with; see ``World.throw``.
    """

    __slots__ = ("_greenlet", "done", "error", "name", "result", "waits_on", "woken")

    def __init__(self, name: str, function: Callable[[], Any] | None) -> None:
        self.name = name
        self.done = False
        self.result: Any = None
        self.error: BaseException | None = None
        self.woken = False
        self.waits_on: WaitQueue | None = None
        self._greenlet = None if function is None else greenlet(self._run)
        if function is not None:
            self.result = function

    def _run(self) -> None:
        function, self.result = self.result, None
        try:
            self.result = function()
        finally:
            self.done = True

    def __repr__(self) -> str:
        return f"Task({self.name!r})"


class SimTimer:
    """A timer that was set; see ``stack.core.platform.Timer``."""

    __slots__ = ("_world", "callback")

    def __init__(self, world: "World", callback: Callable[[], None]) -> None:
        self._world = world
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> bool:
        """Stop the timer; return whether it was still pending."""
        if self.callback is None:
            return False
        self.callback = None
        self._world._timer_cancelled()
        return True


class World:
    """Hosts, devices and the time that they share.

    Stack code takes no simulated time. The scheduler runs what is ready, in the order in which it became ready; when
    all tasks sleep it lets the devices run up to the next timer, interrupt or frame. The same seed gives the same run,
    to the cycle.

    Parameters
    ----------
    seed : int
        Seed of every random decision in the world.

    Members
    -------
    now_fs : int
        Simulated time in femtoseconds.
    hosts, nics : list
        In the order in which they were made.
    signals : deque
        Functions to call before the next step. Only here may a signal's handler add something to the world.
    waves : bool
        Its cards use the library that can write waves, whether asked to or not.
    on_nic : callable or None
        Called with each card that is made.
    """

    def __init__(self, *, seed: int = 0) -> None:
        self.seed = seed
        self.now_fs = 0
        self.hosts: list[Host] = []
        self.nics: list[SimNic] = []
        self.signals: deque[Callable[[], None]] = deque()
        self.waves = False
        self.on_nic: Callable[[SimNic], None] | None = None
        self.current: Task | None = None
        self.draining = False  # The devices stop as soon as all are quiet.
        self._stepper: Stepper | None = None
        self._timers: list[tuple[int, int, SimTimer]] = []
        self._cancelled = 0
        self._sequence = 0
        self._ready: deque[Task] = deque()
        self._tasks: list[Task] = []
        self._hub: greenlet | None = None
        self._running = False
        self._deliveries = (0, 0)

    def random(self, name: str) -> Random:
        """Return a random source of its own for ``name``: it gives the same numbers whoever else draws some."""
        return Random(f"{self.seed}/{name}")

    def host(self, name: str | None = None, *, memory: HostMemory | None = None) -> "Host":
        """Make a host."""
        host = Host(self, name or f"host{len(self.hosts) + 1}", memory or HostMemory())
        self.hosts.append(host)
        return host

    def add_nic(self, nic: "SimNic") -> None:
        """Take in a card, which has just been made."""
        self.nics.append(nic)
        if self.on_nic is not None:
            self.on_nic(nic)

    @property
    def stepper(self) -> "Stepper":
        """What steps the devices together, if there are several."""
        if self._stepper is None:
            from .stepper import Stepper

            self._stepper = Stepper(self)
        return self._stepper

    @property
    def now_ns(self) -> int:
        """Simulated time in ns, rounded down."""
        return self.now_fs // FS_PER_NS

    # Tasks.

    def spawn(self, function: Callable[..., Any], *arguments: Any, name: str | None = None) -> Task:
        """Make a task of ``function(*arguments)``; it starts when the world runs."""
        task = Task(name or str(getattr(function, "__name__", "task")), lambda: function(*arguments))
        self._tasks.append(task)
        self._ready.append(task)
        return task

    def run(self, function: Callable[..., Any] | None = None, *arguments: Any, limit_ns: int | None = None) -> Any:
        """Run until all tasks have ended, or only the one of ``function``, if one is given.

        Parameters
        ----------
        function : callable or None
            What to run as a task; its result is returned.
        *arguments
            What to call it with.
        limit_ns : int or None
            Stop at this time, whatever still runs.

        Raises
        ------
        DeadlockError
            If tasks wait and nothing will ever happen.
        """
        limit_fs = None if limit_ns is None else limit_ns * FS_PER_NS
        if function is not None:
            task = self.spawn(function, *arguments)
            self._loop(lambda: task.done, limit_fs)
            return task.result
        self._loop(lambda: not self._tasks, limit_fs)
        return None

    def join(self, tasks: Sequence[Task], *, limit_ns: int | None = None) -> None:
        """Run until these tasks have ended, whatever else still runs, but for ``limit_ns`` at most.

        Raises
        ------
        DeadlockError
            If tasks wait and nothing will ever happen.
        """
        limit_fs = None if limit_ns is None else self.now_fs + limit_ns * FS_PER_NS
        self._loop(lambda: all(task.done for task in tasks), limit_fs)

    def advance(self, duration_ns: int) -> None:
        """Let time pass, with all that happens in it."""
        self._loop(lambda: False, self.now_fs + duration_ns * FS_PER_NS)

    def drain(self, limit_ns: int = 1_000_000_000) -> None:
        """Run until no task is ready, no device has anything to do and no interrupt is left.

        Timers that fall due meanwhile run; the others are not waited for.

        Raises
        ------
        TimeoutError
            If that takes more than ``limit_ns``.
        """
        if not self.settle(limit_ns):
            raise TimeoutError(f"devices still busy after {limit_ns} ns")

    def settle(self, limit_ns: int) -> bool:
        """Do what :meth:`drain` does, but for ``limit_ns`` at most; return whether all is at rest.

        When it is, nothing happens before :attr:`next_timer_fs`.
        """
        limit_fs = self.now_fs + limit_ns * FS_PER_NS
        self.draining = True
        try:
            self._loop(lambda: not self._ready and all(nic.quiet for nic in self.nics), limit_fs)
        finally:
            self.draining = False
        return self.now_fs < limit_fs

    def sleep(self, duration_ns: int) -> None:
        """Let the calling task sleep."""
        self.wait(WaitQueue(), self.now_fs + duration_ns * FS_PER_NS)

    def wait(self, queue: WaitQueue, deadline_fs: int | None = None) -> bool:
        """Park the calling task until ``wake(queue)``, True, or the deadline, False.

        Outside of any task, the caller's place is taken as a task for so long.

        Raises
        ------
        RuntimeError
            If an interrupt or timer callback calls it.
        BaseException
            What ``throw`` has for this task.
        """
        task = self.current
        if task is None:
            if self._running:
                raise RuntimeError("sleeping function called from invalid context: an interrupt or a timer callback")
            task = Task("main", None)
        task.woken = False
        if task.error is None:
            self._park(task, queue, deadline_fs)
        if task.error is not None:
            error, task.error = task.error, None
            raise error
        return task.woken

    def _park(self, task: Task, queue: WaitQueue, deadline_fs: int | None) -> None:
        task.waits_on = queue
        queue.sleepers.append(task)
        timer = None
        if deadline_fs is not None:
            timer = self.timer(deadline_fs, lambda: self._end_sleep(task))
        if task._greenlet is None:
            self._tasks.append(task)
            try:
                self._loop(lambda: task.waits_on is None)
            finally:
                self._tasks.remove(task)
                if task in self._ready:
                    self._ready.remove(task)
        else:
            assert self._hub is not None
            self._hub.switch()
        if timer is not None:
            timer.cancel()

    def throw(self, task: Task, error: BaseException) -> None:
        """Let the sleep that a task is in, or else its next one, end with an error, as a signal ends a system call."""
        task.error = error
        self._end_sleep(task)

    def wake(self, queue: WaitQueue) -> None:
        """Make every task that sleeps on ``queue`` runnable, in the order in which they went to sleep."""
        sleepers = queue.sleepers
        if sleepers:
            for task in sleepers:
                task.woken = True  # type: ignore[attr-defined]  # Only ``wait`` puts something in.
                self._make_ready(task)  # type: ignore[arg-type]  # The same.
            sleepers.clear()

    def timer(self, deadline_fs: int, callback: Callable[[], None]) -> SimTimer:
        """Call ``callback`` at a time, or after the present call if that is past."""
        timer = SimTimer(self, callback)
        self._sequence += 1
        heapq.heappush(self._timers, (deadline_fs, self._sequence, timer))
        return timer

    @property
    def next_timer_fs(self) -> int | None:
        """When the next timer is due; None if none is set."""
        timers = self._timers
        while timers:
            if timers[0][2].callback is not None:
                return timers[0][0]
            heapq.heappop(timers)
            self._cancelled -= 1
        return None

    # Inside.

    def _make_ready(self, task: Task) -> None:
        task.waits_on = None
        if task._greenlet is not None:
            self._ready.append(task)

    def _end_sleep(self, task: Task) -> None:
        if task.waits_on is not None:
            task.waits_on.sleepers.remove(task)
            self._make_ready(task)

    def _timer_cancelled(self) -> None:
        self._cancelled += 1
        if self._cancelled > 64 and self._cancelled > len(self._timers) // 2:
            self._timers = [entry for entry in self._timers if entry[2].callback is not None]
            heapq.heapify(self._timers)
            self._cancelled = 0

    def _loop(self, done: Callable[[], bool], limit_fs: int | None = None) -> None:
        if self._running:
            raise RuntimeError("the world runs already: a task cannot run it, only sleep")
        self._running = True
        self._hub = getcurrent()
        try:
            while not done():
                if self.signals:
                    self.signals.popleft()()
                elif self._ready:
                    self._step(self._ready.popleft())
                elif not self._run_timers():
                    if limit_fs is not None and self.now_fs >= limit_fs:
                        return
                    if not self._pass_time(limit_fs):
                        self._stuck()
        finally:
            self._running = False

    def _step(self, task: Task) -> None:
        inner = task._greenlet
        assert inner is not None
        self.current = task
        inner.parent = self._hub
        try:
            inner.switch()
        finally:
            self.current = None
            if task.done:
                self._tasks.remove(task)

    def _run_timers(self) -> bool:
        """Run one timer that is due; whether there was one."""
        timers = self._timers
        while timers and timers[0][0] <= self.now_fs:
            timer = heapq.heappop(timers)[2]
            callback, timer.callback = timer.callback, None
            if callback is not None:
                callback()
                return True
            self._cancelled -= 1
        return False

    def _pass_time(self, limit_fs: int | None) -> bool:
        """Let time pass up to the next event; False: nothing will ever happen by itself."""
        target = self.next_timer_fs
        if limit_fs is not None and (target is None or limit_fs < target):
            target = limit_fs
        nics = self.nics
        if len(nics) == 1:
            stopped = nics[0].step(target)
        elif nics:
            stopped = self.stepper.step(target)
        else:
            stopped = target
        if stopped is None:
            return False
        if stopped > self.now_fs:
            self.now_fs = stopped
        return True

    def _stuck(self) -> None:
        names = ", ".join(task.name for task in self._tasks) or "nothing"
        raise DeadlockError(f"waiting for ever: {names}; no timer is set and no device has anything to do")

    def interrupt(self, handler: Callable[[], None]) -> None:
        """Call an interrupt handler; devices do this when their line is high, between the steps of tasks."""
        at, count = self._deliveries
        count = count + 1 if at == self.now_fs else 1
        if count > _STORM:
            raise RuntimeError(f"irq: nobody cared: the line stays high after {_STORM} calls of its handler")
        self._deliveries = (self.now_fs, count)
        handler()


class Host:
    """One host of a world: the ``Platform`` of its stack.

    Members
    -------
    name : str
        Unique in its world.
    memory : HostMemory
        Its memory, which is the ``Dma`` of its devices.
    """

    def __init__(self, world: World, name: str, memory: HostMemory) -> None:
        self.world = world
        self.name = name
        self.memory = memory
        self._random = world.random(name)
        self._started_fs = world.now_fs
        self.kmalloc: Callable[[int], MemoryBlock] = memory.kmalloc
        self.kfree: Callable[[Any], None] = memory.kfree
        self.wake: Callable[[WaitQueue], None] = world.wake

    @property
    def memory_octets(self) -> int:
        """Return how much memory the host has."""
        return self.memory.size_octets

    def now_ns(self) -> int:
        """Return the simulated time in ns since the host was made."""
        return (self.world.now_fs - self._started_fs) // FS_PER_NS

    def timer(self, deadline_ns: int, callback: Callable[[], None]) -> SimTimer:
        """Call ``callback`` at ``deadline_ns``, or at once after the present call if that is past."""
        return self.world.timer(deadline_ns * FS_PER_NS + self._started_fs, callback)

    def wait(self, queue: WaitQueue, deadline_ns: int | None = None) -> bool:
        """Park the calling task until ``wake(queue)``, True, or the deadline, False."""
        if deadline_ns is None:
            return self.world.wait(queue)
        return self.world.wait(queue, deadline_ns * FS_PER_NS + self._started_fs)

    def random_u32(self) -> int:
        """Return a random number of 32 bits from the run's seed."""
        return self._random.getrandbits(32)
