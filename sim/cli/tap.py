"""``hardwire tap``: a simulated host whose cable ends in the real kernel."""

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .live import add_counts, drops_of, host_report, refusals, run_live, two_addresses, within
from .options import bounded, regular, writable
from .report import FAILED, CommandError, console, print_json, say

if TYPE_CHECKING:
    from ..machine import Setup
    from ..programs import Program

__all__ = ["tap"]

_SERVERS = {"echo": "udp-echo 7", "discard": "udp-discard 9"}  # RFC 862, RFC 863.


def tap(
    tap: Annotated[str, typer.Option("--tap", metavar="NAME", help="TAP device, made unless it is there.")],
    ip: Annotated[
        str,
        typer.Option(
            "--ip", metavar="ADDR/PREFIX", help="The simulated host's address; the kernel gets the first other one."
        ),
    ],
    gateway: Annotated[
        bool, typer.Option("--gateway", help="The simulated host sends all else to the kernel.")
    ] = False,
    mac: Annotated[str, typer.Option(metavar="MAC", help="MAC address of the simulated card.")] = "02:00:00:00:00:01",
    mtu: Annotated[int, typer.Option(metavar="OCTETS", help="MTU of both ends.")] = 1500,
    serve: Annotated[
        str, typer.Option(metavar="echo,discard", help="UDP servers on the simulated host: ports 7 and 9.")
    ] = "",
    netns: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Namespace for the TAP device; unless it is there, made and removed again."),
    ] = None,
    pcap: Annotated[
        Path | None, typer.Option(metavar="OUT.pcapng", help="Record what the card sends and receives.")
    ] = None,
    waves: Annotated[Path | None, typer.Option(metavar="OUT.fst", help="Record waves of the gateware; slow.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of every random choice.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Report as JSON.")] = False,
) -> None:
    """Put a simulated host on a TAP device, for the real kernel to talk to, until Ctrl-C; report what went by.

    Needs root. All that was made goes at the end, also if the program is killed.
    """
    from ..capture import Capture
    from ..netns import Namespace
    from ..tap import Tap
    from ..tap_link import TapLink

    bounded("--mtu", mtu, 68, 9000)
    writable("--pcap", pcap)
    regular("--waves", writable("--waves", waves))
    with ExitStack() as stack:
        with refusals():
            address, other = two_addresses(ip)
            servers = _servers(serve)
            setup = _setup(str(address), mac, mtu, waves is not None)
            namespace = None if netns is None else stack.enter_context(Namespace(netns))
            device = stack.enter_context(Tap(tap, namespace))
            machine = _machine(setup, seed, str(other.ip) if gateway else None)
            link = TapLink(machine.nic, device)
            device.set_up(address=other, mtu=mtu)
        for name, server in servers.items():
            machine.world.spawn(server.run, server, machine, name=name)
        if pcap is not None:
            stack.enter_context(Capture(pcap, [machine.dev.name])).watch(machine.nic)
        if waves is not None:
            machine.nic.waves(str(waves))
            stack.callback(machine.nic.waves, None)
        say(f"{address.ip} is behind {tap}, whose own address is {other.ip}: {within(netns)}ping {address.ip}")
        course, failure = run_live(machine.world, [link])
        host, outside = host_report(machine), device.report()
        report: dict[str, Any] = {
            "address": str(address),
            "peer": str(other),
            **outside,
            "host": host,
            "damaged": link.damaged,
            "drops": drops_of(host, outside),
            "serve": {name: server.result for name, server in servers.items()},
            **course,
        }
        if as_json:  # Before the files are closed, since that may fail.
            print_json(report)
        else:
            _print(report)
    for path in (pcap, waves):
        if path is not None:
            say(f"wrote {path}")
    if failure is not None:
        raise CommandError(failure, FAILED)


def _servers(text: str) -> "dict[str, Program]":
    from ..programs import parse_program

    names = [name for name in text.split(",") if name]
    for name in names:
        if name not in _SERVERS:
            raise ValueError(f"--serve: there is no {name!r}; there are {', '.join(_SERVERS)}")
    return {name: parse_program(_SERVERS[name]) for name in names}


def _setup(address: str, mac: str, mtu: int, waves: bool) -> "Setup":
    from ...stack.wire.address import mac_from_text
    from ..machine import Setup

    try:
        octets = mac_from_text(mac)
    except ValueError:
        raise ValueError(f"--mac: {mac!r} is not a MAC address, such as 02:00:00:00:00:01") from None
    if octets[0] & 1 or not any(octets):
        raise ValueError(f"--mac: {mac} is no address for a card")
    return Setup(address=address, mac=octets, mtu=mtu, waves=waves)


def _machine(setup: "Setup", seed: int, gateway: str | None) -> Any:
    from ...stack.iproute import route_add
    from ..machine import Machine
    from ..world import World

    machine = Machine(World(seed=seed), setup)
    if gateway is not None:
        route_add(machine.net, "default", via=gateway)
    return machine


def _print(report: dict[str, Any]) -> None:
    from rich.tree import Tree

    tree = Tree(f"{report['address']} behind {report['tap']}, {report['wall_s']:.1f} s")
    tree.add(f"from the kernel {report['from_kernel']:,} frames, to the kernel {report['to_kernel']:,}")
    for title, counts in (("drops", report["drops"]), *report["serve"].items(), ("card", report["host"]["counters"])):
        add_counts(tree, title, counts)
    if report["behind_s"]:
        tree.add(f"{report['behind_s']:.1f} s behind real time in all")
    console(plain=True).print(tree, soft_wrap=True)
