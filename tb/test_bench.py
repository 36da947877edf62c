"""The bench runner itself: it reports what passed, what failed, times and seeds, and builds once."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hardwire.tb.bench import Bench, BenchError, Case, build, cases, run

VERILOG = "module {name}(input clk, input d, output reg q); always @(posedge clk) q <= {what}d; endmodule\n"


def inverter(what: str) -> Case:
    name = "bench_probe"
    bench = Bench(
        name=name,
        build=lambda inverts: VERILOG.format(name=name, what=what),
        module="hardwire.tb.cocotb_bench_probe",
        variants={"one": {"inverts": True}},
    )
    return Case(bench, "one")


def test_green_bench_reports_tests_times_and_seed(tmp_path: Path) -> None:
    result = run(inverter("~"), run_seed=7, out_dir=tmp_path)
    assert (result.name, result.tests, result.failures, result.seed) == ("bench_probe[one]", 1, (), 7)
    assert result.sim_time_ns == 76  # The tenth falling edge of an 8 ns clock.
    assert 0 < result.wall_s < 120
    assert "seed 7" in Path(result.log).read_text()


def test_folder_for_results_may_be_a_relative_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(inverter("~"), run_seed=7, waves=True, out_dir=Path("out"))
    assert result.failures == ()
    folder = tmp_path / "out/bench_probe[one]"
    assert (Path(result.log), Path(str(result.waves))) == (folder / "run.log", folder / "bench_probe.fst")


def test_bug_in_the_block_makes_its_bench_fail(tmp_path: Path) -> None:
    result = run(inverter(""), run_seed=7, out_dir=tmp_path)
    assert result.failures == (("output_follows_input", "q is not what it must be"),)


def test_second_run_finds_the_build_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(inverter("~"), run_seed=1, out_dir=tmp_path)
    # With no compiler in reach only a cached build can run.
    monkeypatch.setattr("hardwire.tb.bench._runner", lambda: pytest.fail("built again"))
    with pytest.raises(pytest.fail.Exception, match="built again"):
        run(inverter(""" & 0 | """), run_seed=1, out_dir=tmp_path)


def test_build_outlives_the_environment_that_made_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = inverter("~")
    folder = shutil.copytree(build(case), tmp_path / "build")
    program = folder / case.bench.name
    # Where cocotb was when it was linked: here, or for a build in the cache in an earlier environment.
    (linked,) = set(re.findall(rb"/[^\0]+/cocotb/libs", program.read_bytes()))
    program.write_bytes(program.read_bytes().replace(linked, b"/gone".ljust(len(linked), b"/")))
    monkeypatch.setattr("hardwire.tb.bench.build", lambda *_, **__: folder)
    assert run(case, run_seed=1, out_dir=tmp_path).failures == ()


def test_waves_are_an_fst_file(tmp_path: Path) -> None:
    result = run(inverter("~"), run_seed=1, waves=True, out_dir=tmp_path)
    assert result.waves is not None
    assert Path(result.waves).stat().st_size > 0


def test_verilog_with_an_error_names_the_log(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"^bench_probe\[one\]: build failed, see .*build\.log$"):
        run(inverter(") syntax error ("), run_seed=1, out_dir=tmp_path)


def hardwire_tb(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hardwire.tb", *arguments], capture_output=True, text=True, check=False
    )


def test_command_lists_every_case_and_filters_by_name() -> None:
    names = json.loads(hardwire_tb("--list", "--json").stdout)
    assert names == [case.name for case in cases()]
    assert hardwire_tb("csr", "--list").stdout.split() == [name for name in names if "csr" in name]


def test_command_refuses_a_pattern_without_benches() -> None:
    result = hardwire_tb("no-such-bench")
    assert result.returncode == 2
    assert result.stderr == "hardwire tb: no bench matches 'no-such-bench'; see hardwire tb --list\n"


def test_component_that_cannot_be_elaborated_is_named() -> None:
    bench = Bench(name="broken", build=lambda: 1 // 0, module="none")
    with pytest.raises(BenchError, match=r"^broken: no Verilog, ZeroDivisionError: integer division or modulo by zero"):
        run(Case(bench, ""), run_seed=1)
