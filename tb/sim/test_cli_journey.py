"""Journeys on the command line: recorded by other commands, shown, written in other forms, compared."""

import json
from pathlib import Path

import pytest

from hardwire.tb.sim.fst import changes
from hardwire.tb.sim.test_cli import NEIGH, hardwire


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two journeys of a datagram, one without offloads."""
    folder = tmp_path_factory.mktemp("journeys")
    for name, options in (("a", []), ("b", ["--no-offload"])):
        words = ["send", "--text", "hello", "--to", "10.0.0.2:9000", "--neigh", NEIGH, *options]
        result = hardwire(*words, "--journey", f"{name}.json", cwd=folder)
        assert result.returncode == 0, result.stderr.decode()
    return folder


def test_lan_records_the_journey_of_all_hosts_and_marks_its_waves(tmp_path: Path) -> None:
    options = ["--journey", "x.json", "--journey", "x.pcapng", "--waves", "waves"]
    result = hardwire("lan", "ping 10.0.0.2 -c 1", *options, cwd=tmp_path)
    assert result.returncode == 0, result.stderr.decode()
    said = result.stderr.decode().splitlines()
    assert said[-4:] == ["wrote x.json", "wrote x.pcapng", "wrote waves/host1.fst", "wrote waves/host2.fst"]
    plain = json.loads((tmp_path / "x.json").read_bytes())
    assert plain["title"] == "ping 10.0.0.2 -c 1"
    assert [packet["label"] for packet in plain["packets"]][:2] == [
        "ICMP echo request 10.0.0.1 → 10.0.0.2, 56 octets",
        "ARP who has 10.0.0.2? tell 10.0.0.1",
    ]
    for host in ("host1", "host2"):
        marks = changes(tmp_path / "waves" / f"{host}.fst")
        assert any(
            text.startswith("#1 ") for _, text in marks["journey.MAC_TX" if host == "host1" else "journey.MAC_RX"]
        )


def test_a_recorded_journey_is_shown_as_the_tree_that_send_shows(folder: Path) -> None:
    shown = hardwire("journey", "a.json", cwd=folder)
    sent = hardwire("send", "--text", "hello", "--to", "10.0.0.2:9000", "--neigh", NEIGH)
    assert shown.returncode == 0
    assert shown.stdout.decode().strip() == sent.stdout.decode().rpartition("\n\n")[0].strip()


def test_of_a_journey_one_packet_is_shown(folder: Path) -> None:
    lines = hardwire("journey", "a.json", "--packet", "1", cwd=folder).stdout.decode().splitlines()
    assert any("udp_sendmsg" in line for line in lines)
    assert not any("interrupt raised" in line for line in lines)


def test_a_journey_is_written_in_other_forms_and_two_are_compared_on_a_page(folder: Path) -> None:
    outputs = ["-o", "a.html", "-o", "a.pftrace", "-o", "a.pcapng"]
    assert hardwire("journey", "a.json", *outputs, cwd=folder).returncode == 0
    assert hardwire("journey", "a.json", "b.json", "-o", "ab.html", cwd=folder).returncode == 0
    sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
    assert all(sizes[name] > 100 for name in ("a.html", "a.pftrace", "a.pcapng"))
    assert sizes["ab.html"] > sizes["a.html"] + sizes["b.json"] / 2


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["journey", "a.json", "b.json"], 2, "two journeys are compared on a page: say -o FILE.html"),
        (["journey", "a.json", "b.json", "-o", "x.json"], 2, "two journeys are compared on a page: say -o FILE.html"),
        (["journey", "a.json", "-o", "x.txt"], 2, "x.txt: a journey's file ends with .html, .json, .pcapng, .pftrace"),
        (["journey", "a.json", "-o", "no/x.html"], 2, "there is no folder no"),
        (["journey", "no.json"], 1, "No such file or directory: no.json"),
        (["journey", "a.txt"], 1, "a.txt: Expecting value: line 1 column 1 (char 0)"),
        (["journey", "a.json", "--packet", "9"], 1, "there is no packet #9: ids go up to 1"),
        (["lan", "idle", "--journey", "x.txt"], 2, "x.txt: a journey's file ends with .html, .json, .pcapng, .pftrace"),
    ],
)
def test_what_makes_no_sense_is_said_in_one_line(folder: Path, words: list[str], status: int, message: str) -> None:
    (folder / "a.txt").write_text("x")
    result = hardwire(*words, cwd=folder)
    assert (result.returncode, result.stderr.decode()) == (status, f"hardwire: {message}\n")
