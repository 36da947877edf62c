"""A card on a serial port from end to end: stack, driver, terminal, serial line, gateware, cable.

Only the terminal's wire is not real: at its far end is the simulated board.
"""

import json
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw, raw
from scapy.utils import rdpcap

from hardwire.sim.machine import Machine, Setup
from hardwire.sim.world import World
from hardwire.tb.sim.pty_card import PtyCard, pty_card

HARDWIRE = Path(sys.executable).with_name("hardwire")
MAC, PEER = "02:00:00:00:00:01", "02:00:00:00:00:02"


@pytest.fixture
def card() -> Iterator[PtyCard]:
    with pty_card() as card:
        yield card


def payloads(frames: list[bytes]) -> list[bytes]:
    """Return what the datagrams to port 9000 carry; scapy checks their checksums."""
    found = []
    for octets in frames:
        packet = Ether(octets)
        if UDP in packet and packet[UDP].dport == 9000:
            again = Ether(octets)
            del again[IP].chksum, again[UDP].chksum
            assert raw(Ether(raw(again))[IP]) == raw(packet[IP])
            found.append(bytes(packet[UDP].payload)[: packet[UDP].len - 8])
    return found


def test_hardwire_send_sends_from_the_card(card: PtyCard, tmp_path: Path) -> None:
    data = bytes(range(256)) * 9
    (tmp_path / "data").write_bytes(data)
    pcap = tmp_path / "seen.pcapng"
    words: list[str | Path] = [
        "send",
        "--file",
        tmp_path / "data",
        "--to",
        "10.0.0.2:9000",
        "--neigh",
        f"10.0.0.2={PEER}",
    ]
    run = subprocess.run(
        [HARDWIRE, *words, "--device", card.device, "--pcap", pcap, "--json"],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    report = json.loads(run.stdout)
    assert (report["datagrams"], report["payload_octets"], report["frames"]) == (2, len(data), 2)
    assert report["device"]["tx_frames"] == 2
    assert b"".join(payloads(card.sent)) == data
    seen = [raw(packet) for packet in rdpcap(str(pcap))]
    assert len(seen) == 2  # What the stack gave the driver, which leaves checksums and addresses to the card.
    assert [octets[42:] for octets in seen] == payloads(card.sent)


def test_ping_is_answered_through_the_terminal(card: PtyCard) -> None:
    world = World()
    machine = Machine(world, Setup(device=card.device, neighbours={"10.0.0.2": PEER}))
    request = Ether(src=PEER, dst=MAC) / IP(src="10.0.0.2", dst="10.0.0.1") / ICMP(id=7, seq=1) / Raw(bytes(900))
    octets = raw(request)
    card.receive(octets, zlib.crc32(octets).to_bytes(4, "little"))
    limit_s = time.monotonic() + 120
    while not card.sent:
        assert time.monotonic() < limit_s
        world.advance(20_000_000)
    reply = Ether(card.sent[0])
    assert (reply.dst, reply[IP].dst, reply[ICMP].type, reply[ICMP].id) == (PEER, "10.0.0.2", 0, 7)
    assert bytes(reply[ICMP].payload) == bytes(900)
    assert machine.nic.take_violations() == []
    machine.nic.close()


def test_hardwire_run_runs_a_program_on_a_host_with_the_card(card: PtyCard, tmp_path: Path) -> None:
    (tmp_path / "net.toml").write_text(
        f"[hosts.desk]\ndevice = '{card.device}'\nneighbours = {{ '10.0.0.2' = '{PEER}' }}\n"
    )
    (tmp_path / "program.py").write_text(
        "import socket\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "s.sendto(b'from a program', ('10.0.0.2', 9000))\n"
        "print(s.getsockname()[0])\n"
    )
    words = ["run", "--scenario", "net.toml", "--pcap", "captures", "--json", "report.json", "program.py"]
    run = subprocess.run([HARDWIRE, *words], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    limit_s = time.monotonic() + 120
    report = tmp_path / "report.json"
    while not card.sent or not report.exists() or not report.read_text().endswith("}\n"):
        assert time.monotonic() < limit_s, run.stderr
        time.sleep(0.05)
    assert payloads(card.sent) == [b"from a program"]
    told = json.loads(report.read_text())
    assert told["links"] == []
    assert told["hosts"][0]["host"] == "desk"
    assert (tmp_path / "captures" / "desk.pcapng").stat().st_size > 100
