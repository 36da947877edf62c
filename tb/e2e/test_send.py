"""``hardwire send`` and the path below it: tshark finds no fault, and gives the payload back."""

import subprocess
import sys
from pathlib import Path

import pytest

from hardwire.sim.capture import Capture
from hardwire.sim.frame import Frame
from hardwire.sim.machine import Machine, Setup
from hardwire.sim.world import World
from hardwire.stack.uapi import AF_INET, SOCK_DGRAM

DESTINATION, MAC = "10.0.0.2", "02:00:00:00:00:02"
PORT = 9000
LENGTHS = (*range(1473), 65_507)


def tshark(capture: Path, *arguments: str) -> str:
    """Return what tshark prints of a capture: every checksum verified, fragments put together, payload left alone."""
    command = ["tshark", "-n", "-r", str(capture), "-d", f"udp.port=={PORT},data"]
    for option in ("ip.check_checksum:TRUE", "udp.check_checksum:TRUE", "ip.defragment:TRUE"):
        command += ["-o", option]
    return subprocess.run([*command, *arguments], capture_output=True, text=True, check=True).stdout


def datagrams(capture: Path, *fields: str) -> list[list[str]]:
    """Return fields of each whole UDP datagram."""
    names = [word for field in fields for word in ("-e", field)]
    rows = tshark(capture, "-Y", "udp", "-T", "fields", "-E", "occurrence=a", *names)
    return [line.split("\t") for line in rows.splitlines()]


def faults(capture: Path) -> str:
    """Return the packets with which tshark finds fault."""
    return tshark(capture, "-Y", "ip.checksum.status == 0 || udp.checksum.status == 0 || _ws.malformed")


def payload(length: int) -> bytes:
    return bytes((7 * length + 13 * at) & 0xFF for at in range(length))


def frames_of_every_length(*, offload: bool) -> list[Frame]:
    machine = Machine(World(seed=1), Setup(neighbours={DESTINATION: MAC}, offload=offload))

    def program() -> None:
        sender = machine.net.socket(AF_INET, SOCK_DGRAM)
        sender.bind(("", 40_000))
        for length in LENGTHS:
            assert sender.sendto(payload(length), (DESTINATION, PORT)) == length

    machine.world.run(program)
    machine.world.drain()
    frames = machine.nic.take_frames()
    assert all(frame.ok for frame in frames)
    return frames


@pytest.fixture(scope="module")
def with_offload() -> list[Frame]:
    return frames_of_every_length(offload=True)


def test_tshark_accepts_every_payload_length(with_offload: list[Frame], tmp_path: Path) -> None:
    path = tmp_path / "lengths.pcapng"
    with Capture(path) as capture:
        capture.write_frames(with_offload)
    assert faults(path) == ""
    rows = datagrams(path, "udp.checksum.status", "udp.length", "data.data")
    assert len(rows) == len(LENGTHS)
    for length, (status, udp_length, octets) in zip(LENGTHS, rows, strict=True):
        assert status == "1"
        assert int(udp_length) == length + 8
        assert bytes.fromhex(octets) == payload(length)


def test_octets_on_the_wire_are_the_same_without_offloads(with_offload: list[Frame]) -> None:
    without = frames_of_every_length(offload=False)
    assert [frame.octets for frame in without] == [frame.octets for frame in with_offload]


@pytest.mark.parametrize("options", [(), ("--no-offload",)], ids=["offload", "no-offload"])
def test_readme_arrives_byte_for_byte(options: tuple[str, ...], tmp_path: Path) -> None:
    readme, out = Path(__file__).resolve().parents[2] / "README.md", tmp_path / "out.pcapng"
    arguments = ["send", "--file", str(readme), "--to", f"10.0.0.2:{PORT}", "--neigh", "10.0.0.2=02:00:00:00:00:02"]
    command = [
        sys.executable,
        "-c",
        "from hardwire.sim.cli import main; main()",
        *arguments,
        "--pcap",
        str(out),
        *options,
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert faults(out) == ""
    rows = datagrams(out, "ip.checksum.status", "udp.checksum.status", "eth.dst", "data.data")
    assert {tuple(row[:3]) for row in rows} == {("1", "1", "02:00:00:00:00:02")}
    assert b"".join(bytes.fromhex(row[3]) for row in rows) == readme.read_bytes()
