"""Coverage of the gateware: a statement counts once its block was active at an edge, a bit once it has changed."""

from pathlib import Path

import pytest

from hardwire.hdl.mac import tx
from hardwire.tb.bench import cases, run
from hardwire.tb.coverage import Coverage
from hardwire.tb.coverage_report import Report, write_report

SOURCE = Path(tx.__file__).read_text().splitlines()
PATH = "hdl/mac/tx.py"


def line(text: str) -> int:
    """Return the number of the only line with a text."""
    (number,) = (number for number, source in enumerate(SOURCE, 1) if text in source)
    return number


def covered(out: Path, *, test: str | None = None) -> Coverage:
    case = next(case for case in cases() if case.name == "mac_tx[width64]")
    with pytest.MonkeyPatch.context() as patch:
        if test is not None:
            patch.setenv("COCOTB_TEST_FILTER", f"{test}$")
        result = run(case, run_seed=1, coverage=True, out_dir=out)
    assert not result.failures
    return result.coverage


@pytest.fixture(scope="module")
def one_test(tmp_path_factory: pytest.TempPathFactory) -> Coverage:
    return covered(tmp_path_factory.mktemp("one"), test="preamble_follows_the_first_beat_after_two_cycles")


@pytest.fixture(scope="module")
def all_tests(tmp_path_factory: pytest.TempPathFactory) -> Coverage:
    return covered(tmp_path_factory.mktemp("all"))


def test_statements_under_a_condition_count_only_if_it_was_met(one_test: Coverage, all_tests: Coverage) -> None:
    underrun = PATH, line("m.d.sync += [bad.eq(1), draining.eq(1)]")
    always = PATH, line("m.d.comb += [next_held.eq(held), ")
    assert (one_test.seen[always], one_test.seen[underrun]) == (True, False)
    assert (all_tests.seen[always], all_tests.seen[underrun]) == (True, True)


def test_toggles_are_those_of_each_bit_and_each_way(one_test: Coverage, all_tests: Coverage) -> None:
    declared = line('"gmii_tx_er": Out(1),')

    def of_error(found: Coverage) -> dict[tuple[str, str], bool]:
        return {(t.signal, t.edge): hit for t, hit in found.toggles.items() if (t.path, t.line) == (PATH, declared)}

    edges = [("gmii_tx_er", edge) for edge in ("0->1", "1->0")]
    assert of_error(one_test) == dict.fromkeys(edges, False)
    assert of_error(all_tests) == dict.fromkeys(edges, True)
    assert {f"gmii_txd[{bit}]" for bit in range(8)} <= {toggle.signal for toggle in all_tests.toggles}


def test_runs_add_up(one_test: Coverage, all_tests: Coverage) -> None:
    together = Coverage()
    together.add(all_tests)
    together.add(one_test)
    assert (together.seen, together.toggles) == (all_tests.seen, all_tests.toggles)


def report_of(found: Coverage, folder: Path) -> Report:
    return write_report(found, folder, all_files=False)


def test_report_names_the_lines_in_the_summary_in_lcov_and_on_the_page(one_test: Coverage, tmp_path: Path) -> None:
    report = report_of(one_test, tmp_path)
    (file,) = (file for file in report.files if file.path == PATH)
    underrun = line("m.d.sync += [bad.eq(1), draining.eq(1)]")
    assert underrun in file.missing
    assert report.statement_share < 1
    of_file = (tmp_path / "statements.lcov").read_text().split(f"SF:{PATH}\n")[1].split("end_of_record")[0]
    assert f"DA:{underrun},0" in of_file
    assert f"DA:{line('m.d.comb += [next_held.eq(held), ')},1" in of_file
    assert any("draining" in page.read_text() for page in (tmp_path / "statements").glob("*tx_py.html"))
    assert (tmp_path / "toggles" / "index.html").exists()


def test_line_with_a_reason_is_explained_unless_it_is_executed(
    one_test: Coverage, all_tests: Coverage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = line("m.d.sync += [bad.eq(1), draining.eq(1)]")
    monkeypatch.setattr("hardwire.tb.coverage_report._reasons", lambda path: [((path, number), "because")])
    report = report_of(one_test, tmp_path)
    (file,) = (file for file in report.files if file.path == PATH)
    assert (number in file.missing, file.explained) == (False, (number,))
    assert report.reasons == {(PATH, number): "because"}
    assert not report_of(all_tests, tmp_path).reasons


def test_file_that_no_bench_elaborates_counts_as_not_executed(one_test: Coverage, tmp_path: Path) -> None:
    report = write_report(one_test, tmp_path, all_files=True)
    (file,) = (file for file in report.files if file.path == "hdl/arp_cache.py")
    assert len(file.missing) == file.statements > 0
