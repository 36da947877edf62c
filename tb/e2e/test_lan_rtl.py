"""Two hosts, two cards of real gateware, one bad cable: every datagram arrives, or is counted for its reason once."""

import json
import os
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pcapng import FileScanner
from pcapng.blocks import EnhancedPacket

from hardwire.sim.capture import Capture
from hardwire.sim.frame import Frame
from hardwire.sim.lan import Lan
from hardwire.sim.machine import Machine
from hardwire.sim.world import World
from hardwire.stack.core.drop_reasons import SkbDropReason
from hardwire.tb.bench import seed

PORT = 9000
FAULTS = {"loss": 0.01, "corruption": 0.01, "reordering": 0.01}
ARP = b"\x08\x06"


def device_counters(machine: Machine) -> dict[str, int]:
    ethtool = machine.dev.ethtool_ops
    return dict(zip(ethtool.get_strings(), ethtool.get_ethtool_stats(), strict=True))


def packets(capture: Path) -> int:
    """Return how many packets a capture has."""
    with capture.open("rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Of this library about its own table of options.
        return sum(isinstance(block, EnhancedPacket) for block in FileScanner(file))


def count_arp(counter: Counter[str], name: str) -> Callable[[list[Frame]], None]:
    """Return what counts good frames of ARP; the others are of programs."""

    def count(frames: list[Frame]) -> None:
        counter[name] += sum(frame.ok and frame.octets[12:14] == ARP for frame in frames)

    return count


def exchange(frames: int, first_seed: int, capture: Path | None = None, **faults: float) -> dict[str, Any]:
    """Let both hosts send to each other at once; return what there is to compare."""
    world = World(seed=first_seed)
    lan = Lan(world, 2, **faults)
    received: list[Counter[bytes]] = [Counter(), Counter()]
    sent: list[Counter[bytes]] = [Counter(), Counter()]

    def receiver(number: int) -> None:
        sock = lan.machines[number].net.socket()
        sock.bind(("0.0.0.0", PORT))
        while True:
            received[number][sock.recvfrom(65_507)[0]] += 1

    def sender(number: int) -> None:
        rng = world.random(f"sender{number}")
        sock = lan.machines[number].net.socket()
        for count in range(frames // 2):
            payload = count.to_bytes(4, "big") + rng.randbytes(rng.choice((0, 14, 60, rng.randrange(1400))))
            sock.sendto(payload, (f"10.0.0.{2 - number}", PORT))
            sent[number][payload] += 1
            world.sleep(rng.randrange(30_000))

    arp: list[Counter[str]] = [Counter(), Counter()]
    writer = None
    if capture is None:
        for machine, counter in zip(lan.machines, arp, strict=True):
            machine.nic.on_frames = count_arp(counter, "sent")
            machine.nic.on_received = count_arp(counter, "received")
    else:
        writer = Capture(capture, ["host1", "host2"])
        for machine, name in zip(lan.machines, ("host1", "host2"), strict=True):
            writer.watch(machine.nic, name)
    for number in range(2):
        world.spawn(receiver, number)
    world.join([world.spawn(sender, number) for number in range(2)])
    world.advance(4_000_000_000)  # Neighbours that were not found have failed by then.
    if writer is not None:
        writer.close()
    cycles = [machine.nic.cycle for machine in lan.machines]
    return {"lan": lan, "sent": sent, "received": received, "arp": arp, "cycles": cycles}


def check_balance(outcome: dict[str, Any]) -> None:
    """Follow the frames of both directions from one counter to the next."""
    lan = outcome["lan"]
    for number, (machine, other) in enumerate(zip(lan.machines, reversed(lan.machines), strict=True)):
        mine, theirs, link = device_counters(machine), device_counters(other), lan.links[0].counters[number]
        # Whatever the driver handed over was sent; the cable has it, lost it or delivered it.
        assert mine["tx_frames"] == link.sent
        assert link.in_flight == link.overflowed == link.cut == 0
        assert link.sent + link.duplicated == link.delivered + link.lost
        # The other card counts each as good, or as damaged in one way.
        damaged = [name for name in theirs if name in ("rx_fcs_errors", "rx_oversize", "rx_jabbers", "rx_no_sfd")]
        damaged += ["rx_alignment_errors", "rx_symbol_errors", "rx_undersize", "rx_fragments"]
        assert theirs["rx_frames"] + sum(theirs[name] for name in damaged) == link.delivered
        assert sum(theirs[name] for name in damaged) == link.corrupted
        lost_inside = ("filtered", "missed", "no_buffer", "disabled", "bus_errors", "refused")
        assert theirs["rx_frames"] == theirs["rx_delivered"] + sum(theirs[f"rx_{name}"] for name in lost_inside)
        # What a program was not given, was never sent, or was lost or damaged on the way: no octet is wrong.
        missing = outcome["sent"][number] - outcome["received"][1 - number]
        assert not outcome["received"][1 - number] - outcome["sent"][number]
        drops = machine.kernel.drops
        unsent = sum(drops[reason] for reason in (SkbDropReason.NEIGH_QUEUEFULL, SkbDropReason.NEIGH_FAILED))
        missing_arp = outcome["arp"][number]["sent"] - outcome["arp"][1 - number]["received"]
        assert sum(missing.values()) + missing_arp == link.lost + link.corrupted + unsent


def test_both_ways_over_a_bad_cable_all_frames_are_accounted_for() -> None:
    first_seed = seed()
    print(f"HARDWIRE_SEED={first_seed}")
    outcome = exchange(2000, first_seed, **FAULTS)
    check_balance(outcome)


def test_a_good_cable_delivers_every_datagram_and_arp_goes_through_the_cards() -> None:
    outcome = exchange(200, 1)
    assert outcome["sent"][0] == outcome["received"][1]
    assert outcome["sent"][1] == outcome["received"][0]
    for machine in outcome["lan"].machines:
        assert len(machine.dev.priv.shadow) == 1  # The next hop is in the card's cache.
    check_balance(outcome)


def test_the_same_seed_gives_the_same_capture_and_cycles(tmp_path: Path) -> None:
    captures = [tmp_path / f"{number}.pcapng" for number in range(2)]
    cycles = [exchange(200, 7, capture, **FAULTS)["cycles"] for capture in captures]
    assert cycles[0] == cycles[1]
    assert captures[0].read_bytes() == captures[1].read_bytes()
    assert packets(captures[0]) > 350


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_100000_frames_over_a_bad_cable_are_accounted_for() -> None:
    first_seed = seed()
    print(f"\nHARDWIRE_SEED={first_seed}")
    check_balance(exchange(int(os.environ.get("HARDWIRE_FRAMES", "100000")), first_seed, **FAULTS))


def lan_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from hardwire.sim.cli import main; main()", "lan", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_command_pings_and_writes_a_capture_for_each_card(tmp_path: Path) -> None:
    result = lan_command("ping 10.0.0.2 -c 3 -i 1", "--json", "--pcap", str(tmp_path / "captures"))
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    pinged = report["hosts"][0]["result"]
    assert (pinged["transmitted"], pinged["received"], pinged["lost"]) == (3, 3, 0)
    assert 0 < pinged["round_trip_ns"]["min"] <= pinged["round_trip_ns"]["max"]
    assert [link["delivered"] for link in report["links"]] == [4, 4]
    for number in (1, 2):
        assert packets(tmp_path / "captures" / f"host{number}.pcapng") == 8


def test_command_runs_a_program_on_each_host_of_a_switch() -> None:
    result = lan_command("udp-echo 7", "send 10.0.0.1:7 -c 5 --echo", "ping 10.0.0.2 -c 1", "--json")
    assert result.returncode == 0, result.stderr
    echo, send, ping = (host["result"] for host in json.loads(result.stdout)["hosts"])
    assert echo == {"datagrams": 5, "octets": 5000}
    assert send == {"sent": 5, "octets": 5000, "echoed": 5}
    assert ping["received"] == 1


def seen(path: Path) -> list[tuple[str, str, int, bytes]]:
    """Return direction, kind, original length and octets of the frames in a capture."""
    with path.open("rb") as file:
        blocks = [block for block in FileScanner(file) if isinstance(block, EnhancedPacket)]
    flags = [block.options["epb_flags"] for block in blocks]
    return [
        (flag.inout, flag.casttype, block.packet_len, block.packet_data)
        for flag, block in zip(flags, blocks, strict=True)
    ]


@pytest.mark.filterwarnings("ignore:Field type should not be:DeprecationWarning")
def test_tcpdump_on_a_host_sees_what_its_card_does(tmp_path: Path) -> None:
    result = lan_command(
        "ping 10.0.0.2 -c 2 -i 1", f"tcpdump -w {tmp_path}/seen.pcapng", "--json", "--pcap", str(tmp_path)
    )
    assert result.returncode == 0, result.stderr
    host = json.loads(result.stdout)["hosts"][1]
    assert host["result"] == {"captured": 6, "received": 6, "dropped": 0}
    frames = seen(tmp_path / "seen.pcapng")
    kinds = [("inbound", "broadcast"), ("outbound", "NA")] + 2 * [("inbound", "unicast"), ("outbound", "NA")]
    assert [frame[:2] for frame in frames] == kinds
    assert all(length == len(octets) for _, _, length, octets in frames)
    # The card pads what it sends.
    card = [(way, octets) for way, _, _, octets in seen(tmp_path / "host2.pcapng")]
    assert [(way, octets.ljust(60, b"\0")) for way, _, _, octets in frames] == card


@pytest.mark.filterwarnings("ignore:Field type should not be:DeprecationWarning")
def test_tcpdump_takes_a_filter_a_length_and_a_count(tmp_path: Path) -> None:
    # tcpdump -y EN10MB -ddd icmp
    (tmp_path / "icmp").write_text("6\n40 0 0 12\n21 0 3 2048\n48 0 0 23\n21 0 1 1\n6 0 0 262144\n6 0 0 0\n")
    words = f"tcpdump -w {tmp_path}/seen.pcapng -i eth0 -p -s 40 -c 3 -F {tmp_path}/icmp"
    result = lan_command("ping 10.0.0.2 -c 3 -i 1", words, "--json")
    assert result.returncode == 0, result.stderr
    counts = json.loads(result.stdout)["hosts"][1]["result"]
    assert (counts["captured"], counts["dropped"]) == (3, 0)  # More may have passed the filter meanwhile.
    frames = seen(tmp_path / "seen.pcapng")
    assert [(way, length, len(octets)) for way, _, length, octets in frames] == [
        ("inbound", 98, 40),
        ("outbound", 98, 40),
        ("inbound", 98, 40),
    ]
    assert {octets[23] for _, _, _, octets in frames} == {1}


def test_tcpdump_of_a_device_that_is_not_there_says_so(tmp_path: Path) -> None:
    result = lan_command("idle", f"tcpdump -w {tmp_path}/seen.pcapng -i eth9")
    assert result.returncode == 0, result.stderr
    assert "eth9: no device 'eth9'" in result.stdout


def test_command_shows_a_tree() -> None:
    result = lan_command("ping 10.0.0.9 -c 1", "--loss", "0")
    assert result.returncode == 0, result.stderr
    assert "host1  10.0.0.1" in result.stdout
    assert "1 sent, 0 received" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("fly",),
            (
                "there is no program 'fly'; there are ping, udp-echo, udp-discard, udp-chargen, "
                "tcp-echo, tcp-discard, tcp-chargen, send, tcpdump, idle"
            ),
        ),
        (("tcpdump",), "tcpdump: the following arguments are required: -w"),
        (("tcpdump -w /proc/x",), "tcpdump: argument -w: /proc/x: No such file or directory"),
        (("tcpdump -w x -F /proc/x",), "tcpdump: argument -F: /proc/x: No such file or directory"),
        (("tcpdump -w x -F /dev/null",), "tcpdump: argument -F: /dev/null: neither 'tcpdump -dd' nor"),
        (("tcpdump -w x -s 0",), "tcpdump: argument -s: '0' is not a number: 1..262144"),
        (("ping",), "ping: the following arguments are required: ADDR"),
        (("ping nobody",), "ping: argument ADDR: address: 'nobody' is not an IPv4 address"),
        (("ping 10.0.0.2 -c ²",), "ping: argument -c: '²' is not a number: 1..1000000"),
        (("send 10.0.0.2",), "send: argument ADDR:PORT: '10.0.0.2' has no port: write 10.0.0.2:9000"),
        (("'",), '"\'": No closing quotation'),
        (("idle", "--loss", "2"), "loss must be from 0 to 1, not 2.0"),
        (("idle", "--hosts", "1"), "a network has 2 to 254 machines, not 1"),
        (("idle", "--hosts", "-5"), "a network has 2 to 254 machines, not -5"),
        (("idle",) * 255, "a network has 2 to 254 machines, not 255"),
        (("idle", "idle", "idle", "--hosts", "2"), "3 programs need as many hosts, not 2"),
        (("idle", "--delay-ns", "0"), "delay_ns must be from 8 to 10000000000, not 0.0"),
        (("idle", "--delay-ns", "nan"), "delay_ns must be from 8 to 10000000000, not nan"),
        (("idle", "--delay-ns", "inf"), "delay_ns must be from 8 to 10000000000, not inf"),
        (("idle", "--rate-mbps", "1e-300"), "rate_bps must be from 1 to 1000000000, not 1e-294"),
        (("idle", "--pcap", "/proc/captures"), "--pcap: cannot write /proc/captures: No such file or directory"),
    ],
)
def test_command_refuses_nonsense_in_one_line(arguments: tuple[str, ...], message: str) -> None:
    result = lan_command(*arguments)
    assert result.returncode == 2
    assert result.stderr.startswith(f"hardwire: {message}")
    assert result.stderr.count("\n") == 1


def test_what_programs_say_is_shown_as_it_is() -> None:
    shown = lan_command("ip -j -d link show eth0; ip link set eth0 address 02:00:ab:cd:00:01; ip link show eth0").stdout
    (links,) = (line for line in shown.splitlines() if '"ifname"' in line)
    assert json.loads(links[links.index("[") :])[0]["ifname"] == "eth0"  # Not cut off, and no markup.
    assert "    link/ether 02:00:ab:cd:00:01 brd ff:ff:ff:ff:ff:ff" in shown


def test_a_sequence_ends_with_one_that_serves(tmp_path: Path) -> None:
    seen = tmp_path / "seen.pcapng"
    shown = lan_command(f"ping 10.0.0.2 -c 1; tcpdump -w {seen}", "ip link show eth0; udp-echo").stdout
    assert "1 sent, 1 received" in shown
    assert "0 packets captured" in shown
    shown = lan_command("ping 10.0.0.2 -c 1", f"ip link set eth0 txqueuelen 500; tcpdump -w {seen}").stdout
    assert "4 packets captured" in shown


@pytest.mark.parametrize("below", ["eth0", "bond0", "br0", "m0"])
def test_vlans_pass_the_cards_whatever_is_between(below: str) -> None:
    made = {
        "bond0": "ip link add bond0 type bond; ip link set eth0 down; ip link set eth0 master bond0; ",
        "br0": "ip link add br0 type bridge; ip link set eth0 master br0; ",
        "m0": "ip link add link eth0 name m0 type macvlan mode bridge; ",
    }.get(below, "")
    made += f"ip link set {below} up; ip link add link {below} name v type vlan id 5; ip link set v up; "
    shown = lan_command(
        f"{made} ip addr add 10.5.0.1/24 dev v; ping 10.5.0.2 -c 2 -s 1472; cat /proc/net/dev",
        f"{made} ip addr add 10.5.0.2/24 dev v",
    ).stdout
    assert "2 sent, 2 received" in shown
    (counted,) = (line.split("v:")[1].split() for line in shown.splitlines() if " v:" in line)
    assert int(counted[1]) >= 3  # The ARP reply, and the echoes.


def test_a_command_that_fails_makes_the_whole_fail() -> None:
    result = lan_command("ip link set nope up; ping 10.0.0.2 -c 1")
    assert (result.returncode, result.stderr) == (1, "hardwire: failed: ip link set nope up\n")
    assert "1 sent, 1 received" in result.stdout  # What comes after it runs all the same.
