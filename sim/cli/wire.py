"""``hardwire wire``: the real kernel's traffic through driver and gateware, from one TAP device to another."""

from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .live import add_counts, drops_of, host_report, refusals, run_live, two_addresses, within
from .options import bounded
from .report import FAILED, MISUSED, CommandError, console, print_json, say

if TYPE_CHECKING:
    from ..lan import Lan

__all__ = ["wire"]

_SIDES = ("a", "b")


def wire(
    tap: Annotated[
        list[str], typer.Option("--tap", metavar="NAME", help="TAP device, made unless it is there; give two.")
    ],
    netns: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Namespace for each TAP device; unless it is there, made and removed again; give two."
        ),
    ] = None,
    ip: Annotated[
        str | None,
        typer.Option(
            "--ip", metavar="ADDR/PREFIX", help="Address of the first TAP device; the second gets the first other one."
        ),
    ] = None,
    mtu: Annotated[int, typer.Option(metavar="OCTETS", help="MTU of both ends.")] = 1500,
    no_offload: Annotated[
        bool, typer.Option("--no-offload", help="The kernel computes and checks all checksums, not the gateware.")
    ] = False,
    pcap: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Record what each card sends and receives: a.pcapng, b.pcapng")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of every random choice.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Report as JSON.")] = False,
) -> None:
    """Join two TAP devices by two network cards and a cable, until Ctrl-C; report what went by.

    What the kernel sends by one goes through the driver, the gateware, the cable, the other card's gateware and driver,
    and comes out of the other. Needs root. All that was made goes at the end, also if the program is killed.
    """
    from ..netns import Namespace
    from ..tap import Tap
    from ..tap_relay import TapRelay

    bounded("--mtu", mtu, 68, 9000)
    places = _places(tap, netns or [], ip)
    with ExitStack() as stack:
        with refusals():
            addresses = (None, None) if ip is None else two_addresses(ip)
            namespaces: dict[str | None, Namespace | None] = {None: None}
            for _, place in places:
                if place not in namespaces:
                    namespaces[place] = stack.enter_context(Namespace(str(place)))
            devices = [
                stack.enter_context(Tap(name, namespaces[place], vnet_hdr=True, checksums=not no_offload))
                for name, place in places
            ]
            lan = _lan(seed, mtu, not no_offload)
            relays = [TapRelay(machine.dev, device) for machine, device in zip(lan.machines, devices, strict=True)]
            for device, address in zip(devices, addresses, strict=True):
                device.set_up(address=address, mtu=mtu)
        if pcap is not None:
            _record(stack, lan, pcap)
        say(_ready(places, addresses))
        course, failure = run_live(lan.world, relays)
        report = {
            "sides": [
                _side(host_report(machine), device.report(), relay.dropped)
                for machine, device, relay in zip(lan.machines, devices, relays, strict=True)
            ],
            "cable": [asdict(counters) for counters in lan.links[0].counters],
            **course,
        }
        if as_json:  # Before the files are closed, since that may fail.
            print_json(report)
        else:
            _print(report)
    if failure is not None:
        raise CommandError(failure, FAILED)


def _places(taps: list[str], namespaces: list[str], ip: str | None) -> list[tuple[str, str | None]]:
    """Return name and namespace of each TAP device."""
    if len(taps) != 2:
        raise CommandError(f"give --tap twice, once for each end, not {len(taps)} times", MISUSED)
    if len(namespaces) not in (0, 2):
        raise CommandError("give --netns twice, once for each --tap, or not at all", MISUSED)
    within_each: list[str | None] = [*namespaces] or [None, None]
    places = list(zip(taps, within_each, strict=True))
    if places[0] == places[1]:
        raise CommandError(f"the two TAP devices need two names, or two namespaces: {taps[0]} and {taps[1]}", MISUSED)
    if ip is not None and places[0][1] == places[1][1]:
        raise CommandError(
            "--ip needs two different --netns: within one, the kernel would not send to its own address by a device",
            MISUSED,
        )
    return places


def _lan(seed: int, mtu: int, offload: bool) -> "Lan":
    from ..lan import Lan
    from ..machine import Setup
    from ..world import World

    setups = [
        Setup(address=None, mac=bytes((2, 0, 0, 0, 0, number)), mtu=mtu, offload=offload)
        for number, _ in enumerate(_SIDES, 1)
    ]
    return Lan(World(seed=seed), setups)


def _record(stack: ExitStack, lan: "Lan", folder: Path) -> None:
    from ..capture import Capture

    try:
        folder.mkdir(parents=True, exist_ok=True)
        for side, machine in zip(_SIDES, lan.machines, strict=True):
            stack.enter_context(Capture(folder / f"{side}.pcapng", [machine.dev.name])).watch(machine.nic)
    except OSError as error:
        raise CommandError(f"--pcap: cannot write {error.filename}: {error.strerror}", MISUSED) from error


def _ready(places: list[tuple[str, str | None]], addresses: Any) -> str:
    (one, namespace), (other, _) = places
    text = f"{one} and {other} are joined"
    return text if addresses[1] is None else f"{text}: {within(namespace)}ping {addresses[1].ip}"


def _side(host: dict[str, Any], tap: dict[str, Any], dropped: dict[str, int]) -> dict[str, Any]:
    return {**tap, "host": host, "drops": {**drops_of(host, tap), **{f"relay: {why}": n for why, n in dropped.items()}}}


def _print(report: dict[str, Any]) -> None:
    from rich.tree import Tree

    tree = Tree(f"{' and '.join(side['tap'] for side in report['sides'])}, {report['wall_s']:.1f} s")
    for side in report["sides"]:
        branch = tree.add(side["tap"] if side["namespace"] is None else f"{side['tap']} in {side['namespace']}")
        branch.add(f"from the kernel {side['from_kernel']:,} frames, to the kernel {side['to_kernel']:,}")
        add_counts(branch, "drops", side["drops"])
        add_counts(branch, "card", side["host"]["counters"])
    if report["behind_s"]:
        tree.add(f"{report['behind_s']:.1f} s behind real time in all")
    console(plain=True).print(tree, soft_wrap=True)
