"""sendto() on the gateware in the reference kernel's order of calls: traces 01b, 16b and the steps of 17b."""

from dataclasses import replace

import pytest

from hardwire.sim.machine import Machine, Setup
from hardwire.sim.trace import Call, Tracer
from hardwire.sim.world import World
from hardwire.stack.sched.sch_api import qdisc_replace
from hardwire.tb.stack.golden import FILTER_17B, Rules, compare, read_golden

RULES = Rules.read()
STEPS = Rules.read("steps")


class Sender:
    """A machine with a neighbour, whose bound socket has sent twice, as in the traces."""

    def __init__(self, ring_log2: int = 8) -> None:
        setup = Setup(neighbours={"10.0.0.2": "02:00:00:00:00:02"}, ring_log2=ring_log2)
        self.machine = Machine(World(), setup)
        self.socket = self.machine.net.socket()
        self.socket.bind(("10.0.0.1", 5000))
        for _ in range(2):
            self.send(bytes(32))
            self.machine.world.advance(1_000_000)
        self.machine.nic.take_frames()

    def send(self, payload: bytes) -> list[Call]:
        """Send a datagram and return the calls that it made."""
        with Tracer(lambda: self.machine.world.now_fs) as tracer:
            assert self.socket.sendto(payload, ("10.0.0.2", 9000)) == len(payload)
        return [call for root in tracer.roots for _, call in root.walk() if call.name == "__x64_sys_sendto"]


def test_sendto_takes_the_path_of_01b() -> None:
    sender = Sender()
    compare(read_golden("01b")["A: sendto 32 bytes"], sender.send(bytes(32)), RULES)
    sender.machine.world.advance(1_000_000)
    assert len(sender.machine.nic.take_frames()) == 1


def test_sendto_to_a_full_qdisc_takes_the_path_of_16b() -> None:
    sender = Sender()
    qdisc_replace(sender.machine.dev, "tbf", rate_bps=8_000, burst=1600, limit=2200)
    for _ in range(3):
        sender.send(bytes(1000))
        sender.machine.world.advance(1_000_000)
    compare(read_golden("16b")[""], sender.send(bytes(1000)), RULES)


@pytest.fixture(scope="module")
def full() -> tuple[list[list[Call]], int, list[Call], Sender]:
    """Fill a ring of 64 by one sendto() after the other, then let the device work; return what was traced."""
    sender = Sender(ring_log2=6)
    machine = sender.machine
    ring = machine.dev.priv.rings[0]
    ring.txq.dql.limit = ring.txq.dql.min_limit = 1 << 20
    # All at once, so that the ring is empty and the queue runs when the last interrupt comes.
    machine.dev.ethtool_ops.set_coalesce(1000, 46)
    before = ring.next_to_use
    traces = [sender.send(bytes(100)) for _ in range(60)]
    stopped = (ring.next_to_use - before) & ring.mask
    with Tracer(lambda: machine.world.now_fs) as tracer:
        machine.world.advance(3_000_000)
    assert len(machine.nic.take_frames()) == 60
    return traces, stopped, tracer.roots, sender


@pytest.mark.parametrize(("section", "after"), [("sendto 2", -1), ("sendto 30", 0), ("sendto 31", 1)])
def test_a_full_ring_is_met_in_the_steps_of_17b(full, section: str, after: int) -> None:
    """The last frame that fits, the first that does not (bypasses, is requeued), and the next (is queued)."""
    traces, stopped, _, _ = full
    compare(read_golden("17b")[section], traces[stopped + after], STEPS, FILTER_17B)


def test_a_wake_goes_in_the_steps_of_17b(full) -> None:
    """NAPI cleans and wakes the queue; net_tx_action sends the requeued frame, then the others in a batch."""
    (softirq,) = (node for node in read_golden("17b")["sendto 55"] if len(node.calls) > 2)
    # Their interrupts for the frames sent here came at once; ours come when the device has sent them.
    rules = replace(STEPS, cut=frozenset({"e1000_intr"}))
    softirq.calls = softirq.calls[:2]
    mine = [call for root in full[2] for _, call in root.walk() if call.name == "__do_softirq"]
    compare([softirq], mine[:1], rules, set(FILTER_17B) - {"e1000_intr"})
