"""``hardwire send``: real data through stack, driver and gateware, and the journey that it took."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .journey import JourneyFiles, mark_waves, save, usable
from .options import bounded, regular, writable
from .report import FAILED, MISUSED, CommandError, console, print_json, say

if TYPE_CHECKING:
    from ..send import Endpoint, SendReport, SendRequest

__all__ = ["send"]


def send(
    to: Annotated[str, typer.Option("--to", metavar="ADDR:PORT", help="Where to send the datagrams.")],
    file: Annotated[Path | None, typer.Option("--file", metavar="FILE", help="Send the file's content.")] = None,
    text: Annotated[str | None, typer.Option("--text", metavar="TEXT", help="Send this text, as UTF-8.")] = None,
    stdin: Annotated[bool, typer.Option("--stdin", help="Send what comes in.")] = False,
    source: Annotated[
        str, typer.Option("--from", metavar="ADDR[/PREFIX][:PORT]", help="Address of the simulated host.")
    ] = "10.0.0.1/24",
    mtu: Annotated[int, typer.Option(metavar="OCTETS", help="MTU of the device.")] = 1500,
    neigh: Annotated[
        list[str] | None,
        typer.Option(metavar="IP=MAC", help="MAC address of a neighbour; repeatable. The others are asked for by ARP."),
    ] = None,
    size: Annotated[int, typer.Option(metavar="OCTETS", help="Largest payload of one datagram.")] = 1400,
    count: Annotated[int, typer.Option(metavar="N", help="Send everything so many times.")] = 1,
    df: Annotated[bool, typer.Option("--df", help="Do not fragment: what exceeds the MTU is an error.")] = False,
    no_offload: Annotated[
        bool, typer.Option("--no-offload", help="Checksums and MAC addresses by the stack, not by the device.")
    ] = False,
    pcap: Annotated[Path | None, typer.Option(metavar="OUT.pcapng", help="Record the frames on the wire.")] = None,
    waves: Annotated[Path | None, typer.Option(metavar="OUT.fst", help="Record waves of the gateware.")] = None,
    journey: JourneyFiles = None,
    device: Annotated[
        str,
        typer.Option(
            metavar="KIND[:PLACE]",
            help="The card: sim, board-sim (a whole board), or a real one: uart:/dev/ttyUSB0[,baud=N].",
        ),
    ] = "sim",
    seed: Annotated[int, typer.Option(help="Seed of every random choice.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Report as JSON.")] = False,
) -> None:
    """Send data over UDP through the network stack, the driver and the gateware; show the journey."""
    from ..send import SendRequest

    host = _host("--from", source)
    journey_files = usable(journey)
    request = SendRequest(
        payload=_payload(file, text, stdin),
        to=_endpoint("--to", to, port_needed=True),
        source=host,
        neighbours=_neighbours(neigh or [], host),
        mtu=bounded("--mtu", mtu, 68, 9000),
        size=bounded("--size", size, 1, 65_507),
        count=bounded("--count", count, 1, 1_000_000),
        df=df,
        offload=not no_offload,
        pcap=writable("--pcap", pcap),
        waves=regular("--waves", writable("--waves", waves)),
        seed=seed,
        device=_device(device, waves),
    )
    report = _run(request)
    if as_json:
        print_json(report.to_json())
    else:
        _print(request, report)
    if report.journey is not None:
        save(report.journey, journey_files)
        if request.waves is not None:
            mark_waves(report.journey, request.waves, "host1 eth0")
    if report.failure is not None:
        raise CommandError(report.failure, FAILED)


def _run(request: "SendRequest") -> "SendReport":
    from ..build import BuildError
    from ..send import SendError, run

    try:
        return run(request)
    except SendError as error:
        raise CommandError(str(error), FAILED) from error
    except BuildError as error:
        raise CommandError(f"the simulator could not be built: {error}", FAILED) from error


def _print(request: "SendRequest", report: "SendReport") -> None:
    from ..devices import is_real
    from ..journey.tree import tree

    terminal = console()
    if report.journey is not None:
        # Not wrapped: a long line goes over the edge rather than through the tree.
        terminal.print(tree(report.journey), soft_wrap=True)
    real = is_real(request.device)
    time = (
        f"{report.wall_s:.2f} s"
        if real
        else f"{report.time_ns / 1000:,.3f} µs simulated, {report.wall_s:.2f} s in fact"
    )
    terminal.print(
        f"\n{report.datagrams:,} datagram{'s' * (report.datagrams != 1)}, {report.payload_octets:,} octets of payload"
        f" in {report.frames:,} frame{'s' * (report.frames != 1)}; {time}",
        soft_wrap=True,
    )
    if request.pcap is not None:
        say(f"wrote {request.pcap}")


def _device(name: str, waves: Path | None) -> str:
    from ..devices import is_real

    try:
        real = is_real(name)
    except ValueError as error:
        raise CommandError(f"--device: {error}", MISUSED) from error
    if real and waves is not None:
        raise CommandError(f"--waves: {name} is a real card: only a simulated one has waves", MISUSED)
    return name


def _payload(file: Path | None, text: str | None, stdin: bool) -> bytes:
    if (file is not None) + (text is not None) + stdin != 1:
        raise CommandError("say what to send with one of --file, --text and --stdin", MISUSED)
    if text is not None:
        return os.fsencode(text)  # As the shell handed it over, UTF-8 or not.
    if file is None:
        if sys.stdin is None:
            raise CommandError("--stdin: standard input is closed", MISUSED)
        return sys.stdin.buffer.read()
    try:
        return file.read_bytes()
    except OSError as error:
        raise CommandError(f"--file: cannot read {file}: {error.strerror}", MISUSED) from error


def _endpoint(option: str, text: str, *, port_needed: bool) -> "Endpoint":
    from ..send import Endpoint

    try:
        return Endpoint.parse(text, port_needed=port_needed)
    except ValueError as error:
        raise CommandError(f"{option}: {error}", MISUSED) from error


def _host(option: str, text: str) -> "Endpoint":
    from ..send import host_address

    endpoint = _endpoint(option, text, port_needed=False)
    try:
        host_address(endpoint.address)
    except ValueError as error:
        raise CommandError(f"{option}: {error}", MISUSED) from error
    return endpoint


def _neighbours(entries: list[str], host: "Endpoint") -> dict[str, str]:
    from ..send import parse_neighbour

    neighbours: dict[str, str] = {}
    for entry in entries:
        try:
            address, mac = parse_neighbour(entry, host)
        except ValueError as error:
            raise CommandError(f"--neigh: {error}", MISUSED) from error
        other = neighbours.setdefault(address, mac)
        if other != mac:
            raise CommandError(f"--neigh: {address} has two MAC addresses: {other} and {mac}", MISUSED)
    return neighbours
