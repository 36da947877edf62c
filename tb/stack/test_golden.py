"""Our order of calls against that of a real kernel; the traces are facts from shared/golden."""

from dataclasses import replace
from pathlib import Path

import pytest

from hardwire.sim.trace import Call, Tracer
from hardwire.stack.core.dev import dev_queue_xmit
from hardwire.stack.iproute import addr_add, neigh_add, neigh_del
from hardwire.stack.sched.sch_api import qdisc_replace
from hardwire.tb.stack.driver_host import Host
from hardwire.tb.stack.golden import FILTER_17B, RULE_FILES, Node, Rules, compare, read_golden

RULES = Rules.read()
RECEIVE = Rules.read("receive")
STEPS = Rules.read("steps")
COPIES = Path(__file__).parent / "golden"
SHARED = Path(__file__).parents[3] / "shared" / "golden"


def call(name: str, *calls: Call) -> Call:
    return Call(name, "test", 0, 0, list(calls))


@pytest.mark.parametrize("copy", sorted(COPIES.glob("[0-9]*.txt")), ids=lambda path: path.name[:3])
def test_the_copies_are_the_shared_traces(copy):
    if not SHARED.exists():
        pytest.skip("no shared/golden beside the checkout")
    assert copy.read_text() == (SHARED / copy.name).read_text()


def test_no_function_of_the_mission_map_is_ignored():
    mission = SHARED.parent / "MISSION-MAP.md"
    if not mission.exists():
        pytest.skip("no shared/MISSION-MAP.md beside the checkout")
    text = mission.read_text()
    every = Rules.read(*RULE_FILES)
    assert [name for name in every.ignore | every.cut if f"`{name}`" in text] == []


def test_a_missing_call_a_wrong_order_and_a_wrong_nesting_are_found():
    golden = [Node("a", [Node("b", [Node("skb_put")]), Node("c")])]
    compare(golden, [call("more", call("a", call("x", call("b")), call("y"), call("c")))], RULES)
    for wrong in (
        call("a", call("b")),
        call("a", call("c"), call("b")),
        call("a", call("b", call("c"))),
        call("a", call("b"), call("c"), call("c")),
    ):
        with pytest.raises(AssertionError, match="the call orders differ"):
            compare(golden, [wrong], RULES)


def test_the_first_difference_is_shown_side_by_side():
    golden = [Node("a", [Node("b"), Node("c")])]
    with pytest.raises(AssertionError) as caught:
        compare(golden, [call("a", call("c"), call("b"))], RULES)
    assert str(caught.value).splitlines()[1:] == [
        "theirs    ours",
        "a         a",
        "  b     |   c",
        "  c     |   b",
    ]


def test_each_rule_has_a_reason():
    for rules in RULE_FILES:
        Rules.read(rules)


class Full:
    """A host whose ring was filled by sendto() after sendto(), each traced; then the device works, traced."""

    def __init__(self) -> None:
        host = Host(64)
        self.traces: list[list[Call]] = []
        for number in range(60):
            skb = host.skb(b"%d" % number)
            with Tracer(lambda: 0) as tracer:
                dev_queue_xmit(skb)
            self.traces.append(tracer.roots)
        self.stopped = next(n for n in range(60) if host.ring.skbs[n] is None)
        with Tracer(lambda: 0) as tracer:
            host.device.run()
        self.wake = tracer.roots
        self.host = host


@pytest.fixture(scope="module")
def full() -> Full:
    return Full()


@pytest.mark.parametrize(("section", "after"), [("sendto 2", -1), ("sendto 30", 0), ("sendto 31", 1)])
def test_a_full_ring_is_met_in_the_steps_of_17b(full, section, after):
    """The last frame that fits, the first that does not (bypasses, is requeued), and the next (is queued)."""
    compare(read_golden("17b")[section], full.traces[full.stopped + after], STEPS, FILTER_17B)


def test_a_wake_goes_in_the_steps_of_17b(full):
    """NAPI cleans and wakes the queue; net_tx_action sends the requeued frame, then the others in a batch."""
    (softirq,) = (node for node in read_golden("17b")["sendto 55"] if len(node.calls) > 2)
    # Their interrupts for the frames sent here came at once; in ours no time passes meanwhile.
    rules = replace(STEPS, cut=frozenset({"e1000_intr"}))
    softirq.calls = softirq.calls[:2]
    assert [node.name for node in softirq.calls] == ["net_rx_action", "net_tx_action"]
    mine = [call for root in full.wake for _, call in root.walk() if call.name == "__do_softirq"]
    compare([softirq], mine, rules, set(FILTER_17B) - {"e1000_intr"})


class Sender:
    """A host with an address, a permanent neighbour and a bound socket that has sent twice, as in the traces."""

    def __init__(self, local: str = "10.0.0.1", peer: str = "10.0.0.2") -> None:
        self.host = Host()
        addr_add(self.host.dev, "10.0.0.1/24")
        neigh_add(self.host.dev, "10.0.0.2", "02:00:00:00:00:02")
        self.peer = peer
        self.socket = self.host.kernel.init_net.socket()
        self.socket.bind((local, 5000))
        for _ in range(2):
            self.send(bytes(32))
            self.finish()

    def send(self, payload: bytes) -> list[Call]:
        """Send a datagram and return the calls that it made."""
        with Tracer(lambda: 0) as tracer:
            assert self.socket.sendto(payload, (self.peer, 9000)) == len(payload)
        return [call for call in tracer.roots for _, call in call.walk() if call.name == "__x64_sys_sendto"]

    def finish(self) -> None:
        """Let the device send what it has, and some time pass."""
        self.host.device.run()
        self.host.platform.advance(1_000_000)


def test_sendto_takes_the_path_of_01b():
    sender = Sender()
    mib = dict(sender.host.kernel.init_net.mib)
    compare(read_golden("01b")["A: sendto 32 bytes"], sender.send(bytes(32)), RULES)
    after = sender.host.kernel.init_net.mib
    assert {key: after[key] - mib.get(key, 0) for key in ("Ip:OutRequests", "Udp:OutDatagrams", "IpExt:OutOctets")} == {
        "Ip:OutRequests": 1,
        "Udp:OutDatagrams": 1,
        "IpExt:OutOctets": 60,
    }


def test_sendto_to_a_full_qdisc_takes_the_path_of_16b():
    sender = Sender()
    qdisc_replace(sender.host.dev, "tbf", rate_bps=8_000, burst=1600, limit=2200)
    for _ in range(3):
        sender.send(bytes(1000))
    mib = dict(sender.host.kernel.init_net.mib)
    compare(read_golden("16b")[""], sender.send(bytes(1000)), RULES)
    after = sender.host.kernel.init_net.mib
    changed = {key: after[key] - mib.get(key, 0) for key in after if after[key] != mib.get(key, 0)}
    expected = {"Ip:OutRequests": 1, "Ip:OutDiscards": 1, "Udp:SndbufErrors": 1, "IpExt:OutOctets": 1028}
    assert {key: value for key, value in changed.items() if not key.startswith("Rt:")} == expected


def test_sendto_through_a_token_bucket_takes_the_path_of_16a():
    sender = Sender()
    qdisc_replace(sender.host.dev, "tbf", rate_bps=400_000, burst=1600, limit=100_000)
    # Room for one frame: as veth, which has no byte queue limits, it gets no batches and is not stopped either.
    dql = sender.host.ring.txq.dql
    dql.limit = dql.min_limit = dql.max_limit = 1042
    sections = read_golden("16a")
    for number in (1, 2):
        compare(sections[f"A: sendto 1000 bytes ({number})"], sender.send(bytes(1000)), RULES)
    sender.host.device.run()
    with Tracer(lambda: 0) as tracer:
        sender.host.platform.advance(60_000_000)
    receive = replace(RULES, cut=RULES.cut | {"net_rx_action"})
    named = [
        call for call in tracer.roots for _, call in call.walk() if call.name in ("qdisc_watchdog", "__do_softirq")
    ]
    compare(sections["sleep 60 ms"], named, receive)


def test_sendto_to_ourselves_takes_the_path_of_14a():
    sender = Sender("127.0.0.1", "127.0.0.1")
    receiver = sender.host.kernel.init_net.socket()
    receiver.bind(("127.0.0.1", 9000))
    compare(read_golden("14a")["A: sendto 32 bytes"], sender.send(bytes(32)), RECEIVE)
    with Tracer(lambda: 0) as tracer:
        assert receiver.recvfrom(100) == (bytes(32), ("127.0.0.1", 5000))
    calls = [call for root in tracer.roots for _, call in root.walk() if call.name == "__x64_sys_recvfrom"]
    # Theirs looks into two queues, of which the second saves a lock; so runs of equal calls count as one.
    compare(read_golden("14a")["A: recvfrom"], calls, RECEIVE, ["udp_recvmsg"])


def test_a_datagram_in_fragments_takes_the_path_of_03c():
    sender = Sender()
    sender.socket.connect(("10.0.0.2", 9000))
    for _ in range(2):
        with Tracer(lambda: 0) as tracer:
            sender.socket.send(bytes(4000))
        sender.finish()
    calls = [call for root in tracer.roots for _, call in root.walk() if call.name == "__x64_sys_sendto"]
    compare(read_golden("03c")["A: send 4000 bytes"], calls, RULES)


def test_sendto_an_unknown_neighbour_takes_the_path_of_02():
    sender = Sender()
    neigh_del(sender.host.dev, "10.0.0.2")
    # Routing domains (VRF) are not there, and cloning is one function here.
    rules = replace(RULES, ignore=RULES.ignore | {"l3mdev_fib_table_rcu", "__skb_clone"})
    compare(read_golden("02")["A: sendto 32 bytes"], sender.send(bytes(32)), rules)
