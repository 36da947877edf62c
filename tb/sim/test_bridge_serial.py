"""A serial port as the way to a card: what is said when it does not work. The other end is a pseudo-terminal."""

import errno
import os
import threading
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import serial

from hardwire.sim.bridge.link import BridgeError, Link
from hardwire.sim.bridge.serial_port import SerialPort
from hardwire.sim.devices import open_device
from hardwire.sim.world import FS_PER_NS, World
from hardwire.stack.abi.bridge import BRIDGE_HELLO, BRIDGE_VERSION, BridgeKind


class FarEnd:
    """The far end of a pseudo-terminal as a ``Carrier``."""

    octet_fs = 10**9

    def __init__(self, fd: int) -> None:
        self._fd = fd
        os.set_blocking(fd, False)

    @property
    def time_fs(self) -> int:
        return time.monotonic_ns() * FS_PER_NS

    def write(self, octets: bytes) -> None:
        os.write(self._fd, octets)

    def read(self) -> bytes:
        try:
            return os.read(self._fd, 4096)
        except BlockingIOError:
            return b""

    def wait(self, until_fs: int) -> None:
        time.sleep(0.001)

    def close(self) -> None:
        """Do nothing."""


@contextmanager
def terminal(act: Callable[[FarEnd], None] | None = None) -> Iterator[tuple[str, int]]:
    """Make a pseudo-terminal, at whose far end ``act`` is called again and again; give its path and that end."""
    far, near = os.openpty()
    tty.setraw(near)
    ended = threading.Event()

    def run() -> None:
        end = FarEnd(far)
        while not ended.wait(0.001):
            assert act is not None
            act(end)

    thread = threading.Thread(target=run)
    if act is not None:
        thread.start()
    try:
        yield os.ttyname(near), far
    finally:
        ended.set()
        if act is not None:
            thread.join()
        os.close(near)
        os.close(far)


def refusal(device: str) -> BridgeError:
    with pytest.raises(BridgeError) as caught:
        open_device(device, host=World().host())
    return caught.value


def test_a_port_that_is_not_there_is_said_with_those_that_are() -> None:
    error = refusal("uart:/dev/ttyNONE7")
    assert error.errno == errno.ENOENT
    assert str(error.strerror).startswith("there is no serial port /dev/ttyNONE7; there are: ")


def test_what_is_no_serial_port_is_refused() -> None:
    assert str(refusal("uart:/dev/null").strerror).startswith("/dev/null cannot be opened as a serial port: ")


def test_a_port_without_permission_says_which_group_to_join(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbid(*_: object, **__: object) -> None:
        raise serial.SerialException(errno.EACCES, "could not open port: Permission denied")

    monkeypatch.setattr(serial, "Serial", forbid)  # Root may open anything.
    with terminal() as (path, _):
        error = refusal(f"uart:{path}")
    assert error.errno == errno.EACCES
    assert str(error.strerror).startswith(f"no permission to use {path}: join the group ")


def test_a_port_that_another_program_has_is_refused() -> None:
    with terminal() as (path, _):
        port = SerialPort(path)
        assert refusal(f"uart:{path}").strerror == f"another program uses {path}: end it first"
        port.close()


@pytest.mark.parametrize("text", ["", ",baud=9600"])
def test_a_device_without_its_port_is_refused(text: str) -> None:
    assert refusal(f"uart:{text}").strerror == "uart: say which port, such as uart:/dev/ttyUSB0"


@pytest.mark.parametrize("option", ["baud=0", "baud=fast", "phy=32", "speed=10", "parity=1", ""])
def test_an_impossible_option_is_refused_with_those_that_there_are(option: str) -> None:
    said = str(refusal(f"uart:/dev/x,{option}").strerror)
    assert said.startswith(f"uart:/dev/x,{option}: {option!r} is no option: baud=N")


def test_a_real_card_has_no_waves() -> None:
    with pytest.raises(BridgeError, match="only a simulated one has"):
        open_device("uart:/dev/x", host=World().host(), waves=True)


def test_silence_says_what_to_look_at() -> None:
    with terminal() as (path, _):
        error = refusal(f"uart:{path}")
    assert error.errno == errno.ETIMEDOUT
    assert str(error.strerror).startswith(f"{path}, 3,000,000 baud: the card does not answer: has it power")


def test_what_speaks_otherwise_is_no_card_of_ours() -> None:
    with terminal(lambda end: end.write(b"login: ~x")) as (path, _):
        error = refusal(f"uart:{path}")
    assert f"{path}, 3,000,000 baud: no card of ours answers, or one with another baud rate: " in str(error.strerror)


class Card:
    """A card that says HELLO, with some version."""

    def __init__(self, version: int) -> None:
        self._version = version
        self._link: Link | None = None

    def __call__(self, end: FarEnd) -> None:
        if self._link is None:
            self._link = Link(end, self._receive, governs=False)
        self._link.pump()

    def _receive(self, kind: BridgeKind, octets: bytes) -> None:
        assert self._link is not None
        if kind == BridgeKind.RESET:
            self._link.restart()
            nonce = int.from_bytes(octets, "little")
            hello = BRIDGE_HELLO.pack(nonce=nonce, version=self._version, memory_octets=32_768, window_octets=2048)
            self._link.send_unnumbered(BridgeKind.HELLO, hello)


def test_another_version_of_the_protocol_is_refused() -> None:
    with terminal(Card(BRIDGE_VERSION + 1)) as (path, _):
        error = refusal(f"uart:{path}")
    assert error.errno == errno.EPROTO
    assert f"version {BRIDGE_VERSION + 1} of the bridge's protocol, and we version {BRIDGE_VERSION}: build" in str(
        error.strerror
    )


def test_a_port_that_goes_is_said_and_time_is_the_clock() -> None:
    with terminal(Card(BRIDGE_VERSION)) as (path, far):
        world = World()
        nic = open_device(f"uart:{path}", host=world.host())
        began_ns, before_ns = time.monotonic_ns(), world.now_ns
        world.advance(50_000_000)
        assert world.now_ns - before_ns == 50_000_000
        assert time.monotonic_ns() - began_ns >= 50_000_000
        nic.close()
    far, near = os.openpty()
    path = os.ttyname(near)
    port = SerialPort(path)
    os.close(near)
    os.close(far)
    with pytest.raises(BridgeError, match=f"{path} has gone: was its cable pulled"):
        port.read()
    with pytest.raises(BridgeError, match="has gone"):
        port.write(b"x")
    port.close()
