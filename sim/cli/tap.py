"""``hardwire tap``: a simulated host whose cable ends in the real kernel."""

from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .live import add_counts, drops_of, host_report, refusals, run_live, two_addresses, within
from .options import (
    Corruption,
    DelayNs,
    Duplication,
    Loss,
    RateMbps,
    ReorderDelayNs,
    Reordering,
    bounded,
    cable_of,
    regular,
    writable,
)
from .report import FAILED, CommandError, console, print_json, say

if TYPE_CHECKING:
    from ..machine import Setup
    from ..program import Program

__all__ = ["tap"]

_SERVERS = ("echo", "discard", "chargen")
_DAMAGED = "kernel: the frame has a wrong FCS or symbol"
_LINK_UP_NS = 1_000_000
_GOOD_CABLE = (100, 1000, 0, 0, 0, 0, 100_000)


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
        str,
        typer.Option(
            metavar="echo,discard,chargen", help="Servers on the simulated host, by UDP and by TCP: ports 7, 9 and 19."
        ),
    ] = "",
    run: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COMMAND",
            help="A program on the simulated host, in quotes: 'python SCRIPT ...' or 'python -m MODULE ...', as it is, "
            "or what hardwire lan takes; as often as you like. When all have ended (servers never do), so does this.",
        ),
    ] = None,
    netns: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Namespace for the TAP device; unless it is there, made and removed again."),
    ] = None,
    delay_ns: DelayNs = _GOOD_CABLE[0],
    rate_mbps: RateMbps = _GOOD_CABLE[1],
    loss: Loss = _GOOD_CABLE[2],
    corruption: Corruption = _GOOD_CABLE[3],
    duplication: Duplication = _GOOD_CABLE[4],
    reordering: Reordering = _GOOD_CABLE[5],
    reorder_delay_ns: ReorderDelayNs = _GOOD_CABLE[6],
    pcap: Annotated[
        Path | None, typer.Option(metavar="OUT.pcapng", help="Record what the card sends and receives.")
    ] = None,
    waves: Annotated[Path | None, typer.Option(metavar="OUT.fst", help="Record waves of the gateware; slow.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of every random choice.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Report as JSON.")] = False,
) -> None:
    """Put a simulated host on a TAP device, for the real kernel to talk to, until Ctrl-C; report what went by.

    Its own programs see the real time. Frames pass at once, unless an option says what the cable is like. Needs root.
    All that was made goes at the end, also if the program is killed.
    """
    from ..capture import Capture
    from ..live_programs import LivePrograms
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
            asked = _asked(run or [])
            cable = (delay_ns, rate_mbps, loss, corruption, duplication, reordering, reorder_delay_ns)
            setup = _setup(str(address), mac, mtu, waves is not None)
            namespace = None if netns is None else stack.enter_context(Namespace(netns))
            device = stack.enter_context(Tap(tap, namespace))
            machine = _machine(setup, seed, str(other.ip) if gateway else None)
            link = TapLink(machine.nic, device, **({} if cable == _GOOD_CABLE else cable_of(*cable)))
            device.set_up(address=other, mtu=mtu)
        if pcap is not None:
            stack.enter_context(Capture(pcap, [machine.dev.name])).watch(machine.nic)
        if waves is not None:
            machine.nic.waves(str(waves))
            stack.callback(machine.nic.waves, None)
        machine.world.settle(_LINK_UP_NS)
        programs = LivePrograms(machine, {"localhost": "127.0.0.1", "host1": str(address.ip), "host2": str(other.ip)})
        stack.callback(programs.kill)
        for program in (*servers, *asked):
            programs.start(program)
        machine.world.advance(0)  # Until all of them wait for something.
        say(f"{address.ip} is behind {tap}, whose own address is {other.ip}: {within(netns)}ping {address.ip}")
        course, failure = run_live(machine.world, [link], lambda: programs.over)
        programs.end([link], say)
        for line in programs.lines:
            say(line)
        host, outside = host_report(machine), device.report()
        through = {way: asdict(counters) for way, counters in link.counters.items()}
        report: dict[str, Any] = {
            "address": str(address),
            "peer": str(other),
            **outside,
            "host": host,
            "damaged": link.damaged,
            "cable": through,
            "drops": drops_of(host, outside, through) | ({_DAMAGED: link.damaged} if link.damaged else {}),
            "programs": programs.report(),
            **course,
        }
        if as_json:  # Before the files are closed, since that may fail.
            print_json(report)
        else:
            _print(report)
    for path in (pcap, waves):
        if path is not None:
            say(f"wrote {path}")
    failures = [*programs.failed, *([] if failure is None else [failure])]
    if failures:
        raise CommandError("; ".join(failures), FAILED)


def _servers(text: str) -> "list[Program]":
    from ..programs import parse_program

    names = [name for name in text.split(",") if name]
    for name in names:
        if name not in _SERVERS:
            raise ValueError(f"--serve: there is no {name!r}; there are {', '.join(_SERVERS)}")
    return [parse_program(f"{protocol}-{name}") for name in names for protocol in ("udp", "tcp")]


def _asked(lines: list[str]) -> "list[Program | list[str]]":
    from ..scenario import ScenarioError, program_of

    try:
        return [program_of(line) for line in lines]
    except ScenarioError as error:
        raise ValueError(f"--run{error}") from error


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
    add_counts(tree, "drops", report["drops"])
    for way, counters in report["cable"].items():
        add_counts(tree, f"cable {way}", {what: count for what, count in counters.items() if count})
    for one in report["programs"]:
        if "result" in one:
            add_counts(tree, one["program"], one["result"])
    add_counts(tree, "card", report["host"]["counters"])
    if report["behind_s"]:
        tree.add(f"{report['behind_s']:.1f} s behind real time in all")
    console(plain=True).print(tree, soft_wrap=True)
