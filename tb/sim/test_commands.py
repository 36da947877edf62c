"""The administrator's commands on simulated hosts: alone, and between programs of ``hardwire lan``."""

import pytest

from hardwire.sim.commands import COMMANDS, run_command, split_commands
from hardwire.sim.lan import Lan
from hardwire.sim.machine import Machine, Setup
from hardwire.sim.programs import ProgramError, parse_program
from hardwire.sim.world import World


@pytest.fixture
def machine() -> Machine:
    return Machine(World(), Setup())


def run(machine: Machine, text: str) -> list[str]:
    program = parse_program(text)
    machine.world.run(program.run, program, machine)
    return program.lines


def test_each_command_runs_on_a_host(machine):
    said = {
        "ip -br addr": "eth0             UNKNOWN        10.0.0.1/24 ",
        "tc qdisc show dev eth0": "qdisc pfifo_fast 0: root refcnt 2 bands 3 priomap 1 2 2 2 1 2 0 0 1 1 1 1 1 1 1 1",
        "ethtool -i eth0": "driver: hardwire",
        "sysctl net.ipv4.ip_forward": "net.ipv4.ip_forward = 0",
        "sysctl -w net.ipv4.ip_forward=1": "net.ipv4.ip_forward = 1",
        "nft 'add table ip t; add chain ip t c; list ruleset'": "table ip t {",
        "cat /proc/net/arp": "IP address       HW type     Flags       HW address            Mask     Device",
    }
    assert {command: said[command] in run(machine, command) for command in said} == dict.fromkeys(said, True)
    assert {command.split()[0] for command in said} == set(COMMANDS)


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ("ip link set nope up", 'Cannot find device "nope"'),
        ("sysctl net.nope", "no setting net.nope"),
        ("cat /etc/passwd", "cat: /etc/passwd: No such file or directory; there are those of /proc/net"),
        ("cat /proc/net/nope", "nope"),
        ("nft nope", "nope"),
        ("ethtool", "ethtool: bad command line argument(s)"),
    ],
)
def test_a_command_that_fails_says_why(machine, command, text):
    with pytest.raises(OSError, match=".") as raised:
        run_command(machine.net, command.split())
    assert text in str(raised.value.strerror)
    assert any(text in line for line in run(machine, command))


def test_commands_and_programs_run_one_after_the_other_on_a_host():
    lan = Lan(World(seed=1))
    first = parse_program("tc qdisc add dev eth0 root netem delay 5ms; ping 10.0.0.2 -c 2 -i 1; ip neigh show 10.0.0.2")
    lan.world.run(first.run, first, lan.machines[0])
    # The ARP request and the echo request are held back, then the echo request.
    assert [float(line.split("time=")[1].split()[0]) // 1000 for line in first.lines[:2]] == [10, 5]
    assert first.lines[3] == "10.0.0.2 dev eth0 lladdr 02:00:00:00:00:02 REACHABLE "


def test_a_sequence_that_cannot_be_is_refused():
    assert split_commands(["a", "b", ";", ";", "c"]) == [["a", "b"], ["c"]]
    for text, error in (
        ("udp-echo; ping 10.0.0.2", "'udp-echo' does not end: nothing comes after it"),
        ("ip link; nope", "there is no program 'nope'"),
        (" ; ", "there is no program"),
        ("ping 'x", "No closing quotation"),
    ):
        with pytest.raises(ProgramError, match=error):
            parse_program(text)
