"""Scenarios: what a TOML file may say, and what is said of one that makes no sense."""

import datetime
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from hardwire.sim.devices import device_names
from hardwire.sim.programs import Program
from hardwire.sim.scenario import Scenario, ScenarioError

README = Path(__file__).resolve().parents[2] / "README.md"
TWO = "[hosts.a]\n[hosts.b]\n"


def read(text: str) -> Scenario:
    return Scenario.from_table(tomllib.loads(text))


def test_hosts_are_numbered_unless_they_say_otherwise() -> None:
    scenario = read("[hosts.a]\n[hosts.b]\naddress = '192.0.2.9/28'\nmac = '02:00:00:00:00:99'\n[hosts.c]\n")
    found = [(host.name, host.setup.address, host.address, host.setup.mac.hex(":")) for host in scenario.hosts]
    assert found == [
        ("a", "10.0.0.1/24", "10.0.0.1", "02:00:00:00:00:01"),
        ("b", "192.0.2.9/28", "192.0.2.9", "02:00:00:00:00:99"),
        ("c", "10.0.0.3/24", "10.0.0.3", "02:00:00:00:00:03"),
    ]


def test_every_key_reaches_its_place(tmp_path: Path) -> None:
    path = tmp_path / "net.toml"
    path.write_text(
        """
seed = 7
start = 2030-05-06T07:08:09Z
switch = true

[cable]
delay_ns = 500
rate_bps = 100e6
loss = 0.1
corruption = 0.2
duplication = 0.3
reordering = 0.4
reorder_delay_ns = 600
queue_frames = 70

[names]
"Ns.Example" = "10.0.0.2"

[hosts.a]
mtu = 9000
offload = false
gateway = "10.0.0.2"
neighbours = { "10.0.0.2" = "02:00:00:00:00:02" }

[hosts.b]
run = ["python server.py --port '5 3'", "python -m server", "udp-echo 9"]
"""
    )
    scenario = Scenario.read(path)
    a, b = scenario.hosts
    assert (scenario.seed, scenario.switch, scenario.folder) == (7, True, tmp_path)
    assert scenario.start == datetime.datetime(2030, 5, 6, 7, 8, 9, tzinfo=datetime.UTC)
    assert scenario.cable == {
        "delay_ns": 500,
        "rate_bps": 100e6,
        "loss": 0.1,
        "corruption": 0.2,
        "duplication": 0.3,
        "reordering": 0.4,
        "reorder_delay_ns": 600,
        "queue_frames": 70,
    }
    assert (a.setup.mtu, a.setup.offload, a.gateway) == (9000, False, "10.0.0.2")
    assert a.setup.neighbours == {"10.0.0.2": "02:00:00:00:00:02"}
    assert b.programs[:2] == [["server.py", "--port", "5 3"], ["-m", "server"]]
    assert isinstance(b.programs[2], Program)
    assert b.programs[2].text == "udp-echo 9"
    assert scenario.addresses == {
        "localhost": "127.0.0.1",
        "a": "10.0.0.1",
        "b": "10.0.0.2",
        "ns.example": "10.0.0.2",
    }


def test_without_a_file_there_are_two_hosts_of_which_one_echoes() -> None:
    scenario = Scenario.default()
    assert scenario.addresses == {"localhost": "127.0.0.1", "host1": "10.0.0.1", "host2": "10.0.0.2"}
    assert [[program.text for program in host.programs if isinstance(program, Program)] for host in scenario.hosts] == [
        [],
        ["udp-echo"],
    ]


def test_hosts_are_found_by_name() -> None:
    scenario = read(TWO)
    assert scenario.host("b") == 1
    with pytest.raises(ScenarioError, match=r"^there is no host 'c'; there are a, b$"):
        scenario.host("c")


CABLE = (
    "cable.lost: there is no such key; there are delay_ns, rate_bps, loss, corruption, duplication, reordering, "
    "reorder_delay_ns, queue_frames"
)

MANY = "".join(f"[hosts.h{number}]\n" for number in range(255))

REFUSALS = [
    (MANY, "hosts must be 2 to 254 tables [hosts.NAME], not 255"),
    ("", "hosts must be 2 to 254 tables [hosts.NAME], not 0"),
    ("[hosts.a]", "hosts must be 2 to 254 tables [hosts.NAME], not 1"),
    ("[hosts.'../a']\n[hosts.b]", "hosts: '../a' is no name: letters, digits and -_. are allowed"),
    ("names = {'' = '10.0.0.1'}\n" + TWO, "names: '' is no name: letters, digits and -_. are allowed"),
    ("hosts = 3", "hosts must be a table, not 3"),
    ("hosts = {a = 1, b = {}}", "hosts.a must be a table, not 1"),
    (
        "sed = 3\n" + TWO,
        "sed: there is no such key; there are seed, start, switch, cable, names, hosts",
    ),
    ("seed = -1\n" + TWO, "seed must be a whole number from 0 to 9,223,372,036,854,775,807, not -1"),
    ("seed = 1.5\n" + TWO, "seed must be a whole number from 0 to 9,223,372,036,854,775,807, not 1.5"),
    ("seed = true\n" + TWO, "seed must be a whole number from 0 to 9,223,372,036,854,775,807, not true"),
    ("switch = 1\n" + TWO, "switch must be true or false, not 1"),
    (
        "start = 3\n" + TWO,
        "start must be a time with its zone, such as 2025-01-01T00:00:00Z, from 1970 to 2199, not 3",
    ),
    (
        "start = 2025-01-01T00:00:00\n" + TWO,
        "start must be a time with its zone, such as 2025-01-01T00:00:00Z, from 1970 to 2199, not 2025-01-01T00:00:00",
    ),
    ("cable = 3\n" + TWO, "cable must be a table, not 3"),
    ("cable = {loss = 1.5}\n" + TWO, "cable.loss must be a number from 0 to 1, not 1.5"),
    ("cable = {loss = nan}\n" + TWO, "cable.loss must be a number from 0 to 1, not nan"),
    ("cable = {loss = '1'}\n" + TWO, "cable.loss must be a number from 0 to 1, not '1'"),
    ("cable = {delay_ns = 7}\n" + TWO, "cable.delay_ns must be a number from 8 to 10,000,000,000, not 7"),
    ("cable = {rate_bps = 0}\n" + TWO, "cable.rate_bps must be a number from 1 to 1,000,000,000, not 0"),
    ("cable = {lost = 0}\n" + TWO, CABLE),
    ("names = {x = 'y'}\n" + TWO, "names.x: address: 'y' is not an IPv4 address"),
    ("names = {x = 1}\n" + TWO, "names.x must be an IPv4 address, not 1"),
    (
        "[hosts.a]\nadress = '10.0.0.1'\n[hosts.b]",
        "hosts.a.adress: there is no such key; there are address, mac, mtu, offload, device, gateway, neighbours, run",
    ),
    ("[hosts.a]\naddress = 1\n[hosts.b]", "hosts.a.address must be an address such as 10.0.0.1/24, not 1"),
    ("[hosts.a]\naddress = '10.0.0.256'\n[hosts.b]", "hosts.a.address: address: '10.0.0.256' is not an IPv4 address"),
    ("[hosts.a]\naddress = '10.0.0.1/33'\n[hosts.b]", "hosts.a.address: '33' is not a prefix length: 1..32"),
    (
        "[hosts.a]\naddress = '10.0.0.1/24:5'\n[hosts.b]",
        "hosts.a.address must be an address such as 10.0.0.1/24, not '10.0.0.1/24:5'",
    ),
    ("[hosts.a]\naddress = '127.0.0.2'\n[hosts.b]", "hosts.a.address: 127.0.0.2 is no address for a host"),
    (
        "[hosts.a]\naddress = '10.0.0.255'\n[hosts.b]",
        "hosts.a.address: 10.0.0.255 is the address of the network 10.0.0.0/24 or its broadcast address",
    ),
    ("[hosts.a]\naddress = '10.0.0.2'\n[hosts.b]", "hosts.b.address is that of hosts.a"),
    ("[hosts.a]\nmac = '02:00:00:00:00:02'\n[hosts.b]", "hosts.b.mac is that of hosts.a"),
    ("[hosts.a]\nmac = '2'\n[hosts.b]", "hosts.a.mac: address: '2' is not a MAC address"),
    (
        "[hosts.a]\nmac = '01:00:00:00:00:02'\n[hosts.b]",
        "hosts.a.mac must be the MAC address of one card, not 01:00:00:00:00:02",
    ),
    ("[hosts.a]\nmtu = 67\n[hosts.b]", "hosts.a.mtu must be a whole number from 68 to 9,000, not 67"),
    ("[hosts.a]\nmtu = 9001\n[hosts.b]", "hosts.a.mtu must be a whole number from 68 to 9,000, not 9001"),
    ("[hosts.a]\noffload = 'no'\n[hosts.b]", "hosts.a.offload must be true or false, not 'no'"),
    ("[hosts.a]\ngateway = '10.0.1.1'\n[hosts.b]", "hosts.a.gateway: 10.0.1.1 is no other address in 10.0.0.0/24"),
    ("[hosts.a]\ngateway = '10.0.0.1'\n[hosts.b]", "hosts.a.gateway: 10.0.0.1 is no other address in 10.0.0.0/24"),
    (
        "[hosts.a]\nneighbours = {'10.0.0.1' = '02:00:00:00:00:02'}\n[hosts.b]",
        "hosts.a.neighbours: 10.0.0.1 is the host's own address",
    ),
    (
        "[hosts.a]\nneighbours = {'10.0.0.2' = 3}\n[hosts.b]",
        "hosts.a.neighbours.10.0.0.2 must be a MAC address such as 02:00:00:00:00:02, not 3",
    ),
    (
        "[hosts.a]\nrun = 'python x.py'\n[hosts.b]",
        "hosts.a.run must be an array of command lines, such as [\"python server.py\"], not 'python x.py'",
    ),
    (
        "[hosts.a]\nrun = ['python']\n[hosts.b]",
        "hosts.a.run: 'python': after python comes a script, or -m and a module",
    ),
    (
        "[hosts.a]\nrun = ['python -O x.py']\n[hosts.b]",
        "hosts.a.run: 'python -O x.py': after python comes a script, or -m and a module",
    ),
    (
        "[hosts.a]\nrun = ['tcpdump -w /no/where']\n[hosts.b]",
        "hosts.a.run: tcpdump: argument -w: /no/where: No such file or directory",
    ),
    ("[hosts.a]\n[hosts.A]", "a is the name of two hosts (capital letters make no difference)"),
    ("[hosts.LocalHost]\n[hosts.b]", "localhost is the name of two hosts (capital letters make no difference)"),
    ("names = {B = '10.0.0.9'}\n" + TWO, "b is the name of two hosts (capital letters make no difference)"),
    ("switch = false\n[hosts.c]\n" + TWO, "switch must be true, or left out, for 3 hosts"),
    ('[hosts.a]\nrun = ["python \'x"]\n[hosts.b]', "hosts.a.run: No closing quotation"),
    (TWO + "device = 3", "hosts.b.device must be a kind of card, not 3"),
    (
        TWO + "device = 'abacus'",
        f"hosts.b.device: no device 'abacus'; there are {', '.join(device_names())}",
    ),
    (TWO + "device = 'sim:1'", "hosts.b.device: a device 'sim' has no place: leave out ':1'"),
    (
        TWO + "device = 'uart:/dev/x'",
        "hosts.b.device: uart:/dev/x is a real card on a real network: there can be no other hosts here",
    ),
    (
        "switch = true\n[hosts.a]\ndevice = 'uart:/dev/x'",
        "hosts.a.device: uart:/dev/x is a real card on a real network: there can be no switch here",
    ),
    (
        "[cable]\n[hosts.a]\ndevice = 'uart:/dev/x'",
        "hosts.a.device: uart:/dev/x is a real card on a real network: there can be no cable here",
    ),
]


@pytest.mark.parametrize(("text", "says"), REFUSALS)
def test_an_error_names_the_key_and_what_it_may_be(text: str, says: str) -> None:
    with pytest.raises(ScenarioError, match=f"^{re.escape(says)}$"):
        read(text)


def test_a_host_with_a_real_card_is_alone() -> None:
    scenario = read("[hosts.a]\ndevice = 'uart:/dev/ttyUSB0,baud=1000000'\n")
    assert scenario.is_real
    assert scenario.hosts[0].setup.device == "uart:/dev/ttyUSB0,baud=1000000"
    assert not read(TWO + "device = 'sim'\n").is_real


def test_an_unknown_program_is_named_with_those_that_there_are() -> None:
    says = r"^hosts\.a\.run: there is no program 'pong'; there are ping, udp-echo, .*, and python$"
    with pytest.raises(ScenarioError, match=says):
        read("[hosts.a]\nrun = ['pong']\n[hosts.b]")


@pytest.mark.parametrize("text", ["hosts =", TWO + "[hosts.a]\n"])
def test_what_is_no_toml_is_refused_with_the_name_of_the_file(text: str, tmp_path: Path) -> None:
    path = tmp_path / "net.toml"
    path.write_text(text)
    with pytest.raises(ScenarioError, match=f"^{re.escape(str(path))}: .* "):
        Scenario.read(path)


def test_the_scenario_in_the_readme_is_one() -> None:
    blocks: list[Any] = re.findall(r"```toml\n(.*?)```", README.read_text(), re.DOTALL)
    assert [len(read(block).hosts) for block in blocks] == [2]
