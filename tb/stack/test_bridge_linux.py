"""Frames into a bridge of ours and into a real Linux bridge: the same come out, the same is learned and counted."""

import json
import os
import random
import subprocess
from collections.abc import Callable
from struct import pack

import pytest

from hardwire.stack.bridge.br_fdb_user import NLM_F_CREATE, NLM_F_EXCL, br_fdb_add, br_fdb_delete
from hardwire.stack.bridge.br_netlink import br_changelink, br_setport
from hardwire.stack.bridge.br_netlink_attrs import IflaBr, IflaBrport
from hardwire.stack.bridge.br_private import br_port_get_rcu
from hardwire.stack.core.dev_addr_lists import dev_set_promiscuity
from hardwire.stack.core.dev_register import dev_close, dev_open, dev_set_mac_address, dev_set_mtu
from hardwire.stack.core.dev_upper import do_set_master
from hardwire.stack.core.neighbour import NUD_NOARP, NUD_PERMANENT, NUD_REACHABLE
from hardwire.stack.core.netdevice import IFF_UP, NetDevice
from hardwire.tb.bench import seed
from hardwire.tb.stack.bridged import BRIDGE_MAC, OurBridge, RealBridge, port_mac
from hardwire.tb.stack.frames import arp, icmp, ip
from hardwire.tb.stack.linux_peer import can_make_namespaces

pytestmark = pytest.mark.skipif(not can_make_namespaces(), reason="needs root, /dev/net/tun and ip(8)")

PORTS = 4
STATIONS = [bytes.fromhex(f"0200000000{number:02x}") for number in (1, 3, 0x21, 0x22, 0x23, 0x24)]
GROUPS = [bytes.fromhex(text) for text in ("01005e000005", "01005e000001", "333300000001", "ffffffffffff")]
LINK_LOCAL = [bytes.fromhex(f"0180c20000{number:02x}") for number in (*range(16), 16, 0x21)]
FLAGS = {
    "hairpin": IflaBrport.MODE,
    "learning": IflaBrport.LEARNING,
    "flood": IflaBrport.UNICAST_FLOOD,
    "mcast_flood": IflaBrport.MCAST_FLOOD,
    "bcast_flood": IflaBrport.BCAST_FLOOD,
    "isolated": IflaBrport.ISOLATED,
    "locked": IflaBrport.LOCKED,
}
KINDS = {"permanent": NUD_PERMANENT, "static": NUD_NOARP, "dynamic": NUD_REACHABLE}


def own_macs() -> list[bytes]:
    """Return the addresses of the ports."""
    return [port_mac(number) for number in range(PORTS)]


def random_frame(rng: random.Random) -> bytes:
    """Return a frame between stations, to the bridge, or to groups, of some protocol."""
    source = rng.choice(STATIONS) if rng.random() < 0.9 else rng.choice([port_mac(0), port_mac(1), bytes(6), GROUPS[0]])
    dest = rng.choice(rng.choice([STATIONS, STATIONS, own_macs(), GROUPS, LINK_LOCAL]))
    match rng.randrange(6):
        case 0:
            return dest + source + ip(icmp(8), 1)[12:]
        case 1:
            return dest + source + arp(sha=source)[12:]
        case 2:
            body = rng.randbytes(rng.randrange(60))
            return dest + source + pack("!H", rng.choice((3, len(body), len(body) + 3, 1500))) + body
        case 3:
            tag = pack("!HH", rng.choice((0x8100, 0x8100, 0x88A8)), rng.choice((0, 0xE000, 5, 0x2005)))
            return dest + source + tag + rng.choice((ip(icmp(8), 1)[12:], b"\x88\xb5" + rng.randbytes(50), b""))
        case 4:
            return dest + source + b"\x88\xb5" + rng.randbytes(rng.choice((0, 1, 46, 1500, 1504, 1505, 1600)))
        case _:
            return dest + source + rng.randbytes(2) + rng.randbytes(rng.randrange(100))


def masked(frames: list[list[bytes]]) -> list[list[bytes]]:
    """Return frames without what is up to the host: identification of IPv4, and the sum over it."""

    def normal(frame: bytes) -> bytes:
        if frame[12:14] == b"\x08\x00" and frame[6:12] == BRIDGE_MAC:
            return frame[:18] + bytes(2) + frame[20:24] + bytes(2) + frame[26:]
        return frame

    return [[normal(frame) for frame in port] for port in frames]


def refusal(command: Callable[[], object]) -> str:
    """Return what a command of ip(8) says when it fails."""
    try:
        command()
    except subprocess.CalledProcessError as error:
        return str(error.stderr)
    return ""


def error_number(call: Callable[[], object]) -> int:
    """Return the errno of a call, 0 if it does what it shall."""
    try:
        call()
    except OSError as error:
        return error.errno or -1
    return 0


class Both:
    """Both bridges, changed alike; what one refuses the other has to refuse, too."""

    def __init__(self, real: RealBridge, ours: OurBridge) -> None:
        self.real = real
        self.ours = ours

    def same(self, real: Callable[[], object], ours: Callable[[], object]) -> str:
        """Do one thing on both, which both may refuse; return Linux's words."""
        said, errno = refusal(real), error_number(ours)
        assert bool(said) == bool(errno), (said, errno)
        # Some refusals have a text of their own in Linux.
        assert not errno or os.strerror(errno) in said or said.startswith("Error:"), (said, errno)
        return said

    def flag(self, port: int, flag: str, on: bool) -> None:
        """``bridge link set dev PORT FLAG on``."""
        self.same(
            lambda: self.real.bridge("link", "set", "dev", f"p{port}", flag, "on" if on else "off"),
            lambda: br_setport(self.ours.ports[port], {FLAGS[flag]: int(on)}),
        )

    def state(self, port: int, state: int) -> None:
        """``bridge link set dev PORT state STATE``."""
        self.same(
            lambda: self.real.bridge("link", "set", "dev", f"p{port}", "state", str(state)),
            lambda: br_setport(self.ours.ports[port], {IflaBrport.STATE: state}),
        )

    def setting(self, word: str, number: IflaBr, value: int) -> str:
        """``ip link set br0 type bridge WORD VALUE``."""
        return self.same(
            lambda: self.real.ip("link", "set", "br0", "type", "bridge", word, str(value)),
            lambda: br_changelink(self.ours.dev, {number: value}),
        )

    def fdb_add(self, port: int | None, addr: bytes, kind: str, *words: str, replace: bool = False) -> None:
        """``bridge fdb add ADDR dev PORT master KIND``; None is the bridge itself."""
        name, dev = ("br0", self.ours.dev) if port is None else (f"p{port}", self.ours.ports[port])
        flags = NLM_F_CREATE if replace else NLM_F_CREATE | NLM_F_EXCL
        verb, master = "replace" if replace else "add", "self" if port is None else "master"
        sticky, use = "sticky" in words, "use" in words
        self.same(
            lambda: self.real.bridge("fdb", verb, addr.hex(":"), "dev", name, master, kind, *words),
            lambda: br_fdb_add(dev, addr, 0, flags, KINDS[kind], use=use, sticky=sticky),
        )

    def fdb_del(self, port: int, addr: bytes) -> None:
        """``bridge fdb del ADDR dev PORT master``."""
        self.same(
            lambda: self.real.bridge("fdb", "del", addr.hex(":"), "dev", f"p{port}", "master"),
            lambda: br_fdb_delete(self.ours.ports[port], addr, 0),
        )

    def link(self, port: int, up: bool) -> None:
        """``ip link set PORT up``."""
        self.real.ip("link", "set", f"p{port}", "up" if up else "down")
        (dev_open if up else dev_close)(self.ours.ports[port])

    def promisc(self, on: bool) -> None:
        """``ip link set br0 promisc on``."""
        self.real.ip("link", "set", "br0", "promisc", "on" if on else "off")
        if on != bool(self.ours.dev.promiscuity):
            dev_set_promiscuity(self.ours.dev, 1 if on else -1)

    def random_change(self, rng: random.Random) -> None:
        """Do one of these."""
        port, addr = rng.randrange(PORTS), rng.choice([*STATIONS, port_mac(1), GROUPS[0]])
        match rng.randrange(8):
            case 0 | 1:
                self.flag(port, rng.choice(list(FLAGS)), rng.random() < 0.5)
            case 2:
                self.state(port, rng.randrange(5))
            case 3:
                mask = rng.choice((0, 0xFFF8, 7, rng.randrange(1 << 16) & 0xFFF8))
                self.setting("group_fwd_mask", IflaBr.GROUP_FWD_MASK, mask)
            case 4:
                self.fdb_add(
                    port, addr, rng.choice(list(KINDS)), *rng.choice(((), (), ("sticky",))), replace=rng.random() < 0.5
                )
            case 5:
                self.fdb_del(port, addr)
            case 6:
                self.link(port, rng.random() < 0.5)
            case _:
                self.promisc(rng.random() < 0.5)


def send_and_compare(both: Both, frames: list[tuple[int, bytes]], what: str = "") -> None:
    """Send the same frames into the same ports, and compare what comes out, what is known, and what was counted."""
    real, ours = both.real, both.ours
    before, mine_before = real.counters(), ours.counters()
    for port, frame in frames:
        if ours.ports[port].flags & IFF_UP:
            real.send(port, frame)
            ours.send(port, frame)
    ours.platform.advance(1_000_000)
    assert masked(ours.frames()) == masked(real.frames()), what
    assert ours.fdb() == real.fdb(), what
    after, mine = real.counters(), ours.counters()
    assert {k: mine[k] - mine_before[k] for k in mine} == {k: after[k] - before[k] for k in after}, what


@pytest.fixture
def both():
    with RealBridge(f"hardwire-br{os.getpid()}", PORTS, address=True) as real:
        real.frames(0.1)
        ours = OurBridge(PORTS, address=True)
        yield Both(real, ours)
        assert len(ours.platform.buffers) == 0


@pytest.mark.parametrize("number", range(4))
def test_random_frames_and_changes_have_the_effects_that_they_have_in_linux(both, number):
    first = seed() + number
    rng = random.Random(first)
    for turn in range(15):
        if turn:
            both.random_change(rng)
        frames = [(rng.randrange(PORTS), random_frame(rng)) for _ in range(30)]
        send_and_compare(both, frames, f"HARDWIRE_SEED={first - number}, turn {turn}")


def test_what_novell_puts_behind_a_length_is_no_llc(both):
    frame = bytes.fromhex("0180c2000021 020000000001 0003 ffff").ljust(60, b"\0")
    for number in range(PORTS):
        send_and_compare(both, [(number, frame)])


def test_what_linux_refuses_is_refused(both):
    for word, number, values in (
        ("forward_delay", IflaBr.FORWARD_DELAY, (0, 100, 200, 3000, 3100, 100_000)),
        ("hello_time", IflaBr.HELLO_TIME, (0, 99, 100, 1000, 1001)),
        ("max_age", IflaBr.MAX_AGE, (0, 599, 600, 4000, 4001)),
        ("group_fwd_mask", IflaBr.GROUP_FWD_MASK, (1, 2, 4, 8, 0xFFF8, 0xFFFF)),
    ):
        for stp in (0, 1):
            both.setting("stp_state", IflaBr.STP_STATE, stp)
            for value in values:
                both.setting(word, number, value)
    for word, number, values in (
        ("cost", IflaBrport.COST, (0, 1, 65535, 65536)),
        ("priority", IflaBrport.PRIORITY, (0, 63, 64)),
        ("state", IflaBrport.STATE, (0, 1, 2, 3, 4)),
    ):
        for value in values:
            both.same(
                lambda words=(word, str(value)): both.real.ip("link", "set", "p0", "type", "bridge_slave", *words),
                lambda number=number, value=value: br_setport(both.ours.ports[0], {number: value}),
            )
    for port, addr, kind, words in (
        (None, STATIONS[2], "static", ()),
        (None, STATIONS[2], "dynamic", ()),
        (None, STATIONS[2], "permanent", ()),
        (1, bytes(6), "static", ()),
        (1, STATIONS[3], "permanent", ("sticky",)),
        (1, STATIONS[3], "dynamic", ("sticky",)),
        (1, STATIONS[4], "dynamic", ("use",)),
        (1, GROUPS[0], "static", ()),
    ):
        both.fdb_add(port, addr, kind, *words)
        both.fdb_add(port, addr, kind, *words)
    assert both.ours.fdb() == both.real.fdb()


@pytest.mark.parametrize("flag", FLAGS)
def test_each_flag_of_two_ports_does_what_it_does_in_linux(both, flag):
    for on in (True, False):
        for port in (0, 1):
            both.flag(port, flag, on)
        for number, station in enumerate(STATIONS[2:]):
            frames = [(number, dest + station + b"\x88\xb5" + bytes(46)) for dest in (*GROUPS, *STATIONS, *own_macs())]
            send_and_compare(both, frames)
        # What the host itself sends: a request to all, and answers.
        send_and_compare(both, [(3, BRIDGE_MAC + STATIONS[0] + ip(icmp(8), 1)[12:]), (2, GROUPS[3] + arp()[6:])])


def test_a_locked_port_lets_in_only_whom_it_knows_there(both):
    known, elsewhere, unknown = STATIONS[2:5]
    for port, station in ((0, known), (1, elsewhere)):
        send_and_compare(both, [(port, GROUPS[3] + station + b"\x88\xb5" + bytes(46))])
    both.flag(0, "locked", True)
    for dest in (GROUPS[3], port_mac(0), STATIONS[5]):
        for station in (known, elsewhere, unknown, port_mac(0), port_mac(1)):
            send_and_compare(both, [(0, dest + station + b"\x88\xb5" + bytes(46))])
    both.fdb_add(0, unknown, "static")
    send_and_compare(both, [(0, GROUPS[3] + unknown + b"\x88\xb5" + bytes(46))])


def test_a_sticky_station_stays(both):
    both.fdb_add(0, STATIONS[2], "static", "sticky")
    both.fdb_add(1, STATIONS[3], "static")
    for port in (2, 3):
        for station in STATIONS[2:4]:
            send_and_compare(both, [(port, GROUPS[3] + station + b"\x88\xb5" + bytes(46))])
    assert (STATIONS[2].hex(":"), "p0", "static") in both.ours.fdb()
    assert (STATIONS[3].hex(":"), "p3", "static") in both.ours.fdb()


def test_a_bridge_without_ageing_learns_nothing(both):
    frames = [(number % PORTS, random_frame(random.Random(number))) for number in range(60)]
    both.setting("ageing_time", IflaBr.AGEING_TIME, 0)
    send_and_compare(both, frames)
    both.setting("ageing_time", IflaBr.AGEING_TIME, 30_000)
    send_and_compare(both, frames)
    assert len(both.ours.fdb()) > PORTS


def test_addresses_age_after_the_time_that_linux_takes(both):
    both.setting("ageing_time", IflaBr.AGEING_TIME, 30)  # 0.3 s
    for port, station in enumerate(STATIONS[2:4]):
        send_and_compare(both, [(port, GROUPS[3] + station + b"\x88\xb5" + bytes(46))])
    assert len(both.ours.fdb()) == PORTS + 2
    both.real.wait(0.6)
    both.ours.platform.advance(600_000_000)
    assert len(both.ours.fdb()) == PORTS
    assert both.ours.fdb() == both.real.fdb()


def test_mtu_and_address_of_a_bridge_follow_its_ports_until_somebody_chooses_them(both):
    def check() -> None:
        (link,) = json.loads(both.real.ip("-j", "link", "show", "br0"))
        dev = both.ours.dev
        assert (dev.mtu, dev.dev_addr.hex(":")) == (link["mtu"], link["address"])
        assert both.ours.fdb() == both.real.fdb()

    def mtu(name: str, dev: NetDevice, value: int) -> None:
        both.real.ip("link", "set", name, "mtu", str(value))
        dev_set_mtu(dev, value)
        check()

    def address(name: str, dev: NetDevice, text: str) -> None:
        both.real.ip("link", "set", name, "address", text)
        dev_set_mac_address(dev, bytes.fromhex(text.replace(":", "")))
        check()

    ours = both.ours
    check()
    mtu("p1", ours.ports[1], 1400)
    mtu("p1", ours.ports[1], 1600)
    address("p2", ours.ports[2], "02:00:00:00:00:0f")
    address("p2", ours.ports[2], "02:00:00:00:00:90")
    for master in (None, "br0"):
        for number in (0, 1):
            both.real.ip("link", "set", f"p{number}", *(("master", master) if master else ("nomaster",)))
            do_set_master(ours.ports[number], ours.dev if master else None)
            check()
    mtu("br0", ours.dev, 1300)
    mtu("p1", ours.ports[1], 1200)
    address("br0", ours.dev, "02:00:00:00:00:77")
    address("p1", ours.ports[1], "02:00:00:00:00:02")
    address("p1", ours.ports[1], "02:00:00:00:00:77")
    address("p1", ours.ports[1], "02:00:00:00:00:78")
    for number in range(PORTS):
        both.real.ip("link", "set", f"p{number}", "nomaster")
        do_set_master(ours.ports[number], None)
        check()


def test_ports_are_promiscuous_and_cost_what_they_do_in_linux(both):
    for number, port in enumerate(both.ours.ports):
        (link,) = json.loads(both.real.ip("-j", "-d", "link", "show", f"p{number}"))
        assert (port.promiscuity, port.allmulti) == (link["promiscuity"], link["allmulti"]) == (1, 1)
        theirs = link["linkinfo"]["info_slave_data"]
        mine = br_port_get_rcu(port)
        assert (mine.path_cost, mine.priority, mine.port_no) == (
            theirs["cost"],
            theirs["priority"],
            int(theirs["no"], 16),
        )
    both.real.ip("link", "set", "p0", "nomaster")
    do_set_master(both.ours.ports[0], None)
    (link,) = json.loads(both.real.ip("-j", "-d", "link", "show", "p0"))
    assert (both.ours.ports[0].promiscuity, both.ours.ports[0].allmulti) == (0, 0)
    assert (link["promiscuity"], link["allmulti"]) == (0, 0)
