"""``hardwire lan``: several hosts, each with its card, on a cable or a switch, and a program on each."""

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .journey import JourneyFiles, mark_waves, save, usable
from .options import Corruption, DelayNs, Duplication, Loss, RateMbps, ReorderDelayNs, Reordering, cable_of
from .report import FAILED, MISUSED, CommandError, console, print_json, say

if TYPE_CHECKING:
    from ..capture import Capture
    from ..journey import Recorder
    from ..lan import Lan
    from ..machine import Machine
    from ..programs import Program

__all__ = ["lan"]


def lan(
    programs: Annotated[
        list[str],
        typer.Argument(
            metavar="PROGRAM...",
            help="A program for each host in turn, in quotes: 'ping ADDR [-c N] [-s OCTETS] [-i MS] [-W MS]', "
            "'udp-echo [PORT]', 'udp-discard [PORT]', 'udp-chargen [PORT]', the same with tcp-, 'send ADDR:PORT [-c N] "
            "[-s OCTETS] [--echo] [-W MS]', 'tcpdump -w FILE [-i DEVICE] [-c N] [-s OCTETS] [-p] [-F FILE of tcpdump "
            "-dd]', idle. Host N is 10.0.0.N.",
        ),
    ],
    hosts: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Hosts, 2..254; those without a program are idle.",
            show_default="2, or one for each program",
        ),
    ] = None,
    switched: Annotated[bool, typer.Option("--switch", help="A switch between two hosts, too.")] = False,
    delay_ns: DelayNs = 100,
    rate_mbps: RateMbps = 1000,
    loss: Loss = 0,
    corruption: Corruption = 0,
    duplication: Duplication = 0,
    reordering: Reordering = 0,
    reorder_delay_ns: ReorderDelayNs = 100_000,
    pcap: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Record what each card sends and receives: host1.pcapng, ...")
    ] = None,
    waves: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Record waves of each card: host1.fst, ...")
    ] = None,
    journey: JourneyFiles = None,
    seed: Annotated[int, typer.Option(help="Seed of every random choice.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Report as JSON.")] = False,
) -> None:
    """Run programs on simulated hosts that share a network; show what came of them and of the frames."""
    from ..build import BuildError
    from ..programs import ProgramError, parse_program
    from ..world import World

    if hosts is not None and len(programs) > hosts >= 0:
        raise CommandError(f"{len(programs)} programs need as many hosts, not {hosts}", MISUSED)
    journey_files = usable(journey)
    try:
        parsed = [parse_program(text) for text in programs]
        if hosts is None:
            hosts = max(2, len(parsed))
        network = _lan(
            World(seed=seed),
            hosts,
            switched=True if switched else None,
            waves=waves is not None,
            **cable_of(delay_ns, rate_mbps, loss, corruption, duplication, reordering, reorder_delay_ns),
        )
    except (ProgramError, ValueError) as error:
        raise CommandError(str(error), MISUSED) from error
    except BuildError as error:
        raise CommandError(f"the simulator could not be built: {error}", FAILED) from error
    parsed += [parse_program("idle") for _ in range(hosts - len(parsed))]
    recorder = _recorder(network, " | ".join(programs)) if journey_files or waves is not None else None
    _run(network, parsed, pcap, waves, recorder)
    report = _report(network, parsed)
    if as_json:
        print_json(report)
    else:
        _print(report, parsed)
    if pcap is not None:
        say(f"wrote {len(parsed)} captures to {pcap}")
    if recorder is not None:
        _save(recorder, journey_files, network, waves)
    failed = [program.result["failed"] for program in parsed if "failed" in program.result]
    if failed:
        raise CommandError(f"failed: {'; '.join(failed)}", FAILED)


def _lan(world: Any, hosts: int, *, switched: bool | None, waves: bool, **cable: Any) -> "Lan":
    from ..lan import Lan
    from ..machine import Setup

    return Lan(world, hosts, switched=switched, like=Setup(waves=waves), **cable)


def _recorder(network: "Lan", title: str) -> "Recorder":
    from ..journey import Recorder

    return Recorder(network.world, title)


def _run(
    network: "Lan", programs: "list[Program]", pcap: Path | None, waves: Path | None, recorder: "Recorder | None"
) -> None:
    """Run all programs until those that end have ended, and all frames have arrived."""
    with ExitStack() as watching:
        for number, machine in enumerate(network.machines, 1):
            if pcap is not None:
                _make_folder("--pcap", pcap)
                capture = watching.enter_context(_capture(pcap / f"host{number}.pcapng", machine.dev.name))
                capture.watch(machine.nic)
            if waves is not None:
                _make_folder("--waves", waves)
                machine.nic.waves(str(waves / f"{machine.host.name}.fst"))
                watching.callback(machine.nic.waves, None)
        if recorder is not None:
            watching.enter_context(recorder)
        waited = []
        for number, (program, machine) in enumerate(zip(programs, network.machines, strict=True), 1):
            task = network.world.spawn(_start, program, machine, name=f"host{number}: {program.text}")
            if not program.serves or program.lead is not None:
                waited.append(task)
        network.world.join(waited)
        network.settle()
        for program in programs:
            program.ended()


def _start(program: "Program", machine: "Machine") -> None:
    """Run a program; if there is something that it does first, this is over with that."""
    if program.lead is None:
        program.run(program, machine)
    else:
        program.lead(program, machine)
        machine.world.spawn(program.run, program, machine, name=program.text)


def _make_folder(option: str, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(f"{option}: cannot write {error.filename}: {error.strerror}", MISUSED) from error


def _capture(path: Path, interface: str) -> "Capture":
    from ..capture import Capture

    try:
        return Capture(path, [interface])
    except OSError as error:
        raise CommandError(f"--pcap: cannot write {error.filename}: {error.strerror}", MISUSED) from error


def _save(recorder: "Recorder", files: list[Path], network: "Lan", waves: Path | None) -> None:
    from ..journey import JourneyError

    try:
        recorded = recorder.journey()
    except JourneyError as error:
        raise CommandError(str(error), FAILED) from error
    save(recorded, files)
    if waves is not None:
        for machine in network.machines:
            mark_waves(recorded, waves / f"{machine.host.name}.fst", f"{machine.host.name} eth0")


def _report(network: "Lan", programs: "list[Program]") -> dict[str, Any]:
    hosts = []
    for number, (program, machine) in enumerate(zip(programs, network.machines, strict=True), 1):
        hosts.append(
            {
                "host": f"host{number}",
                "address": f"10.0.0.{number}",
                "mac": machine.dev.dev_addr.hex(":"),
                "program": program.text,
                "result": program.result,
                "counters": machine.counters(),
                "cycles_evaluated": machine.nic.cycles_evaluated,
            }
        )
    return {"time_ns": network.world.now_ns, "hosts": hosts, "links": network.link_report()}


def _print(report: dict[str, Any], programs: "list[Program]") -> None:
    from rich.tree import Tree

    tree = Tree(f"{len(programs)} hosts, {report['time_ns'] / 1e6:,.3f} ms simulated")
    for host, program in zip(report["hosts"], programs, strict=True):
        branch = tree.add(f"{host['host']}  {host['address']}  {host['mac']}")
        told = branch.add(program.text)
        for line in program.lines or [", ".join(f"{count} {what}" for what, count in program.result.items())]:
            if line:
                told.add(line)
        frames = branch.add("frames")
        for name, count in host["counters"].items():
            frames.add(f"{name} {count:,}")
    for link in report["links"]:
        counts = ", ".join(f"{count:,} {what}" for what, count in link.items() if isinstance(count, int) and count)
        tree.add(f"{link['link']} {link['direction']}: {counts or 'no frames'}")
    console(plain=True).print(tree, soft_wrap=True)
