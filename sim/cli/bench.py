"""``hardwire bench``: the figures that we claim, measured now."""

import importlib.util
from typing import Annotated, Any

import typer

from .area import measure_areas, print_areas
from .boards import boards, measure_boards
from .report import FAILED, MISUSED, CommandError, console, print_json, say

__all__ = ["bench"]


def bench(
    with_boards: Annotated[
        bool, typer.Option("--boards", help="Build all boards instead, and keep timing and area with the sources.")
    ] = False,
    with_areas: Annotated[
        bool, typer.Option("--area", help="Measure area and Fmax of NIC and blocks instead, and keep them likewise.")
    ] = False,
    modules: Annotated[
        list[str] | None, typer.Option("--module", metavar="NAME", help="Only this one of them; repeatable.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Report as JSON.")] = False,
) -> None:
    """Measure line rate, latency, simulation speed, sending, TCP, memory and start-up, in one run of some minutes."""
    if modules and not with_areas:
        raise CommandError("--module goes with --area", MISUSED)
    if with_areas:
        areas = measure_areas(modules or [])
        if as_json:
            print_json(areas)
        else:
            print_areas(areas)
        return
    if with_boards:
        results = measure_boards()
        if as_json:
            print_json(results)
        else:
            boards()
        return
    from ..bench import run
    from ..build import BuildError

    with_cocotb = importlib.util.find_spec("cocotb") is not None
    try:
        figures = run(lambda step: say(f"measuring {step}"), cocotb=with_cocotb)
    except (BuildError, RuntimeError) as error:
        raise CommandError(str(error), FAILED) from error
    if as_json:
        print_json(figures)
    else:
        _print(figures)


def _print(figures: dict[str, Any]) -> None:
    from rich.table import Table

    sim, send, start = figures["sim"], figures["send"], figures["start"]
    table = Table("figure", "value", "condition", title="hardwire bench")
    for octets, cycles in figures["line_rate_cycles"].items():
        ratio = figures["line_rate"]["1g"][octets]
        table.add_row(
            f"line rate, {octets} octets",
            f"{cycles['achieved']:.2f} / {cycles['limit']:.0f} cycles, {ratio:.4f}",
            "1,000 frames each way at once, 1 Gb/s, 1 µs memory",
        )
    for what, cycles in figures["latency"].items():
        for condition, count in cycles.items():
            table.add_row(what.removesuffix("_cycles").replace("_", " "), f"{count} cycles", condition)
    table.add_row(
        "simulation, driver in Python", f"{sim['cycles_per_s']:,.0f} cycles/s", "64-octet frames, 64 a doorbell"
    )
    table.add_row("simulation, no Python", f"{sim['bare_loop_cycles_per_s']:,.0f} cycles/s", "prefilled descriptors")
    table.add_row("ratio of the two", f"{sim['ratio']:.2f}", "median of five each")
    if sim["vs_cocotb"] is not None:
        table.add_row("cocotb", f"{sim['cocotb_cycles_per_s']:,.0f} cycles/s", f"{sim['vs_cocotb']:,.0f} times slower")
    table.add_row(
        "sendto() to the wire",
        f"{send['datagrams_per_s']:,.0f} datagrams/s",
        f"{send['frame_octets']}-octet frames: {send['python_us']:.1f} µs Python, {send['rtl_us']:.1f} µs RTL each",
    )
    table.add_row(
        "the same with the tracer off", f"{send['with_tracer_off']:.3f}", "of the rate without it, the best of each"
    )
    stack = figures["stack"]
    for what in ("send", "receive", "forward"):
        ratio = stack[what]["vs_scapy"]
        compared = "against scapy: it is not installed (pip install 'hardwire[tb]')"
        if ratio is not None:
            compared = f"{ratio:.1f} times as fast as scapy"
        table.add_row(f"the stack alone: {what}", f"{stack[what]['per_s']:,.0f} packets/s", f"64 octets, {compared}")
    memory = stack["memory"]
    table.add_row(
        "memory", f"{memory['socket_octets']:,.0f} octets", f"a socket; a neighbour {memory['neighbour_octets']:,.0f}"
    )
    echo = figures["echo"]
    table.add_row(
        "UDP echo between two hosts",
        f"{echo['round_trips_per_s']:,.0f} round trips/s",
        f"{echo['nic_cycles']:.0f} cycles, {echo['python_us']:.1f} µs Python, {echo['rtl_us']:.1f} µs RTL each",
    )
    tcp = figures["tcp"]
    table.add_row(
        "TCP between two hosts",
        f"{tcp['octets_per_s']:,.0f} octets/s, {tcp['ratio']:.2f}",
        f"of {tcp['pair_cycles_per_s']:,.0f} cycles/s of both cards with such frames and no Python; "
        f"{tcp['moderated_ratio']:.2f} with rx-usecs 50",
    )
    table.add_row(
        "TCP connections",
        f"{tcp['connections_per_s']:,.0f} a second",
        "opened and closed, one by one, between two hosts",
    )
    table.add_row(
        "memory of connections",
        f"{tcp['memory']['established_octets']:,.0f} octets",
        f"each end of one that is established; {tcp['memory']['time_wait_octets']:,.0f} in TIME_WAIT",
    )
    real = figures["company"]
    if real["obstacle"] is not None:
        table.add_row("among real kernels", "not measured", real["obstacle"])
    else:
        echoes, stream, tcp = real["tap"], real["wire"], real["tcp"]
        table.add_row(
            "hardwire tap, ping -f",
            f"{echoes['echoes_per_s']:,.0f} echoes/s",
            f"from the kernel; {echoes['lost']} lost",
        )
        table.add_row(
            "TCP over TAP to the kernel",
            f"{tcp['to_kernel_octets_per_s']:,.0f} octets/s",
            f"with software GSO, {tcp['gso_ratio']:.2f} times as fast as without it",
        )
        table.add_row("TCP over TAP from the kernel", f"{tcp['from_kernel_octets_per_s']:,.0f} octets/s", "MTU 1500")
        table.add_row(
            "hardwire wire, iperf3",
            f"{stream['mbit_per_s']:.1f} Mbit/s, {stream['frames_per_s']:,.0f} frames/s",
            f"TCP of two kernels, MTU 1500; {stream['retransmits']} retransmits",
        )
    for name, took_ms in figures["fixtures_ms"].items():
        table.add_row(f"fixture {name}", f"{took_ms:.1f} ms", "set-up of a test, simulator built")
    table.add_row("cold start", f"{start['cold_s']:.1f} s", "empty cache: builds the simulator")
    table.add_row("warm start", f"{start['warm_s']:.3f} s", "process start to first register read")
    console().print(table)
