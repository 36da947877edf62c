"""The switch: who gets which frame, and when."""

import pytest

from hardwire.sim.frame import Frame, on_wire
from hardwire.sim.link import wire_time_fs
from hardwire.sim.switch import Switch
from hardwire.sim.world import FS_PER_NS, World

BROADCAST = b"\xff" * 6
A, B, C = (bytes((2, 0, 0, 0, 0, number)) for number in (1, 2, 3))


def make(**options: int) -> tuple[World, Switch, list[list[Frame]]]:
    world = World()
    switch = Switch(world, ports=3, **options)
    out: list[list[Frame]] = [[] for _ in switch.ports]
    for port, frames in zip(switch.ports, out, strict=True):
        port.on_sent = frames.extend
        port.set_link(True)
    return world, switch, out


def send(switch: Switch, port: int, to: bytes, source: bytes, *, advance_ns: int = 20_000) -> None:
    octets = to + source + bytes(48)
    switch.ports[port].receive(octets, on_wire(octets)[-4:])
    switch.world.advance(advance_ns)


def counts(out: list[list[Frame]]) -> list[int]:
    numbers = [len(frames) for frames in out]
    for frames in out:
        frames.clear()
    return numbers


def test_unknown_is_flooded_and_known_goes_to_one_port() -> None:
    _, switch, out = make()
    send(switch, 0, B, A)
    assert counts(out) == [0, 1, 1]
    send(switch, 1, A, B)
    assert counts(out) == [1, 0, 0]
    send(switch, 0, B, A)
    assert counts(out) == [0, 1, 0]
    send(switch, 0, BROADCAST, A)
    send(switch, 0, bytes.fromhex("01005e000001"), A)
    assert counts(out) == [0, 2, 2]
    assert switch.ports[0].counters.flooded == 3


def test_address_moves_and_ages() -> None:
    world, switch, out = make()
    send(switch, 0, B, A)
    send(switch, 1, B, A)
    assert switch.port_of(A) is switch.ports[1]
    counts(out)
    world.advance(300_000_000_000 - 100_000)
    assert switch.port_of(A) is switch.ports[1]
    world.advance(100_000)
    assert switch.port_of(A) is None
    send(switch, 2, A, C)
    assert counts(out) == [1, 1, 0]


def test_frames_that_end_at_the_switch() -> None:
    _, switch, out = make()
    send(switch, 0, B, A)
    send(switch, 0, A, B)  # Behind the same port.
    send(switch, 0, bytes.fromhex("0180c200000e"), A)
    switch.ports[0].receive(bytes(60), bytes(4))
    switch.ports[0].receive(bytes(5), on_wire(bytes(5))[-4:])
    send(switch, 0, BROADCAST, BROADCAST)
    counters = switch.ports[0].counters
    assert counts(out) == [0, 2, 2]
    assert (counters.received, counters.filtered, counters.bad, counters.forwarded) == (6, 2, 2, 2)
    assert switch.port_of(BROADCAST) is None


def test_port_without_a_partner_gets_nothing_and_is_forgotten() -> None:
    _, switch, out = make()
    send(switch, 2, A, C)
    switch.ports[2].set_link(False)
    counts(out)
    send(switch, 0, C, A)
    assert counts(out) == [0, 1, 0]


def test_time_through_the_switch() -> None:
    world, switch, out = make(latency_ns=500)
    sent_fs = world.now_fs
    send(switch, 0, B, A)
    assert out[1][0].time_fs == sent_fs + wire_time_fs(64) + 500 * FS_PER_NS


def test_full_queue_drops_and_counts() -> None:
    world, switch, out = make(queue_frames=4)
    send(switch, 2, A, C)
    counts(out)
    for _ in range(10):
        for port, source in ((0, A), (1, B)):
            send(switch, port, C, source, advance_ns=0)
        world.advance(wire_time_fs(64) // FS_PER_NS)
    world.advance(100_000)
    counters = switch.ports[2].counters
    assert counters.sent == len(out[2])
    assert counters.dropped > 0
    assert counters.sent + counters.dropped == 20


@pytest.mark.parametrize(
    ("options", "error"),
    [({"ports": 1}, "ports must be at least 2, not 1"), ({"ports": 2, "queue_frames": 0}, "impossible: .*")],
)
def test_impossible_switches_are_refused(options: dict[str, int], error: str) -> None:
    with pytest.raises(ValueError, match=f"^{error}$"):
        Switch(World(), **options)
