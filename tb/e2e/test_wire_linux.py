"""``hardwire wire``: two real kernels talk TCP through driver and gateware, with programs that know nothing of it."""

import hashlib
import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
from scapy.layers.inet import TCP
from scapy.layers.l2 import Ether
from scapy.utils import RawPcapNgReader

from hardwire.sim.lan import Lan
from hardwire.sim.live_command import LiveCommand
from hardwire.sim.machine import Setup
from hardwire.sim.netns import Namespace
from hardwire.sim.tap import Tap
from hardwire.sim.tap_relay import TapRelay
from hardwire.sim.world import World
from hardwire.tb.bench import seed
from hardwire.tb.e2e.real_kernel import inside, names, namespace, needs_root, server

pytestmark = needs_root

NEAR, FAR = "10.9.0.1", "10.9.0.2"
ETH_P_ALL = 3
OUTBOUND = 2
FULL = "kernel: its queue was full, or the device down"
ETHERTYPE = b"\x88\xb5"  # For experiments (IEEE Std 802): nobody else sends it.


@contextmanager
def wired(*words: str) -> Iterator[tuple[LiveCommand, str, str]]:
    """Run the command with two namespaces."""
    near, far = names(2)
    ends = ("--tap", "hw0", "--netns", near, "--tap", "hw0", "--netns", far, "--ip", f"{NEAR}/24")
    with LiveCommand("wire", *ends, *words) as live:
        yield live, near, far


def iperf3(near: str, far: str, *words: str) -> dict[str, Any]:
    """Return what iperf3 measures."""
    with server(far, 5201, "iperf3", "-s"):
        found: dict[str, Any] = json.loads(inside(near, "iperf3", "-J", "-c", FAR, *words))
        return found["end"]


def check_balance(report: dict[str, Any]) -> None:
    """Check that all that one kernel sent the other one got, but for what it dropped itself."""
    for side, other in zip(report["sides"], reversed(report["sides"]), strict=True):
        assert side["from_kernel"] == side["kernel"]["tx_packets"]
        assert side["from_kernel"] == other["to_kernel"]
        assert side["host"]["counters"]["tx_frames"] == other["host"]["counters"]["rx_delivered"]
        assert side["drops"].keys() <= {FULL}
    assert all(cable["sent"] == cable["delivered"] for cable in report["cable"])


def test_pings_of_every_size_come_back() -> None:
    with wired() as (live, near, _):
        for size in ("0", "1", "56", "1472", "1473", "8000"):
            inside(near, "ping", "-c", "1", "-s", size, FAR)
        check_balance(live.stop())


def test_tcp_of_two_kernels_goes_through() -> None:
    with wired() as (live, near, far):
        end = iperf3(near, far, "-t", "2")
        report = live.stop()
    assert end["sum_received"]["bytes"] > 100_000
    check_balance(report)


@pytest.mark.soak
def test_ten_seconds_of_tcp_go_through_each_way() -> None:
    with wired() as (live, near, far):
        for words in ((), ("-R",)):
            end = iperf3(near, far, "-t", "10", *words)
            print(f"{end['sum_received']['bits_per_second'] / 1e6:.1f} Mbit/s, {end['sum_sent']['retransmits']} again")
        report = live.stop()
    print(sum(side["to_kernel"] for side in report["sides"]) / report["wall_s"], "frames/s")
    check_balance(report)


def download(folder: Path, octets: int) -> None:
    """Have curl fetch so many octets from Python's web server, and compare."""
    number = seed()
    print("seed", number)
    data = Random(number).randbytes(octets)
    (folder / "file").write_bytes(data)
    with wired() as (live, near, far), server(far, 8000, sys.executable, "-m", "http.server", "8000", cwd=folder):
        started = time.monotonic()
        inside(near, "curl", "-sS", "-o", str(folder / "got"), f"http://{FAR}:8000/file")
        print(f"{octets:,} octets in {time.monotonic() - started:.1f} s")
        check_balance(live.stop())
    assert hashlib.sha256((folder / "got").read_bytes()).digest() == hashlib.sha256(data).digest()


def test_a_download_is_right_octet_for_octet(tmp_path: Path) -> None:
    download(tmp_path, 1_000_000)


@pytest.mark.soak
def test_a_download_of_ten_megabytes_is_right(tmp_path: Path) -> None:
    download(tmp_path, 10_000_000)


@pytest.mark.parametrize("offload", [True, False])
def test_the_gateware_fills_in_checksums_unless_the_kernel_shall(tmp_path: Path, offload: bool) -> None:
    words = () if offload else ("--no-offload",)
    with wired("--pcap", str(tmp_path), *words) as (live, near, far):
        said = inside(near, "ethtool", "-k", "hw0")
        found = re.search("^tx-checksumming: (on|off)", said, re.MULTILINE)
        assert found is not None
        assert found[1] == ("on" if offload else "off")
        iperf3(near, far, "-n", "50K")
        live.stop()
    sums = 0
    for side in ("a", "b"):
        with RawPcapNgReader(str(tmp_path / f"{side}.pcapng")) as reader:
            for octets, metadata in reader:
                frame = Ether(octets)
                if metadata.direction == OUTBOUND and TCP in frame:
                    sent = frame[TCP].chksum
                    del frame[TCP].chksum
                    assert Ether(bytes(frame))[TCP].chksum == sent
                    sums += 1
    assert sums > 40


def test_a_large_mtu_takes_large_segments() -> None:
    with wired("--mtu", "9000") as (live, near, far):
        iperf3(near, far, "-t", "1")
        report = live.stop()
    assert report["sides"][1]["host"]["counters"]["rx_1519_max"] > 10
    check_balance(report)


def test_what_comes_too_fast_waits_in_the_kernel_and_is_counted_there() -> None:
    with wired() as (live, near, far):
        iperf3(near, far, "-u", "-b", "100M", "-t", "2")
        report = live.stop()
        said = live.said
    check_balance(report)
    assert report["sides"][0]["drops"][FULL] > 0
    assert any("lost in the kernel" in line for line in said)


@contextmanager
def relayed() -> Iterator[tuple[World, list[TapRelay], list[Tap], list[socket.socket]]]:
    """Join two TAP devices in this process; return it, with a packet socket at each."""
    near, far = names(2)
    world = World()
    lan = Lan(world, [Setup(address=None, mac=bytes((2, 0, 0, 0, 0, number))) for number in (1, 2)])
    taps, relays, socks = [], [], []
    with namespace(near), namespace(far):
        for name, machine in zip((near, far), lan.machines, strict=True):
            space = Namespace(name)
            taps.append(Tap("hw0", space, vnet_hdr=True, checksums=True))
            relays.append(TapRelay(machine.dev, taps[-1]))
            with space.entered():
                Path("/proc/sys/net/ipv6/conf/hw0/disable_ipv6").write_text("1")
                socks.append(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)))
            socks[-1].setsockopt(socket.SOL_SOCKET, 33, 1 << 22)  # SO_RCVBUFFORCE
            socks[-1].setsockopt(263, 8, 1)  # SOL_PACKET, PACKET_AUXDATA: the tag, which the kernel takes off.
            taps[-1].set_up(mtu=1500)
            socks[-1].bind(("hw0", ETH_P_ALL))
            socks[-1].settimeout(5)
        try:
            yield world, relays, taps, socks
        finally:
            for thing in (*socks, *taps):
                thing.close()


def received(sock: socket.socket) -> bytes:
    """Return the next frame of ours that came to a socket, with its tag."""
    while True:
        octets, control, _, address = sock.recvmsg(2000, 100)
        aux = next(data for level, kind, data in control if (level, kind) == (263, 8))
        if int.from_bytes(aux[:4], sys.byteorder) & 0x10:  # TP_STATUS_VLAN_VALID
            tci, tpid = (int.from_bytes(aux[at : at + 2], sys.byteorder) for at in (16, 18))
            octets = octets[:12] + tpid.to_bytes(2, "big") + tci.to_bytes(2, "big") + octets[12:]
        if ETHERTYPE in (octets[12:14], octets[16:18]) and address[2] != 4:  # PACKET_OUTGOING
            return octets


def test_every_frame_passes_as_it_is() -> None:
    number = seed()
    print("seed", number)
    rng = Random(number)
    with relayed() as (world, relays, taps, socks):
        for turn in range(300):
            one = rng.randrange(2)
            tag = rng.choice((b"", b"", b"\x81\x00" + rng.randbytes(2), b"\x88\xa8" + rng.randbytes(2)))
            frame = rng.randbytes(12) + tag + ETHERTYPE + rng.randbytes(rng.choice((0, 1, 46, 500, 1500 - len(tag))))
            socks[one].send(frame)
            while not relays[one].pump():
                time.sleep(0.001)
            world.drain()
            got = received(socks[1 - one])
            assert got == frame.ljust(60, b"\0"), f"HARDWIRE_SEED={number}, turn {turn}: {frame.hex()}"
        assert sum(tap.frames_written for tap in taps) == 300
        assert not taps[0].refused + taps[1].refused


def test_frames_for_a_device_that_is_down_are_counted() -> None:
    with relayed() as (world, relays, taps, socks):
        subprocess.run(["ip", "-n", names(2)[1], "link", "set", "hw0", "down"], check=True)
        socks[0].send(b"\xff" * 12 + ETHERTYPE)
        while not relays[0].pump():
            time.sleep(0.001)
        world.drain()
        assert taps[1].refused == {"the device is down": 1}
        assert taps[1].frames_written == 0


def test_while_the_devices_queue_is_stopped_frames_wait_in_the_kernel() -> None:
    with relayed() as (world, relays, taps, socks):
        for number in range(200):
            socks[0].send(b"\xff" * 12 + ETHERTYPE + number.to_bytes(2, "big") + bytes(1400))
        while relays[0].ready:  # No time passes: the card sends nothing.
            assert relays[0].pump()
        waiting = 200 - taps[0].frames_read
        assert waiting > 0
        assert not relays[0].pump()
        while taps[0].frames_read < 200:
            world.drain()
            assert relays[0].ready
            relays[0].pump()
        world.drain()
        assert [received(socks[1])[14:16] for _ in range(200)] == [number.to_bytes(2, "big") for number in range(200)]
