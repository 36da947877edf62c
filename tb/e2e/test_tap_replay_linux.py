"""tcpreplay of a mutated capture against the simulated host: it stays alive, and every frame is accounted for."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_Router_Alert, fragment
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, LLC, Dot1Q, Ether
from scapy.packet import Raw
from scapy.utils import PcapWriter, RawPcapNgReader

from hardwire.sim.live_command import LiveCommand
from hardwire.tb.bench import seed
from hardwire.tb.e2e.real_kernel import check_balance, inside, names, needs_root
from hardwire.tb.hdl.rx_frames import hash_bit
from hardwire.tb.stack.test_receive_mutated import changed

pytestmark = needs_root

OURS, THEIRS = "10.0.0.1", "10.0.0.2"
OUR_MAC, THEIR_MAC, ALL_HOSTS = "02:00:00:00:00:01", "02:00:00:00:00:0a", "01:00:5e:00:00:01"
MAC, GROUP = (bytes.fromhex(text.replace(":", "")) for text in (OUR_MAC, ALL_HOSTS))
EVERYBODY = b"\xff" * 6
ARP_TYPE, TAG, SERVICE_TAG = b"\x08\x06", b"\x81\x00", b"\x88\xa8"
INBOUND = 1


def whole_frames() -> list[bytes]:
    """Return frames of all kinds, as they should be."""
    to_us = Ether(dst=OUR_MAC, src=THEIR_MAC)
    ours = IP(src=THEIRS, dst=OURS)
    large = fragment(ours / UDP(sport=5000, dport=7) / Raw(b"large" * 800), 1200)
    packets = [
        *(ours / UDP(sport=5000, dport=port) / Raw(b"x" * size) for port in (7, 9, 53) for size in (0, 30, 1200)),
        *(ours / ICMP(type=kind) / Raw(b"y" * 40) for kind in (0, 3, 5, 8, 11, 13)),
        *large,
        ours / TCP(dport=80, flags="S"),
        IP(src=THEIRS, dst=OURS, options=[IPOption_Router_Alert()]) / UDP(dport=7) / Raw(b"z"),
        IP(src=THEIRS, dst=OURS, proto=200) / Raw(b"nobody's"),
        IP(src=THEIRS, dst="192.0.2.1") / UDP(dport=7),
        IPv6() / UDP(dport=7),
    ]
    frames = [to_us / packet for packet in packets]
    frames += [
        Ether(dst="ff:ff:ff:ff:ff:ff", src=THEIR_MAC) / ARP(op=1, psrc=THEIRS, pdst=OURS, hwsrc=THEIR_MAC),
        to_us / ARP(op=2, psrc=THEIRS, pdst=OURS, hwsrc=THEIR_MAC),
        Ether(dst=ALL_HOSTS, src=THEIR_MAC) / IP(src=THEIRS, dst="224.0.0.1") / UDP(dport=7),
        Ether(dst="02:00:00:00:00:99", src=THEIR_MAC) / ours / UDP(dport=7),
        to_us / Dot1Q(vlan=5) / ours / UDP(dport=7),
        Ether(dst="01:80:c2:00:00:00", src=THEIR_MAC, type=38) / LLC(dsap=0x42, ssap=0x42, ctrl=3) / Raw(bytes(35)),
    ]
    return [bytes(frame) for frame in frames]


def received(path: Path) -> Iterator[bytes]:
    """Yield the frames that a capture says a card received."""
    with RawPcapNgReader(str(path)) as reader:
        for octets, metadata in reader:
            if metadata.direction == INBOUND:
                yield octets


def is_arp(frame: bytes) -> bool:
    """Return whether a frame is the ARP layer's in the end."""
    group = bool(frame[0] & 1)
    listens = hash_bit(frame[:6]) == hash_bit(GROUP) if group else frame[:6] == MAC
    tagged = frame[12:14] == SERVICE_TAG or (frame[12:14] == TAG and not int.from_bytes(frame[14:16], "big") & 0xFFF)
    inside = frame[16:18] if tagged else frame[12:14]  # The card keeps other VLANs' frames away.
    return (listens or frame[:6] == EVERYBODY) and inside == ARP_TYPE


def replay(count: int, folder: Path, pps: int) -> dict[str, Any]:
    """Replay so many frames; return the report."""
    number = seed()
    print("seed", number)
    rng = Random(number)
    whole = whole_frames()
    frames = [changed(rng, rng.choice(whole)) for _ in range(count)]
    path, seen = folder / "mutated.pcap", folder / "seen.pcapng"
    with PcapWriter(str(path), linktype=1) as capture:
        for frame in frames:
            capture.write(frame)
    (space,) = names()
    words = ["--ip", f"{OURS}/24", "--netns", space, "--serve", "echo,discard", "--pcap", str(seen)]
    words += ["--run", "ethtool -K eth0 gro off"]  # What is joined would be dropped twice and received once.
    with LiveCommand("tap", "--tap", "hw0", *words) as live:
        inside(space, "sysctl", "-qw", "net.ipv6.conf.hw0.disable_ipv6=1")
        inside(space, "ip", "link", "set", "hw0", "address", THEIR_MAC)
        said = inside(space, "tcpreplay", "-i", "hw0", f"--pps={pps}", str(path), timeout_s=600)
        inside(space, "ip", "neigh", "flush", "all")  # Its question then corrects what mutated answers have told us.
        for _ in range(3):
            inside(space, "ping", "-c", "1", OURS)
        report = live.stop()
    sent = re.search(r"Successful packets: +(\d+)", said)
    assert sent is not None
    print(f"{sent[1]} sent, {report['from_kernel']} received, {report['kernel']['tx_dropped']} lost in the kernel")
    assert int(sent[1]) == count
    check_balance(report)
    arrived = list(received(seen))
    assert len(arrived) == report["from_kernel"]
    missing = Counter(frame.ljust(60, b"\0") for frame in frames) - Counter(arrived)
    assert missing.total() <= report["kernel"]["tx_dropped"]
    check_stack(report, sum(map(is_arp, arrived)))
    return report


def check_stack(report: dict[str, Any], arps: int) -> None:
    """Check that each frame that the stack got was ARP's, or IPv4's, or was dropped for a reason, layer by layer."""
    mib, drops = Counter(report["host"]["stack"]), Counter(report["host"]["dropped_by_stack"])
    others = drops["OTHERHOST"] + drops["UNHANDLED_PROTO"]
    # Some answers to strange sources, such as to all stations, or to ourselves, come to ourselves.
    assert report["host"]["counters"]["rx_delivered"] <= report["host"]["received_by_stack"]
    assert report["host"]["received_by_stack"] == mib["Ip:InReceives"] + arps + others
    errors = ("Ip:InHdrErrors", "IpExt:InTruncatedPkts", "Ip:InAddrErrors", "Ip:InDiscards", "Ip:InUnknownProtos")
    sources = ("IP_LOCAL_SOURCE", "IP_INVALID_SOURCE", "IP_LOCALNET", "IP_INVALID_DEST", "UNICAST_IN_L2_MULTICAST")
    in_parts = mib["Ip:ReasmReqds"] - mib["Ip:ReasmOKs"]  # Whatever becomes of them, a whole one counts once.
    refused = sum(mib[name] for name in errors) + sum(drops[name] for name in sources)
    assert mib["Ip:InReceives"] == mib["Ip:InDelivers"] + in_parts + refused
    udp = ("Udp:InDatagrams", "Udp:InErrors", "Udp:NoPorts", "Udp:IgnoredMulti")
    counted = sum(mib[name] for name in (*udp, "Icmp:InMsgs", "Tcp:InSegs"))
    counted += sum(count for name, count in mib.items() if name.startswith("Xfrm:"))
    # TCP for all stations is dropped before it is counted.
    assert counted <= mib["Ip:InDelivers"] <= counted + drops["NOT_SPECIFIED"]


def test_mutated_frames_break_nothing_and_are_accounted_for(tmp_path: Path) -> None:
    replay(3_000, tmp_path, 1000)


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_a_hundred_thousand_mutated_frames_break_nothing(tmp_path: Path) -> None:
    replay(100_000, tmp_path, 1000)
