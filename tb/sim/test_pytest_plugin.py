"""The pytest plugin, in runs of pytest as others have them."""

import re
from pathlib import Path

import pytest
from scapy.layers.inet import UDP
from scapy.utils import rdpcap

from hardwire.sim.journey.files import read_journey

pytest_plugins = "pytester"

FAILS = """
def test_fails(two_hosts):
    assert echo(*two_hosts) == b"hello"
    assert two_hosts.world.now_ns == 0
"""


def records(result: pytest.RunResult, root: Path) -> list[Path]:
    """Return the files that a report names; all of them exist."""
    paths = [root / line for line in result.outlines if re.fullmatch(r"\S+\.(fst|pcapng|html|json)", line)]
    assert all(path.is_file() for path in paths)
    return paths


def fst_times_fs(path: Path) -> tuple[int, int]:
    """Return the first and the last time in a file of waves: its header has them."""
    octets = path.read_bytes()
    assert octets[0] == 0  # FST_BL_HDR
    return int.from_bytes(octets[9:17], "big"), int.from_bytes(octets[17:25], "big")


def test_fixtures_are_ready_to_use_and_passing_tests_leave_nothing(run, pytester: pytest.Pytester) -> None:
    result = run(
        """
        from hardwire.stack.abi import DEVICE_ID, GLOBAL

        def test_nic(nic):
            assert nic.read32(GLOBAL.address(GLOBAL["ID"])) == DEVICE_ID

        @pytest.mark.hardwire(neighbours={"10.0.0.9": "02:00:00:00:00:09"})
        def test_host(host):
            host.net.socket().sendto(b"x", ("10.0.0.9", 9))
            host.world.drain()
            assert [frame.octets[:6].hex(":") for frame in host.nic.take_frames()] == ["02:00:00:00:00:09"]

        def test_two_hosts(two_hosts):
            a, b = two_hosts
            assert two_hosts.switch is None
            assert echo(a, b) == echo(b, a) == b"hello"

        def test_lan(lan):
            a, b, c = lan
            assert lan.switch is not None
            assert echo(a, c) == echo(c, b) == b"hello"

        def test_world(hardwire_world, hardwire_seed, nic):
            assert nic.world is hardwire_world
            assert hardwire_world.seed == hardwire_seed
        """
    )
    result.assert_outcomes(passed=5)
    assert not (pytester.path / ".hardwire").exists()


def test_failure_names_its_records_and_they_show_it(run, pytester: pytest.Pytester) -> None:
    result = run(FAILS)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*hardwire artefacts*",
            "* ns of simulated time, seed *; to see it again: pytest test_it.py::test_fails --hardwire-seed 0",
            "run again with the same seed to record this, it failed in the same way at the same time",
            "link0, a to b: 2 sent, 2 delivered",
        ]
    )
    failed_ns = int(re.search(r"([\d,]+) ns of simulated time", result.stdout.str())[1].replace(",", ""))
    found = {path.name: path for path in records(result, pytester.path)}
    assert sorted(found) == [
        *(f"host{number}-eth0.{kind}" for number in (1, 2) for kind in ("fst", "pcapng")),
        "journey.html",
        "journey.json",
    ]
    for number in (1, 2):
        datagrams = [packet for packet in rdpcap(str(found[f"host{number}-eth0.pcapng"])) if UDP in packet]
        assert [(bytes(packet[UDP].payload)[:5], packet[UDP].dport == 7) for packet in datagrams] == [
            (b"hello", True),
            (b"hello", False),
        ]
        assert max(float(packet.time) for packet in datagrams) * 1e9 < failed_ns
        first_fs, last_fs = fst_times_fs(found[f"host{number}-eth0.fst"])
        assert 0 < first_fs < last_fs <= failed_ns * 1_000_000
        assert last_fs > (failed_ns - 50_000) * 1_000_000
    journey = read_journey(found["journey.json"])
    assert journey.title == "test_it.py::test_fails"
    names = [step.name for step in journey.steps if step.kind == "call"]
    assert names.index("udp_sendmsg") < names.index("udp_rcv")
    assert "hardwire_probe" not in names  # Setting hosts up is no part of it.
    assert {track.host for track in journey.tracks if track.kind == "card"} == {"host1", "host2"}
    assert "test_it.py::test_fails" in found["journey.html"].read_text()
    assert (pytester.path / ".hardwire/.gitignore").read_text() == "*\n"


def test_line_of_the_report_repeats_the_failure(run, pytester: pytest.Pytester) -> None:
    source = """
    @pytest.mark.parametrize("payload", [b"x" * 9])
    @pytest.mark.hardwire(link={"loss": 0.5, "corruption": 0.2})
    def test_lossy(two_hosts, payload, hardwire_seed):
        for _ in range(100):
            echo(*two_hosts, payload)
    """
    first = run(source, "--hardwire-seed", "random")
    first.assert_outcomes(failed=1)
    (line,) = (line for line in first.outlines if "to see it again" in line)
    command = line.split("pytest ")[1]
    assert re.fullmatch(r"'test_it\.py::test_lossy\[xxxxxxxxx\]' --hardwire-seed \d+", command)
    node, _, seed = command.split()
    again = pytester.runpytest_subprocess(node.strip("'"), "--hardwire-seed", seed)
    assert line in again.outlines
    assert "run again with the same seed to record this, it failed in the same way at the same time" in again.outlines


SEEDS = """
@pytest.mark.parametrize("number", range(3))
def test_seed(number, two_hosts, hardwire_seed):
    print(f"seed {number} {hardwire_seed} {two_hosts.world.random('test').random()}")
    assert 0
"""


def seeds(result: pytest.RunResult) -> list[str]:
    return sorted(line for line in result.outlines if re.match(r"seed \d ", line))


def test_seeds_are_of_the_session_and_the_test(run, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = ("--hardwire-no-rerun", "--tb=short")
    usual = seeds(run(SEEDS, *quick))
    assert len(usual) == len({line.split()[2] for line in usual}) == 3
    assert seeds(run(SEEDS, *quick, "-k", "1 or 2")) == usual[1:]
    other = seeds(run(SEEDS, *quick, "--hardwire-seed", "7"))
    assert not set(other) & set(usual)
    monkeypatch.setenv("HARDWIRE_SEED", "7")
    assert seeds(run(SEEDS, *quick, "-n", "2")) == other
    result = run(SEEDS, *quick, "-n", "2", "--hardwire-seed", "random")
    assert len(set(re.findall(r"--hardwire-seed (\d+)", result.stdout.str()))) == 1
    assert not set(seeds(result)) & {*usual, *other}


def test_workers_of_xdist_keep_records_apart(run, pytester: pytest.Pytester) -> None:
    result = run(FAILS.replace("(two", "(number, two").replace("\ndef", PARAMETRIZED), "-n", "2")
    result.assert_outcomes(failed=4)
    found = records(result, pytester.path)
    assert len(found) == len(set(found)) == 4 * 6
    assert len({path.parent for path in found}) == 4


PARAMETRIZED = """
@pytest.mark.parametrize("number", range(4))
def"""


def test_suites_of_others_pay_nothing(run) -> None:
    result = run(
        """
        import sys

        @pytest.fixture
        def host():  # Other plugins have one, too.
            return "theirs"

        def test_modules(host):
            assert host == "theirs"
            ours = {name for name in sys.modules if name.split(".")[0] == "hardwire"}
            plugin = "hardwire.sim.pytest_plugin"
            assert ours == {"hardwire", "hardwire.sim", plugin, f"{plugin}.plugin"}
            assert not {"amaranth", "cffi", "greenlet", "pcapng"} & set(sys.modules)
        """,
        "-W",
        "error",
        "--strict-markers",
    )
    result.assert_outcomes(passed=1)


def test_what_a_card_must_not_do_counts_after_the_last_line_too(run) -> None:
    result = run(
        """
        from hardwire.sim.raw_queue import RawQueue

        def test_late(nic):
            queue = RawQueue(nic, ring_log2=4)
            queue.fill(bytes(60))
            nic.dma.shadow[:] = bytes(nic.dma.size_octets)  # All mappings gone.
            queue.ring_doorbell(1)
        """
    )
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_late*", "*DmaViolation: read outside all mappings*"])


def test_failure_that_is_not_repeatable_is_called_so(run, pytester: pytest.Pytester) -> None:
    source = """
    runs = []

    def test_it(two_hosts):
        runs.append(1)
        echo(*two_hosts)
        assert len(runs) {}
    """
    passed = run(source.format("!= 1"))
    passed.stdout.fnmatch_lines(["it passed when run again with the same seed *: it depends on more than the seed"])
    assert len(records(passed, pytester.path)) == 6
    failed = run(source.format("== 3 or echo(*two_hosts) and 0"))
    assert "failed in the same way" in failed.stdout.str()
    other = run(source.format("== 9, two_hosts.world.sleep(len(runs))"))
    other.stdout.fnmatch_lines(["it failed otherwise, at * ns, when run again*"])


def test_folder_that_cannot_be_written_is_named(run, pytester: pytest.Pytester) -> None:
    (pytester.path / "taken").touch()
    result = run(FAILS, "--hardwire-artifacts", "taken")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["not run again to record more: no records in *taken*: Not a directory"])


@pytest.mark.parametrize("option", [[], ["--reruns", "2"]], ids=["marker", "option"])
def test_tests_that_may_fail_are_left_to_the_plugin_for_those(run, option: list[str]) -> None:
    result = run(
        f"""
        runs = []

        {"" if option else "@pytest.mark.flaky(reruns=2)"}
        def test_it(two_hosts):
            assert (two_hosts.world.now_ns, runs.append(1)) == (208_256, None)
            assert echo(*two_hosts) == (b"hello" if len(runs) == 3 else None)
        """,
        *option,
    )
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*2 rerun*"])


def test_interrupted_second_run_loses_no_report(run) -> None:
    result = run(
        """
        runs = []

        def test_it(two_hosts):
            runs.append(1)
            if len(runs) == 2:
                raise KeyboardInterrupt
            assert echo(*two_hosts) == b"something else"
        """
    )
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["FAILED test_it.py::test_it*", "*KeyboardInterrupt*"])


def test_worlds_of_tests_that_are_over_go_away(run) -> None:
    result = run(
        """
        import gc
        import weakref

        worlds = weakref.WeakSet()

        @pytest.mark.parametrize("number", range(4))
        def test_it(two_hosts, number):
            echo(*two_hosts)
            worlds.add(two_hosts.world)
            gc.collect()
            assert len(worlds) == 1
        """
    )
    result.assert_outcomes(passed=4)


def test_drops_are_in_the_report(run) -> None:
    result = run(
        """
        @pytest.mark.hardwire(link={"corruption": 1}, neighbours={"10.0.0.2": "02:00:00:00:00:02"})
        def test_drops(two_hosts, lan):
            a, b = two_hosts
            a.net.socket().sendto(b"x", (b.address, 9))
            c, d, _ = lan
            a.world.advance(1_000_000)
            assert 0
        """,
        "--hardwire-no-rerun",
    )
    result.stdout.fnmatch_lines(["host2, eth0: 1 rx_fcs_errors", "link0, a to b: 1 sent, 1 delivered, 1 corrupted"])
    result = run(
        """
        def test_drops(two_hosts):
            a, b = two_hosts
            a.net.socket().sendto(b"x", (b.address, 9))
            a.world.advance(1_000_000)
            assert 0
        """,
        "--hardwire-no-rerun",
    )
    result.stdout.fnmatch_lines(["host2, stack: dropped 1 NO_SOCKET"])


def test_records_of_passing_tests_are_kept_if_asked_for(run, pytester: pytest.Pytester) -> None:
    source = "def test_it(two_hosts): assert echo(*two_hosts)"
    for option, kinds in (("pcap", {".pcapng"}), ("waves", {".fst"}), ("journey", {".html", ".json"})):
        folder = pytester.path / f"only-{option}"
        result = run(source, f"--hardwire-{option}", f"--hardwire-artifacts={folder.name}")
        result.assert_outcomes(passed=1)
        kept = [path for path in folder.rglob("*") if path.is_file() and path.name != ".gitignore"]
        assert {path.suffix for path in kept} == kinds
    pytester.makeini("[pytest]\nhardwire_artifacts = kept/here")
    run(source, "--hardwire-pcap")
    assert len(list((pytester.path / "kept/here").rglob("*.pcapng"))) == 2
    run(source)  # What an earlier run has kept is not this run's.
    assert not list((pytester.path / "kept/here").rglob("*.pcapng"))


def test_waves_and_journey_of_a_long_test_show_its_end(run, pytester: pytest.Pytester) -> None:
    source = """
    def test_long(two_hosts):
        for number in range(60):
            assert echo(*two_hosts, bytes(1000))
        print("ended at", two_hosts.world.now_ns)
        assert 0
    """
    result = run(source, "--hardwire-window", "0.2")
    ended_ns = int(re.search(r"ended at (\d+)", result.stdout.str())[1])
    begin_ns = ended_ns - 200_000
    result.stdout.fnmatch_lines([f"*; waves and journey are of its end, from {begin_ns:,} ns on"])
    assert "failed in the same way at the same time" in result.stdout.str()
    for path in records(result, pytester.path):
        if path.suffix == ".fst":
            first_fs, last_fs = fst_times_fs(path)
            assert (begin_ns - 8) * 1_000_000 <= first_fs < last_fs <= ended_ns * 1_000_000
            assert path.stat().st_size < 10_000_000
        elif path.suffix == ".json":
            journey = read_journey(path)
            assert journey.begin_fs == begin_ns * 1_000_000
            calls = [step for step in journey.steps if step.kind == "call"]  # Frames may have begun before.
            assert all(journey.begin_fs <= step.begin_fs <= ended_ns * 1_000_000 for step in calls)
            assert "udp_sendmsg" in {step.name for step in calls}


def test_test_that_took_too_long_is_not_run_again(run) -> None:
    result = run(
        """
        from pytest_timeout import PYTEST_FAILURE_MESSAGE

        def test_it(two_hosts):
            echo(*two_hosts)
            pytest.fail(PYTEST_FAILURE_MESSAGE % 2)
        """
    )
    result.assert_outcomes(failed=1)
    assert "not run again to record more, because it took too long" in result.outlines


@pytest.mark.parametrize("func_only", [False, True])
def test_limits_of_time_are_not_for_the_second_run(run, pytester: pytest.Pytester, func_only: bool) -> None:
    pytester.makeconftest(
        """
        def pytest_timeout_set_timer(item, settings):  # In place of the real one.
            print("timer: on")
            return True

        def pytest_timeout_cancel_timer(item):
            print("timer: off")
            return True
        """
    )
    source = f"""
    @pytest.mark.timeout(60, func_only={func_only})
    def test_it(two_hosts):
        print("timer: test")
        assert 0
    """
    result = run(source, "-s")
    found = [line for line in result.stdout.str().replace("timer", "\ntimer").splitlines() if line.startswith("timer")]
    whats = [line.removeprefix("timer: ") for line in found]
    assert whats[:2] == ["on", "test"]
    second = whats.index("test", 2)
    assert "off" in whats[2:second]
    assert "on" not in whats[2:]


def test_simulators_are_built_before_the_first_test(run, pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        from pathlib import Path
        from hardwire.sim.pytest_plugin import protocol

        def library_dir(config, *, waves):
            print(f"building {config.stream_width_bits} {waves}")

        protocol.library_dir = library_dir
        """
    )
    result = run(
        """
        @pytest.mark.hardwire(config={"stream_width_bits": 32})
        def test_one(nic): print("first test")
        def test_two(nic): pass
        def test_three(nic): pass
        """,
        "-s",
        "--hardwire-waves",
        "-k",
        "two or three or nothing",
    )
    assert [line for line in result.outlines if line.startswith("building")] == ["building 64 True"]


@pytest.mark.parametrize(
    ("option", "error"),
    [
        ("--hardwire-seed=-1", "'-1' is no seed: a number from 0 up, or 'random'"),
        ("--hardwire-window=0", "'0' is no length of time: milliseconds, more than 0"),
    ],
)
def test_options_that_make_no_sense_are_refused(run, option: str, error: str) -> None:
    result = run("", option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*{error}"])
