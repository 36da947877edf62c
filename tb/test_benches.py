"""Every bench, as one test each."""

import pytest

from hardwire.tb.bench import Case, cases, run, seed


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_bench_is_green(case: Case) -> None:
    result = run(case, run_seed=seed())
    report = "\n".join(f"{name}: {why}" for name, why in result.failures)
    assert not result.failures, f"seed {result.seed}, log {result.log}\n{report}"
    assert result.tests > 0, f"no tests ran, log {result.log}"
