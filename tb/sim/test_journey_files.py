"""Journeys as files: page, JSON, Perfetto trace, capture and waves say the same, to the cycle."""

import json
import re
from collections import defaultdict
from pathlib import Path

import pytest
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace, TrackEvent
from scapy.utils import PcapNgReader

from hardwire.sim.journey import Journey, JourneyError
from hardwire.sim.journey.files import read_journey, write_journey
from hardwire.sim.journey.model import Step
from hardwire.sim.journey.waves import mark_waves
from hardwire.sim.world import FS_PER_NS
from hardwire.tb.sim.fst import changes, high_at
from hardwire.tb.sim.journey_runs import first_datagram, two_machines

PERIOD_FS = 8 * FS_PER_NS
# Outputs of the gateware that tell of events, with the kind of step and the stage that each becomes.
PROBES = {
    "nic.probe_desc_stb": ("desc", "descriptors"),
    "nic.probe_arp_stb": ("arp", "ARP cache"),
    "nic.probe_stage_stb": ("fifo", "FIFO"),
    "nic.probe_csum_stb": ("csum", "checksum"),
    "nic.probe_rx_stb": ("rx", "RX checks"),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Journey, Path]:
    """The journey of a first datagram with an ARP miss, and the folder where it is in all forms."""
    folder = tmp_path_factory.mktemp("journey")
    lan = two_machines(waves=True)
    for machine in lan.machines:
        machine.nic.waves(str(folder / f"{machine.host.name}.fst"))
    journey = first_datagram(lan)
    for machine in lan.machines:
        machine.nic.waves(None)
        mark_waves(journey, folder / f"{machine.host.name}.fst", f"{machine.host.name} eth0")
    for suffix in ("json", "html", "pftrace", "pcapng"):
        write_journey(journey, folder / f"journey.{suffix}")
    return journey, folder


def card_steps(journey: Journey, host: str, stage: str) -> list[Step]:
    return [step for step in journey.steps if journey.tracks[step.track].name == f"{host} eth0 {stage}"]


def test_json_comes_back(files: tuple[Journey, Path]) -> None:
    journey, folder = files
    assert read_journey(folder / "journey.json") == journey


def test_the_page_holds_the_same_journey(files: tuple[Journey, Path]) -> None:
    journey, folder = files
    page = (folder / "journey.html").read_text()
    (held,) = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', page, re.DOTALL)
    held = json.loads(held)
    assert Journey.from_json(held[0] if isinstance(held, list) else held) == journey


@pytest.mark.parametrize("host", ["host1", "host2"])
def test_waves_have_each_event_of_the_card_in_the_cycle_in_which_the_gateware_shows_it(
    files: tuple[Journey, Path], host: str
) -> None:
    journey, folder = files
    signals = changes(folder / f"{host}.fst", *PROBES, "nic.gmii_tx_en")
    for probe, (kind, stage) in PROBES.items():
        times = [step.begin_fs for step in card_steps(journey, host, stage) if step.kind == kind]
        assert high_at(signals[probe], PERIOD_FS) == times, probe
    octets = set(high_at(signals["nic.gmii_tx_en"], PERIOD_FS))
    sent = card_steps(journey, host, "MAC TX")
    assert octets == {time for step in sent for time in range(step.begin_fs, step.end_fs + 1, PERIOD_FS)}
    assert len(sent) == (2 if host == "host1" else 1)


@pytest.mark.parametrize("host", ["host1", "host2"])
def test_waves_have_markers_with_the_packets_id_at_the_same_times(files: tuple[Journey, Path], host: str) -> None:
    journey, folder = files
    signals = changes(folder / f"{host}.fst")
    marked = 0
    for step in journey.steps:
        track = journey.tracks[step.track]
        if track.name != f"{host} eth0 {track.stage}":
            continue
        signal = dict(signals[f"journey.{track.stage.replace(' ', '_')}"])
        text = " ".join([*(f"#{packet}" for packet in step.packets), step.name])
        assert text in signal[step.begin_fs].split("; "), step
        assert text not in signal[max(step.end_fs, step.begin_fs + PERIOD_FS)].split("; "), step
        marked += 1
    assert marked > 30
    calls = dict(signals["journey.stack"])
    (system_call,) = [
        s for s in journey.on("call") if s.name in ("sendto", "recvfrom") and s.track == track_of(journey, host)
    ]
    assert f"#1 {system_call.name}" in calls[system_call.begin_fs]


def track_of(journey: Journey, host: str) -> int:
    return next(number for number, track in enumerate(journey.tracks) if track.name == f"{host} stack")


def test_the_capture_has_the_frames_with_ids_and_times(files: tuple[Journey, Path]) -> None:
    journey, folder = files
    with PcapNgReader(str(folder / "journey.pcapng")) as reader:
        packets = list(reader)
    frames = [step for step in journey.on("frame") if journey.tracks[step.track].kind == "card"]
    assert len(packets) == len(frames) == 6
    for packet, step in zip(packets, frames, strict=True):
        assert step.after is not None
        assert bytes(packet) == journey.states[step.after].octets[:-4]
        assert round(packet.time * 1_000_000_000) == step.begin_fs // FS_PER_NS
        label = journey.packets[step.packets[0] - 1].label
        assert packet.comment.decode() == f"#{step.packets[0]} {label}; cycle {journey.cycle(step)}"
        assert packet.sniffed_on == journey.tracks[step.track].name.split(" MAC")[0]


def test_the_perfetto_trace_has_each_step_as_a_slice_in_its_track(files: tuple[Journey, Path]) -> None:
    journey, folder = files
    trace = Trace()
    trace.ParseFromString((folder / "journey.pftrace").read_bytes())
    names: dict[int, str] = {}
    going: dict[int, list[str]] = defaultdict(list)
    found: list[tuple[object, ...]] = []
    for packet in trace.packet:
        if packet.HasField("track_descriptor"):
            names[packet.track_descriptor.uuid] = packet.track_descriptor.name
    # As the trace processor does it: in order of time, and of the file where that is the same.
    for packet in sorted((p for p in trace.packet if p.HasField("track_event")), key=lambda p: p.timestamp):
        event = packet.track_event
        if event.type == TrackEvent.TYPE_SLICE_END:
            going[event.track_uuid].pop()
            continue
        facts = {one.name: one.string_value or one.int_value for one in event.debug_annotations}
        found.append((names[event.track_uuid], event.name, packet.timestamp, facts["begin_fs"], facts.get("cycle")))
        going[event.track_uuid].append(event.name)
    assert not any(going.values())
    expected = [
        (journey.tracks[step.track].name, step.name, step.begin_fs // FS_PER_NS, step.begin_fs, journey.cycle(step))
        for step in journey.steps
    ]
    assert sorted(map(repr, found)) == sorted(map(repr, expected))


def test_flows_of_the_perfetto_trace_lead_a_packet_through_all_hosts(files: tuple[Journey, Path]) -> None:
    _, folder = files
    trace = Trace()
    trace.ParseFromString((folder / "journey.pftrace").read_bytes())
    names = {p.track_descriptor.uuid: p.track_descriptor.name for p in trace.packet if p.HasField("track_descriptor")}
    tracks = {names[p.track_event.track_uuid] for p in trace.packet if 1 in p.track_event.flow_ids}
    assert tracks > {"host1 stack", "host1 driver", "host1 eth0 MAC TX", "wire from host1 eth0", "host2 eth0 MAC RX"}


@pytest.mark.parametrize(
    ("name", "message"),
    [("journey.txt", r"^.*journey.txt: a journey's file ends with .html, .json, .pcapng, .pftrace$")],
)
def test_a_file_of_no_kind_is_refused(files: tuple[Journey, Path], name: str, message: str) -> None:
    journey, folder = files
    with pytest.raises(JourneyError, match=message):
        write_journey(journey, folder / name)


def test_waves_of_a_card_that_the_journey_does_not_know_are_refused(files: tuple[Journey, Path]) -> None:
    journey, folder = files
    with pytest.raises(
        JourneyError, match="^the journey knows no card 'host3 eth0'; there are host1 eth0, host2 eth0$"
    ):
        mark_waves(journey, folder / "host1.fst", "host3 eth0")
    (folder / "no.fst").write_bytes(b"nothing")
    with pytest.raises(JourneyError, match="no.fst is no FST file$"):
        mark_waves(journey, folder / "no.fst", "host1 eth0")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff"])
def test_a_file_that_is_no_journey_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(JourneyError, match=r"x\.json: "):
        read_journey(tmp_path / "x.json")
