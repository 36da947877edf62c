"""Simulated time that goes with real time: nothing happens too early, little too late, and what is late is said."""

import os
import signal
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator

import pytest

from hardwire.sim.machine import Machine, Setup
from hardwire.sim.realtime import RealTime
from hardwire.sim.world import World

MS = 1_000_000
ARP = bytes.fromhex("ffffffffffff 02000000000a 0806 0001 0800 06 04 0001 02000000000a 0a000002 000000000000 0a000001")


class Pipe:
    """A port whose frames come through a pair of sockets."""

    def __init__(self, take: Callable[[bytes], None]) -> None:
        self.ready = True
        self.pumped = 0
        self.lost = 0
        self.far, self._near = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._near.setblocking(False)
        self.take = take

    def fileno(self) -> int:
        return self._near.fileno()

    def overrun(self) -> int:
        lost, self.lost = self.lost, 0
        return lost

    def pump(self) -> bool:
        self.pumped += 1
        if not self.ready:
            return False
        try:
            self.take(self._near.recv(2000))
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        self.far.close()
        self._near.close()


@pytest.fixture
def taken() -> list[bytes]:
    return []


@pytest.fixture
def port(taken: list[bytes]) -> Iterator[Pipe]:
    pipe = Pipe(taken.append)
    yield pipe
    pipe.close()


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.ns = 5_000_000_000

    def __call__(self) -> int:
        return self.ns


def silent(text: str) -> None:
    pytest.fail(f"said: {text}")


def test_a_timer_runs_when_its_real_time_has_come() -> None:
    world = World()
    realtime = RealTime(world, [], say=silent)
    ran: list[float] = []
    started = time.monotonic()

    def at(last: bool) -> None:
        ran.append(time.monotonic() - started)
        if last:
            realtime.stop()

    world.timer(30 * MS * 1_000_000, lambda: at(False))
    world.timer(60 * MS * 1_000_000, lambda: at(True))
    realtime.run()
    assert ran[0] >= 0.03
    assert ran[1] >= 0.06
    assert realtime.behind_ns == 0


def test_what_a_frame_sets_off_takes_no_real_time() -> None:
    world = World()
    machine = Machine(world, Setup())
    nic = machine.nic
    nic.set_link(True)
    sent: list[bytes] = []
    clock = Clock()

    def receive(frame: bytes) -> None:
        nic.receive(frame, zlib.crc32(frame).to_bytes(4, "little"))

    pipe = Pipe(receive)
    pipe.far.send(ARP.ljust(60, b"\0"))
    realtime = RealTime(world, [pipe], say=silent, clock_ns=clock)
    before = world.now_ns

    def took(frames: list) -> None:
        sent.extend(frame.octets for frame in frames)
        realtime.stop()

    nic.on_sent = took
    realtime.run()  # The clock stands still all the while.
    pipe.close()
    assert [frame[12:14] for frame in sent] == [b"\x08\x06"]
    assert 0 < world.now_ns - before < MS


def test_a_timer_that_is_too_late_is_said_and_time_goes_on_from_there() -> None:
    world = World()
    clock = Clock()
    said: list[str] = []
    realtime = RealTime(world, [], say=said.append, clock_ns=clock)
    ran: list[tuple[str, int]] = []

    def busy() -> None:
        ran.append(("busy", world.now_ns))
        clock.ns += 3_000 * MS  # What simulating it took.
        world.timer(world.now_fs + 1_000 * MS * 1_000_000, late)

    def late() -> None:
        ran.append(("late", world.now_ns))
        clock.ns += 500 * MS
        world.timer(world.now_fs + 500 * MS * 1_000_000, realtime.stop)

    world.timer(0, busy)
    realtime.run()
    assert ran == [("busy", 0), ("late", 1_000 * MS)]
    assert said == ["the simulation is 2.0 s behind real time, and goes on from there"]
    assert realtime.behind_ns == 2_000 * MS
    assert world.now_ns == 1_500 * MS  # Half a second later by both clocks.


def test_what_is_amiss_all_the_time_is_not_said_all_the_time() -> None:
    world = World()
    clock = Clock()
    said: list[str] = []
    realtime = RealTime(world, [], say=said.append, clock_ns=clock)

    def slow() -> None:
        clock.ns += 1_000 * MS
        if world.now_ns < 2_000 * MS:
            world.timer(world.now_fs + 100 * MS * 1_000_000, slow)
        else:
            realtime.stop()

    world.timer(0, slow)
    realtime.run()
    assert realtime.behind_ns == 20 * 900 * MS
    assert len(said) == 4  # In 21 seconds, one every five.


def test_frames_lost_outside_are_said(port: Pipe, taken: list[bytes]) -> None:
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        realtime.stop()

    realtime = RealTime(World(), [port], say=say)
    port.lost = 1234
    port.far.send(b"frame")
    realtime.run()
    assert taken == [b"frame"]
    assert said == ["1,234 frames lost in the kernel: they come faster than they are simulated"]


def test_a_frame_that_comes_while_nothing_happens_is_taken_at_once(port: Pipe) -> None:
    sent: list[float] = []
    delays: list[float] = []
    realtime = RealTime(World(), [port], say=silent)

    def take(_: bytes) -> None:
        delays.append(time.monotonic() - sent[-1])
        if len(delays) == 5:
            realtime.stop()

    def send() -> None:
        for _ in range(5):
            time.sleep(0.03)
            sent.append(time.monotonic())
            port.far.send(b"frame")

    port.take = take
    thread = threading.Thread(target=send)
    thread.start()
    realtime.run()
    thread.join()
    assert min(delays) < 0.02  # The longest wait is 0.1 s; other programs may delay some of them.


def test_a_port_that_cannot_take_frames_is_left_alone(port: Pipe, taken: list[bytes]) -> None:
    world = World()
    realtime = RealTime(world, [port], say=silent)
    port.ready = False
    port.far.send(b"frame")
    world.timer(50 * MS * 1_000_000, realtime.stop)
    realtime.run()
    assert taken == []
    assert port.pumped < 10  # It does not spin, though something can be read.
    port.ready = True
    again = RealTime(world, [port], say=silent)
    world.timer(world.now_fs + 20 * MS * 1_000_000, again.stop)
    again.run()
    assert taken == [b"frame"]


def test_a_signal_ends_it_soon() -> None:
    realtime = RealTime(World(), [], say=silent)
    before = signal.signal(signal.SIGUSR1, lambda *_: realtime.stop())
    try:
        timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1))
        timer.start()
        started = time.monotonic()
        realtime.run()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert 0.04 < time.monotonic() - started < 2


def test_it_ends_when_there_is_nothing_left_to_live_for() -> None:
    world = World()
    ran: list[str] = []
    world.timer(5 * MS * 1_000_000, lambda: ran.append("timer"))
    RealTime(world, [], say=silent, done=lambda: bool(ran)).run()
    assert ran == ["timer"]


def test_timers_that_follow_each_other_closely_are_not_held_up(monkeypatch: pytest.MonkeyPatch) -> None:
    now_ns = 0
    late_ns: list[int] = []

    class Poll:
        """Waits for nothing but the time."""

        def poll(self, timeout_ms: int) -> list[tuple[int, int]]:
            pass_time(timeout_ms / 1e3)
            return []

    def pass_time(seconds: float) -> None:
        nonlocal now_ns
        now_ns += round(seconds * 1e9)

    def tick() -> None:
        late_ns.append(now_ns - world.now_ns)
        if len(late_ns) == 300:
            realtime.stop()
        else:
            world.timer(world.now_fs + 100_000 * 1_000_000, tick)  # 100 microseconds: far below what poll() can wait.

    monkeypatch.setattr("hardwire.sim.realtime.select.poll", Poll)
    monkeypatch.setattr("hardwire.sim.realtime.time.sleep", pass_time)
    world = World()
    realtime = RealTime(world, [], say=silent, clock_ns=lambda: now_ns)
    world.timer(0, tick)
    realtime.run()
    assert max(late_ns) <= 1
    assert len(late_ns) == 300
