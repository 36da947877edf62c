"""The tracer: which calls into the stack it keeps, how they nest, and that tasks do not get into each other's way."""

from types import SimpleNamespace

from hardwire.sim.trace import Call, Tracer
from hardwire.sim.world import FS_PER_NS, World
from hardwire.stack.core.dev_register import NetdevEvent, call_netdevice_notifiers
from hardwire.stack.wire.address import ipv4_to_text, mac_to_text


def shape(call: Call) -> list[str]:
    return [depth * " " + inner.name for depth, inner in call.walk()]


def test_calls_into_the_stack_nest_and_others_are_left_out() -> None:
    def notified(event: NetdevEvent, dev: object) -> None:
        mac_to_text(bytes(6))
        ipv4_to_text(0)

    dev = SimpleNamespace(net=SimpleNamespace(netdev_chain=[notified]))
    with Tracer(lambda: 5) as tracer:
        len("not ours")
        call_netdevice_notifiers(NetdevEvent.UP, dev)
    mac_to_text(bytes(6))
    assert [shape(call) for call in tracer.roots] == [["call_netdevice_notifiers", " mac_to_text", " ipv4_to_text"]]
    assert (tracer.roots[0].module, tracer.roots[0].begin_fs) == ("core.netdev_event", 5)


def test_tasks_that_sleep_inside_the_stack_keep_their_own_calls() -> None:
    world = World()

    def program(sleep_ns: int) -> None:
        def notified(event: NetdevEvent, dev: object) -> None:
            world.sleep(sleep_ns)
            ipv4_to_text(sleep_ns)

        call_netdevice_notifiers(NetdevEvent.UP, SimpleNamespace(net=SimpleNamespace(netdev_chain=[notified])))

    with Tracer(lambda: world.now_fs) as tracer:
        world.spawn(program, 300)
        world.spawn(program, 200)
        world.run()
    assert [shape(call) for call in tracer.roots] == [["call_netdevice_notifiers", " ipv4_to_text"]] * 2
    assert [call.begin_fs for call in tracer.roots] == [0, 0]
    assert [call.end_fs for call in tracer.roots] == [300 * FS_PER_NS, 200 * FS_PER_NS]
    assert [call.calls[0].begin_fs for call in tracer.roots] == [300 * FS_PER_NS, 200 * FS_PER_NS]
