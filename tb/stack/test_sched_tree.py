"""Trees of qdiscs: lengths and backlogs are those of what is inside, come what may; nothing is lost in silence."""

from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardwire.stack.core.dev_queue import netif_tx_wake_queue
from hardwire.stack.core.dev_register import dev_close, dev_open, unregister_netdevice
from hardwire.stack.sched.cls_filter import filter_add
from hardwire.stack.sched.qdisc import Qdisc
from hardwire.stack.sched.sch_api import (
    gnet_stats,
    qdisc_add,
    qdisc_change,
    qdisc_del,
    qdisc_dump,
    qdisc_get,
    qdisc_replace,
    qdisc_set_default,
)
from hardwire.tb.bench import seed
from hardwire.tb.stack.inet_host import raises
from hardwire.tb.stack.qdisc_host import MS, QdiscHost

KINDS: dict[str, dict[str, Any]] = {
    "pfifo": {"limit": 5},
    "pfifo_fast": {},
    "pfifo_head_drop": {"limit": 3},
    "bfifo": {"limit": 700},
    "tbf": {"rate64": 50_000, "burst": 1600, "limit": 2000},
    "prio": {"bands": 3},
    "sfq": {"limit": 8, "depth": 4, "perturb_period": 1},
    "codel": {"limit": 6, "target": 1000, "interval": 10_000},
    "fq_codel": {"limit": 8, "target": 1000, "interval": 10_000, "drop_batch_size": 2},
    "netem": {"limit": 6, "latency64": 3 * MS, "jitter64": MS, "loss": 1 << 28, "gap": 4, "reorder": 1 << 31},
}
CLASSES = {"tbf": 1, "prio": 3, "netem": 1}


def inside(sch: Qdisc) -> list[int]:
    """Return the lengths of the packets that are in a qdisc and those below it."""
    found = [skb.len for skb in (*sch.q, *sch.gso_skb)]
    kind = sch.ops.id
    if kind == "pfifo_fast":
        found += [skb.len for band in sch.priv for skb in band]
    elif kind == "sfq":
        found += [skb.len for slot in sch.priv.flows for skb in slot.queue]
    elif kind == "codel":
        found += [skb.len for skb, _ in sch.priv.queue]
    elif kind == "fq_codel":
        found += [skb.len for flow in sch.priv.flows.values() for skb, _ in flow.queue]
    elif kind == "netem":
        found += [skb.len for _, skb in sch.priv.tfifo]
    for child in children(sch):
        found += inside(child)
    return found


def children(sch: Qdisc) -> list[Qdisc]:
    ops = sch.ops.cl_ops
    if ops is None:
        return []
    return [leaf for cl in ops.walk(sch) if (leaf := ops.leaf(sch, cl)) is not None]


def check(sch: Qdisc) -> None:
    lengths = inside(sch)
    assert (sch.qlen, sch.backlog_octets) == (len(lengths), sum(lengths)), sch
    for child in children(sch):
        check(child)


SENDS = st.tuples(
    st.just("send"), st.integers(1, 4), st.integers(60, 400), st.sampled_from((0, 1, 6, 0x10001, 0x10003))
)
STEPS = st.one_of(
    SENDS,
    SENDS,
    SENDS,
    st.tuples(st.sampled_from(("stop", "wake", "busy", "idle", "down"))),
    st.tuples(st.just("wait"), st.integers(0, 20 * MS)),
    st.tuples(st.just("qdisc"), st.integers(0, 8), st.integers(0, 2), st.sampled_from(sorted(KINDS))),
    st.tuples(st.just("end"), st.integers(0, 8)),
    st.tuples(st.just("limit"), st.integers(0, 8), st.integers(0, 4)),
)


class Tree:
    """A host that does such steps."""

    def __init__(self) -> None:
        self.host = QdiscHost("prio")
        self.sent = 0

    def pick(self, number: int) -> Qdisc:
        known = list(qdisc_dump(self.host.dev))
        return known[number % len(known)]

    def do(self, step: tuple) -> None:
        host, dev = self.host, self.host.dev
        match step:
            case ("send", flow, length, priority, count):
                self.sent += count
                for more in range(count):
                    host.send(flow, length + more, priority)
            case ("stop",):
                host.stop()
            case ("wake",):
                host.wake()
            case ("busy",):
                dev.busy = True
            case ("idle",):
                dev.busy = False
            case ("down",):
                dev_close(dev)
                dev_open(dev)
            case ("wait", ns):
                host.platform.advance(ns)
            case ("qdisc", number, cl, kind):
                above = self.pick(number)
                if above.handle and above.ops.id in CLASSES:
                    place = above.handle | cl % CLASSES[above.ops.id] + 1
                    there = next((sch for sch in qdisc_dump(dev) if sch.parent == place), None)
                    if there is not None and there.ops.id == kind and there.ops.change is None:
                        qdisc_del(dev, parent=place)
                    qdisc_replace(dev, kind, parent=place, **KINDS[kind])
            case ("end", number):
                sch = self.pick(number)
                if sch is not dev.qdisc:
                    qdisc_del(dev, parent=sch.parent, handle=sch.handle)
            case ("limit", number, limit):
                sch = self.pick(number)
                if sch.ops.id in ("pfifo", "codel", "fq_codel", "bfifo"):
                    qdisc_change(dev, parent=sch.parent, limit=limit * (100 if sch.ops.id == "bfifo" else 1))

    def check(self) -> None:
        check(self.host.root)
        out = [int.from_bytes(octets[42:46], "big") for octets in self.host.dev.frames]
        assert len(out) == len(set(out))
        dropped = sum(self.host.kernel.drop_counts().values())
        assert set(self.host.kernel.drop_counts()) <= {"QDISC_DROP"}
        assert self.sent == len(out) + dropped + self.host.root.qlen


def run(kinds: list[str], steps: list[tuple]) -> None:
    """Do steps with a stopped device and such qdiscs in its bands."""
    tree = Tree()
    tree.host.stop()
    for band, kind in enumerate(kinds, 1):
        qdisc_add(tree.host.dev, kind, parent=0x10000 | band, **KINDS[kind])
    for step in steps:
        tree.do(step)
        tree.check()
    qdisc_del(tree.host.dev)
    assert list(qdisc_dump(tree.host.dev, invisible=True)) == [tree.host.dev.qdisc]
    assert tree.sent == len(tree.host.dev.frames) + sum(tree.host.kernel.drop_counts().values())
    assert not tree.host.platform.buffers


BANDS = st.lists(st.sampled_from(sorted(KINDS)), min_size=3, max_size=3)


@settings(max_examples=100, deadline=None)
@given(BANDS, st.lists(STEPS, max_size=40))
def test_lengths_and_backlogs_are_those_of_what_is_inside(kinds, steps):
    run(kinds, steps)


@pytest.mark.parametrize("runs", [6, pytest.param(300, marks=[pytest.mark.soak, pytest.mark.timeout(0)])])
def test_they_are_in_long_runs_with_full_queues(runs):
    number = seed()
    print("seed", number)
    rng = Random(number)
    for _ in range(runs):
        steps: list[tuple] = []
        for _ in range(80):
            priority = rng.choice((0, 1, 6, 0x10001, 0x10003))
            send = ("send", rng.randint(1, 4), rng.randint(60, 400), priority, rng.randint(1, 8))
            rare = [(word,) for word in ("stop", "wake", "busy", "idle", "down")]
            rare.append(("qdisc", rng.randint(0, 8), rng.randint(0, 2), rng.choice(sorted(KINDS))))
            rare += [("end", rng.randint(0, 8)), ("limit", rng.randint(0, 8), rng.randint(0, 4))]
            waits = [("wait", rng.randint(0, 200 * MS)), ("stop",), ("wake",)]
            steps.append(rng.choices([send, rng.choice(waits), rng.choice(rare)], (10, 4, 2))[0])
        run(rng.choices(sorted(KINDS), k=3), steps)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_device_that_goes_down_drops_all_with_the_reason(kind):
    host = QdiscHost(kind, **(KINDS[kind] | ({"loss": 0, "gap": 0} if kind == "netem" else {})))
    host.stop()
    for flow in range(1, 4):
        host.send(flow)
    held = host.root.qlen
    assert held >= 2
    dropped = host.kernel.drop_counts().get("QDISC_DROP", 0)
    dev_close(host.dev)
    assert host.kernel.drop_counts() == {"QDISC_DROP": dropped + held}
    assert (host.root.qlen, host.root.backlog_octets, inside(host.root)) == (0, 0, [])
    assert not host.platform.buffers


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_device_that_is_unregistered_leaves_no_timer(kind):
    host = QdiscHost(kind, **KINDS[kind])
    for _ in range(10):
        host.send()
    unregister_netdevice(host.dev)
    host.platform.advance(MS)
    assert not [timer for _, _, timer in host.platform.timers if timer.callback is not None]
    assert not host.platform.buffers


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_what_a_qdisc_shows_it_takes_again(kind):
    host = QdiscHost(kind, **KINDS[kind])
    shown = host.root.ops.dump(host.root)
    again = QdiscHost(kind, **({} if kind == "pfifo_fast" else shown))
    # Linux counts CoDel's times in units of 1,024 ns, and shows them rounded down.
    assert again.root.ops.dump(again.root) == {
        name: value - 1 if name in ("target", "interval") else value for name, value in shown.items()
    }
    for layout in host.root.ops.layouts():
        if hasattr(layout, "pack"):
            given = {name: shown[name] for name, _ in layout.fields if name in shown}
            assert layout.unpack(layout.pack(given) + b"more").items() >= given.items()


def test_a_device_with_queues_has_a_qdisc_for_each_under_mq():
    host = QdiscHost(queues=4)
    assert host.root.ops.id == "mq"
    assert [(sch.ops.id, sch.parent) for sch in qdisc_dump(host.dev)][1:] == [("pfifo_fast", n) for n in (1, 2, 3, 4)]
    for flow in range(1, 21):
        host.send(flow)
    assert gnet_stats(host.root)["packets"] == 20
    assert sorted(host.came()) == list(range(1, 21))
    assert len(set(host.dev.queues)) > 1


def test_one_root_for_several_queues_sends_to_that_of_each_flow():
    host = QdiscHost("prio", queues=4)
    for flow in range(1, 21):
        host.send(flow)
    before = dict(zip(host.came(), host.dev.queues, strict=True))
    assert len(set(before.values())) > 1
    for txq in host.dev.tx:
        txq.state |= 1
    numbers = [host.number + n for n in range(1, 21)]
    for flow in range(1, 21):
        host.send(flow)
    for txq in host.dev.tx:
        txq.state &= ~1
    host.send(1)
    host.platform.advance(MS)
    assert sorted(host.came()) == [*numbers, host.number]
    assert host.dev.queues[20:40] == [before[number - 20] for number in numbers]
    assert host.root.qlen == 0


def test_one_root_for_several_queues_keeps_frames_from_a_queue_that_is_stopped():
    host = QdiscHost("prio", queues=4)
    flow = next(flow for flow in range(1, 20) if (host.send(flow), host.dev.queues[-1])[1])
    host.came()
    txq = host.dev.tx[host.dev.queues[-1]]
    txq.state |= 1
    host.send(flow)
    assert (host.came(), host.root.qlen) == ([], 1)
    netif_tx_wake_queue(txq)
    host.platform.advance(MS)
    assert (host.came(), host.root.qlen) == ([host.number], 0)


def test_the_default_qdisc_is_chosen_by_name():
    host = QdiscHost(queues=2)
    with raises(2):
        qdisc_set_default(host.kernel, "nonsense")
    qdisc_set_default(host.kernel, "fq_codel")
    qdisc_add(host.dev, "pfifo", handle=0x10000)
    qdisc_del(host.dev)
    assert [sch.ops.id for sch in qdisc_dump(host.dev)] == ["mq", "fq_codel", "fq_codel"]


def test_a_qdisc_is_found_by_its_handle_and_by_its_place():
    host = QdiscHost("prio")
    child = qdisc_add(host.dev, "pfifo", parent=0x10002, handle=0x20000)
    assert qdisc_get(host.dev, handle=0x20000) is qdisc_get(host.dev, parent=0x10002) is child
    with raises(22):
        qdisc_get(host.dev, "bfifo", handle=0x20000)
    with raises(22):
        qdisc_get(host.dev, parent=0x10002, handle=0x30000)
    with raises(2):
        qdisc_get(host.dev, handle=0x30000)


def test_filters_go_with_their_qdisc():
    host = QdiscHost("prio")
    filter_add(host.dev, "fw", parent=0x10000, handle=3, classid=0x10001)
    block = host.root.priv.block
    qdisc_del(host.dev)
    assert block.chain == []
