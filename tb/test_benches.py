"""Every bench, as one test each."""

from random import Random

import pytest

from hardwire.tb.bench import Case, cases, run, seed


def check(case: Case, run_seed: int) -> None:
    result = run(case, run_seed=run_seed)
    report = "\n".join(f"{name}: {why}" for name, why in result.failures)
    assert not result.failures, f"seed {result.seed}, log {result.log}\n{report}"
    assert result.tests > 0, f"no tests ran, log {result.log}"


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_bench_is_green(case: Case) -> None:
    check(case, seed())


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_bench_is_green_for_long_and_with_many_seeds(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARDWIRE_SOAK", "1")
    first = seed()
    print(f"\n{case.name}: HARDWIRE_SEED={first}")
    rng = Random(first)
    for _ in range(5):
        check(case, rng.getrandbits(32))
