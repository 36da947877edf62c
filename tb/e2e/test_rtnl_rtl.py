"""Two that configure a device at the same time, while it sends."""

import itertools
from collections.abc import Callable

import pytest

from hardwire.sim.machine import Machine, Setup
from hardwire.sim.world import World
from hardwire.stack.core.dev_register import dev_close, dev_open, unregister_netdevice

CONFIGURE: dict[str, Callable[[Machine], None]] = {
    "close": lambda machine: dev_close(machine.dev),
    "open": lambda machine: dev_open(machine.dev),
    "ring16": lambda machine: machine.dev.ethtool_ops.set_ringparam(16),
    "ring64": lambda machine: machine.dev.ethtool_ops.set_ringparam(64),
    "unregister": lambda machine: unregister_netdevice(machine.dev),
}


@pytest.mark.parametrize(
    ("first", "second"),
    [pair for pair in itertools.product(("close", "ring16"), CONFIGURE) if pair != ("ring16", "ring16")],
)
def test_they_take_turns_and_no_frame_is_lost(first: str, second: str) -> None:
    machine = Machine(World(seed=1), Setup(neighbours={"10.0.0.2": "02:00:00:00:00:02"}, mtu=9000))
    world, sock, taken, turns = machine.world, machine.net.socket(), 0, []
    machine.dev.arp_parms.mcast_probes = 0  # Nobody asks for an address when the neighbour goes with the device.
    machine.dev.tx[0].dql.limit = machine.dev.tx[0].dql.min_limit = 1 << 20

    def send() -> None:
        nonlocal taken
        for _ in range(40):
            try:
                sock.sendto(bytes(5000), ("10.0.0.2", 9))
            except OSError:  # No route any more.
                return
            taken += 1

    def configure(name: str, delay_ns: int) -> None:
        world.sleep(delay_ns)
        CONFIGURE[name](machine)
        turns.append(name)

    world.spawn(send)
    world.spawn(configure, first, 30_000)
    world.spawn(configure, second, 60_000)
    world.run()
    world.drain()
    assert turns == [first, second]
    frames = machine.nic.take_frames()
    assert all(frame.ok for frame in frames)
    assert len(frames) + sum(machine.kernel.drop_counts().values()) == taken
    assert sock.sk.sk_wmem_alloc == 0
    assert not machine.nic.take_violations()
