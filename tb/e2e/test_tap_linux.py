"""``hardwire tap``: everyday programs on a real kernel talk to the simulated host; nothing is left behind."""

import random
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hardwire.sim.live_command import LiveCommand
from hardwire.tb.bench import seed
from hardwire.tb.e2e.real_kernel import check_balance, inside, names, needs_root, results

pytestmark = needs_root

OURS, THEIRS = "10.0.0.1", "10.0.0.2"
MAC = "02:00:00:00:00:01"


def start(space: str, *words: str) -> LiveCommand:
    return LiveCommand("tap", "--tap", "hw0", "--ip", f"{OURS}/24", "--netns", space, *words)


@pytest.fixture
def space() -> str:
    return names()[0]


@pytest.fixture
def live(space: str) -> Iterator[LiveCommand]:
    with start(space, "--serve", "echo,discard") as running:
        yield running


def flood(live: LiveCommand, space: str, count: int) -> float:
    """Send so many echo requests as fast as they are answered; check that all are, and return how many a second."""
    # Without a limit to the time, it would hardly wait for the last one.
    said = inside(space, "ping", "-f", "-q", "-c", str(count), "-w", "300", OURS, timeout_s=400)
    found = re.search(r"(\d+) packets transmitted, (\d+) received.* time (\d+)ms", said)
    assert found is not None, said
    sent, received, time_ms = map(int, found.groups())
    assert received == count
    report = live.stop()
    check_balance(report)
    stack = report["host"]["stack"]
    assert count <= stack["IcmpMsg:InType8"] == stack["IcmpMsg:OutType0"] <= sent
    assert report["drops"].keys() <= {"card: rx_filtered"}  # The kernel's IPv6 has groups that we are not in.
    return received / max(time_ms, 1) * 1000


def test_no_echo_of_a_flood_is_lost(space: str, live: LiveCommand) -> None:
    flood(live, space, 500)


@pytest.mark.soak
def test_none_of_ten_thousand_echoes_is_lost(space: str, live: LiveCommand) -> None:
    print(f"{flood(live, space, 10_000):,.0f} echoes/s")


def test_the_kernel_finds_our_address_by_arp(space: str, live: LiveCommand) -> None:
    inside(space, "ping", "-c", "1", OURS)
    assert f"{OURS} dev hw0 lladdr {MAC}" in inside(space, "ip", "neigh")
    said = inside(space, "arping", "-I", "hw0", "-c", "2", OURS)
    assert said.upper().count(f"UNICAST REPLY FROM {OURS} [{MAC}]") == 2


def test_we_find_the_kernels_address_by_arp(space: str, tmp_path: Path) -> None:
    from scapy.layers.l2 import ARP
    from scapy.utils import rdpcap

    capture = tmp_path / "seen.pcapng"
    with start(space, "--pcap", str(capture)) as live:
        inside(space, "ip", "neigh", "add", OURS, "lladdr", MAC, "nud", "permanent", "dev", "hw0")
        inside(space, "ping", "-c", "1", OURS)
        live.stop()
    asked = [(arp.op, arp.psrc, arp.pdst) for frame in rdpcap(str(capture)) if (arp := frame.getlayer(ARP))]
    assert (1, OURS, THEIRS) in asked
    assert (2, THEIRS, OURS) in asked
    assert (1, THEIRS, OURS) not in asked


def test_fragments_are_put_together_both_ways(space: str, live: LiveCommand) -> None:
    for _ in range(3):
        inside(space, "ping", "-c", "1", "-s", "8000", OURS)
    stack = live.stop()["host"]["stack"]
    assert stack["Ip:ReasmOKs"] == 3
    assert stack["Ip:FragOKs"] == 3


def test_a_large_mtu_needs_no_fragments(space: str) -> None:
    with start(space, "--mtu", "9000") as live:
        inside(space, "ping", "-c", "1", "-s", "8000", "-M", "do", OURS)
        assert "Ip:ReasmOKs" not in live.stop()["host"]["stack"]


_PART = 16_384  # What nc sends in one datagram.


def test_a_file_comes_back_octet_for_octet(space: str, live: LiveCommand) -> None:
    number = seed()
    print("seed", number)
    data = random.Random(number).randbytes(150_000)
    command = ["ip", "netns", "exec", space, "nc", "-u", "-w", "5", OURS, "7"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as nc:
        assert nc.stdin is not None
        assert nc.stdout is not None
        for at in range(0, len(data), _PART):  # One after the other: UDP may lose what nc does not read in time.
            part = data[at : at + _PART]
            nc.stdin.write(part)
            nc.stdin.flush()
            assert nc.stdout.read(len(part)) == part
        nc.stdin.close()
    report = live.stop()
    assert results(report)["udp-echo"]["octets"] == len(data)
    check_balance(report)


def test_datagrams_are_discarded_and_counted(space: str, live: LiveCommand) -> None:
    inside(space, "nc", "-u", "-w", "1", OURS, "9", stdin=b"x" * 1000)
    assert results(live.stop())["udp-discard"] == {"datagrams": 1, "octets": 1000}


def test_an_echo_server_outlives_a_sender_that_it_cannot_answer(space: str, live: LiveCommand) -> None:
    script = "from scapy.all import *; sendp(Ether(dst=%r)/IP(src=%r, dst=%r)/UDP(sport=%d, dport=7)/b'x', iface='hw0')"
    for source, port in ((THEIRS, 0), ("192.0.2.9", 5000)):
        inside(space, sys.executable, "-c", script % (MAC, source, OURS, port))
    assert inside(space, "nc", "-u", "-w", "1", OURS, "7", stdin=b"still there?") == "still there?"
    echo = results(live.stop())["udp-echo"]
    assert echo["datagrams"] == 3
    assert echo["not sent back: Invalid argument"] == 1
    assert echo["not sent back: Network is unreachable"] == 1


def test_traceroute_arrives(space: str, live: LiveCommand) -> None:
    said = inside(space, "traceroute", "-n", "-q", "1", OURS)
    assert re.search(rf"^ 1  {OURS}  [\d.]+ ms$", said, re.MULTILINE), said


def test_nmap_tells_open_ports_from_closed_ones(space: str, live: LiveCommand) -> None:
    said = inside(space, "nmap", "-n", "-sU", "-p", "7,53", OURS)
    assert re.search(r"^7/udp +open +echo$", said, re.MULTILINE), said
    assert re.search(r"^53/udp +closed +domain$", said, re.MULTILINE), said


def test_a_gateway_leads_to_what_is_not_on_the_network(space: str) -> None:
    for words, answered in (((), 0), (("--gateway",), 1)):
        with start(space, *words):
            inside(space, "ip", "address", "add", "192.0.2.1/32", "dev", "lo")
            inside(space, "ip", "link", "set", "lo", "up")
            said = inside(space, "ping", "-c", "1", "-W", "1", "-I", "192.0.2.1", OURS, ok=False)
            assert f" {answered} received" in said


def test_waves_are_written(space: str, tmp_path: Path) -> None:
    waves = tmp_path / "nic.fst"
    with start(space, "--waves", str(waves)) as live:
        inside(space, "ping", "-c", "1", OURS)
        live.stop()
    assert waves.stat().st_size > 10_000
