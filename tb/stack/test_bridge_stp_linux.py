"""The spanning tree with a real Linux bridge: the same states and messages for the same messages, and a mixed loop."""

import json
import os
import random
import time
from dataclasses import replace

import pytest

from hardwire.stack.bridge.br_netlink import br_changelink, br_setport
from hardwire.stack.bridge.br_netlink_attrs import IflaBr, IflaBrport
from hardwire.stack.bridge.br_private import br_port_get_rcu
from hardwire.stack.core.dev_register import dev_close
from hardwire.stack.wire.bpdu import ConfigBpdu, emit_tcn
from hardwire.tb.bench import seed
from hardwire.tb.stack.bridged import BRIDGE_MAC, OurBridge, RealBridge, port_mac
from hardwire.tb.stack.linux_peer import can_make_namespaces

pytestmark = pytest.mark.skipif(not can_make_namespaces(), reason="needs root, /dev/net/tun and ip(8)")

PORTS = 3
QUIET_S = 0.3
GROUP = bytes.fromhex("0180c2000000")
WORDS = ("stp_state", "1", "hello_time", "1000", "max_age", "4000", "forward_delay", "3000")
SETTINGS = {IflaBr.STP_STATE: 1, IflaBr.HELLO_TIME: 1000, IflaBr.MAX_AGE: 4000, IflaBr.FORWARD_DELAY: 3000}
STATES = ["disabled", "listening", "learning", "forwarding", "blocking"]
OWN = b"\x80\0" + BRIDGE_MAC
IDS = [bytes((prio, 0)) + BRIDGE_MAC[:5] + bytes((last,)) for prio in (0x70, 0x80) for last in (0x0F, 0x10, 0x11)]


def frame(octets: bytes, source: bytes = bytes.fromhex("020000000099")) -> bytes:
    """Return a frame with a message."""
    octets = b"\x42\x42\x03" + octets
    return GROUP + source + len(octets).to_bytes(2, "big") + octets


def random_bpdu(rng: random.Random) -> bytes:
    """Return a message that may be better or worse than what is known."""
    if rng.random() < 0.1:
        return emit_tcn()
    bpdu = ConfigBpdu(
        topology_change=rng.random() < 0.3,
        topology_change_ack=rng.random() < 0.3,
        root=rng.choice(IDS),
        root_path_cost=rng.randrange(5),
        bridge_id=rng.choice(IDS),
        port_id=rng.choice((0x8001, 0x8002, 0x8003, 0x7001)),
        message_age=rng.choice((0, 0, 1, 256, 41 * 256)),
        max_age=40 * 256,
        hello_time=rng.choice((1, 2)) * 256,
        forward_delay=30 * 256,  # Nothing but the messages changes states during the test.
    )
    octets = bpdu.emit()
    return octets[: rng.randrange(4, 35)] if rng.random() < 0.05 else octets


def identifier(octets: bytes) -> str:
    """Return an identifier as ip(8) shows it."""
    return f"{octets[:2].hex()}." + ":".join(f"{octet:x}" for octet in octets[2:])


def their_state(real: RealBridge) -> list[object]:
    """Return what a real bridge and its ports think."""
    # What ip(8) 6.1 shows as the root is the bridge's own identifier.
    links, _, root = real.run("ip -j -d link; cat /sys/class/net/br0/bridge/root_id").partition("\n")
    known = {link["ifname"]: link["linkinfo"] for link in json.loads(links) if "linkinfo" in link}
    names = ("root_port", "root_path_cost", "topology_change", "topology_change_detected", "max_age")
    bridge = known["br0"]["info_data"]
    found: list[object] = [
        (identifier(bytes.fromhex(root.strip().replace(".", ""))), *(bridge[name] for name in names))
    ]
    names = ("state", "root_id", "bridge_id", "designated_cost", "designated_port")
    for number in range(PORTS):
        port = known[f"p{number}"]["info_slave_data"]
        found.append(tuple(port[name] for name in names))
    return found


def our_state(ours: OurBridge) -> list[object]:
    """Return what ours thinks, in the same words."""
    br = ours.dev.priv
    found: list[object] = [
        (
            identifier(br.designated_root),
            br.root_port,
            br.root_path_cost,
            int(br.topology_change),
            int(br.topology_change_detected),
            br.max_age * 100 // 250,
        )
    ]
    for dev in ours.ports:
        p = br_port_get_rcu(dev)
        root, bridge = identifier(p.designated_root), identifier(p.designated_bridge)
        found.append((STATES[p.state], root, bridge, p.designated_cost, p.designated_port))
    return found


def bpdus(frames: list[list[bytes]]) -> list[list[bytes]]:
    """Return the last message of each port, of each kind."""
    kinds: list[list[bytes]] = []
    for port in frames:
        last: dict[int, bytes] = {}
        for octets in port:
            if octets[:6] == GROUP:
                message = octets[17:]
                if message[3] == 0:
                    bpdu = ConfigBpdu.parse(message)
                    # Linux rounds the hold time up to whole seconds, and the message is older by that.
                    message = replace(bpdu, message_age=0).emit()
                last[message[3]] = octets[:17] + message
        kinds.append([last[kind] for kind in sorted(last)])
    return kinds


def keep_up(ours: OurBridge, start_ns: int) -> None:
    """Let our time go on to the real one, which was ``start_ns`` when ours was 0."""
    ours.platform.advance(max(time.monotonic_ns() - start_ns - ours.platform.time_ns, 0))


def sent_by_both(
    ours: OurBridge, real: RealBridge, start_ns: int, seconds: float
) -> tuple[list[list[bytes]], list[list[bytes]]]:
    """Return what each sends in that time, and on until neither has sent for a while.

    So no timer ends just then, which would be before for the one and after for the other.
    """
    mine: list[list[bytes]] = [[] for _ in range(PORTS)]
    theirs: list[list[bytes]] = [[] for _ in range(PORTS)]
    for wait in (seconds, *[QUIET_S] * 20):
        real.wait(wait)
        keep_up(ours, start_ns)
        new = [*ours.frames(), *real.frames()]
        for kept, more in zip([*mine, *theirs], new, strict=True):
            kept += more
        if wait == QUIET_S and not any(octets[:6] == GROUP for port in new for octets in port):
            return mine, theirs
    raise AssertionError("the bridges do not fall silent")


@pytest.mark.parametrize("number", range(3))
def test_random_messages_have_the_effects_that_they_have_in_linux(number):
    first = seed() + number
    rng = random.Random(first)
    with RealBridge(f"hardwire-stp{os.getpid()}", PORTS, *WORDS) as real:
        ours = OurBridge(PORTS, data=SETTINGS)
        start = time.monotonic_ns() - ours.platform.time_ns
        for turn in range(60):
            if rng.random() < 0.1:
                protect = rng.randrange(2)
                port = rng.randrange(PORTS)
                real.ip("link", "set", f"p{port}", "type", "bridge_slave", "root_block", "on" if protect else "off")
                br_setport(ours.ports[port], {IflaBrport.PROTECT: protect})
            port, octets = rng.randrange(PORTS), frame(random_bpdu(rng))
            real.send(port, octets)
            ours.send(port, octets)
            mine, theirs = our_state(ours), their_state(real)
            assert mine == theirs, f"HARDWIRE_SEED={first - number}, turn {turn}: {octets.hex()} into {port}"
            keep_up(ours, start)


def test_messages_are_answered_as_linux_answers_them():
    first = seed()
    rng = random.Random(first)
    with RealBridge(f"hardwire-stp{os.getpid()}", PORTS, *WORDS) as real:
        ours = OurBridge(PORTS, data=SETTINGS)
        start = time.monotonic_ns() - ours.platform.time_ns
        mine, theirs = sent_by_both(ours, real, start, 2)
        assert bpdus(mine) == bpdus(theirs)
        for turn in range(2):
            for _ in range(5):
                port, octets = rng.randrange(PORTS), frame(random_bpdu(rng))
                real.send(port, octets)
                keep_up(ours, start)  # A timer that has ended there before the message came has done so here, too.
                ours.send(port, octets)
            # The hold time is over then, and what waited for it is sent.
            mine, theirs = sent_by_both(ours, real, start, 2.2)
            assert bpdus(mine) == bpdus(theirs), f"HARDWIRE_SEED={first}, turn {turn}"


@pytest.mark.parametrize("root", ["ours", "theirs"])
def test_a_loop_of_our_bridge_and_a_real_one_converges(root):
    """Ports 0 and 1 of both are joined; a station is at port 2 of each."""
    words = ("stp_state", "1", "hello_time", "100", "forward_delay", "200", "priority", "32768")
    settings = {IflaBr.STP_STATE: 1, IflaBr.HELLO_TIME: 100, IflaBr.FORWARD_DELAY: 200}
    with RealBridge(f"hardwire-stp{os.getpid()}", PORTS, *words) as real:
        ours = OurBridge(0, data=settings)
        ours.ports = [ours.add_port(number, port_mac(0x20 + number)) for number in range(PORTS)]
        ours.read = [0] * PORTS
        br_changelink(ours.dev, {IflaBr.PRIORITY: 4096 if root == "ours" else 61440})
        start = time.monotonic_ns() - ours.platform.time_ns
        heard: list[list[bytes]] = [[], []]
        failed = False

        def run(seconds: float) -> None:
            """Let real time pass for both, and carry frames between them."""
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                keep_up(ours, start)
                for port, frames in enumerate(ours.frames()):
                    for octets in frames:
                        if port == 2:
                            heard[0].append(octets)
                        elif not failed or port:
                            real.send(port, octets)
                for port, octets in real.poll(0.01):
                    if port < 2:
                        ours.send(port, octets)
                    else:
                        heard[1].append(octets)

        def broadcasts() -> list[int]:
            """Return how often the station at either bridge hears what the other one's says to all."""
            counts = []
            for sender in (0, 1):
                octets = b"\xff" * 6 + bytes.fromhex("0200000000a0") + b"\x88\xb5" + bytes(46)
                heard[0].clear()
                heard[1].clear()
                (real if sender else ours).send(2, octets)
                latest = time.monotonic() + 5
                while octets not in heard[1 - sender] and time.monotonic() < latest:
                    run(0.02)
                run(0.2)  # In a loop it would come again.
                counts.append(sum(frame == octets for frame in heard[1 - sender]))
            return counts

        def wait_for(*wanted: str) -> list[object]:
            """Let real time pass until the four ports of the loop are in these states; return what theirs thinks."""
            for _ in range(60):
                run(0.25)
                theirs = their_state(real)
                states = [STATES[br_port_get_rcu(dev).state] for dev in ours.ports[:2]]
                states += [port[0] for port in theirs[1:3]]
                if sorted(states) == list(wanted):
                    return theirs
            raise AssertionError(f"states are {states}")

        theirs = wait_for("blocking", "forwarding", "forwarding", "forwarding")
        mine = ours.dev.priv
        assert theirs[0][0] == identifier(mine.designated_root)
        assert (mine.root_port == 0) == (root == "ours")
        assert (theirs[0][1] == 0) == (root == "theirs")
        assert broadcasts() == [1, 1]
        if root == "ours":
            return
        # A link fails; the other one takes over.
        failed = True
        real.ip("link", "set", "p0", "down")
        dev_close(ours.ports[0])
        wait_for("disabled", "disabled", "forwarding", "forwarding")
        assert broadcasts() == [1, 1]
