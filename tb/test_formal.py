"""The proofs, the long ones for some cycles only, and that seeded bugs are found; all of them in ``make soak``."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from hardwire.hdl.formal import Mutation, Property, properties
from hardwire.sim.prove import ProveError, cached, mutated_design, prove, refute

ALL = properties()
SHORT = [one for one in ALL if not one.long]
LONG = [one for one in ALL if one.long]
SEEDED = [(one, mutation) for one in ALL for mutation in one.mutations]


def _name(value: object) -> str:
    return value.name if isinstance(value, Property) else value.new if isinstance(value, Mutation) else ""


def hardwire_formal(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from hardwire.sim.cli import main; main()", "formal", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("one", SHORT, ids=_name)
def test_property_holds_and_is_not_vacuous(one: Property) -> None:
    assert prove(one).failure == ""


@pytest.mark.parametrize("one", LONG, ids=_name)
def test_long_proof_holds_for_its_first_cycles(one: Property) -> None:
    assert prove(replace(one, depth=20)).failure == ""


@pytest.mark.soak
@pytest.mark.parametrize("one", LONG, ids=_name)
def test_long_proof_holds_and_is_not_vacuous(one: Property) -> None:
    assert prove(one).failure == ""


@pytest.mark.parametrize(("one", "mutation"), SEEDED[::8], ids=_name)
def test_seeded_bug_is_found(one: Property, mutation: Mutation) -> None:
    assert_bug_is_found(one, mutation)


@pytest.mark.soak
@pytest.mark.parametrize(("one", "mutation"), SEEDED, ids=_name)
def test_every_seeded_bug_is_found(one: Property, mutation: Mutation) -> None:
    assert_bug_is_found(one, mutation)


def assert_bug_is_found(one: Property, mutation: Mutation) -> None:
    verdict = refute(one, mutated_design(one, mutation))
    # A counterexample from reset on, not only a proof that does not go through.
    assert re.fullmatch(r"(?!not inductive|no verdict|out of reach).+", verdict.failure), verdict.failure
    assert Path(verdict.trace).suffix == ".vcd"


def test_every_property_has_a_bug_to_find() -> None:
    assert [one.name for one in ALL if not one.mutations] == []


def test_second_proof_comes_from_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    one = SHORT[0]
    prove(one)
    monkeypatch.setattr("hardwire.sim.prove._run", lambda *_: pytest.fail("proved again"))
    assert prove(one).from_cache
    assert cached(one) is not None


def test_mutation_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ProveError, match=r"^short_fifo\.py has 'no such text' 0 times, not once$"):
        mutated_design(SHORT[0], Mutation("short_fifo.py", "no such text", ""))


def test_command_lists_properties_and_how_far_each_is_proved() -> None:
    listed = json.loads(hardwire_formal("--list", "--json").stdout)
    assert listed == [{"name": one.name, "extent": one.extent} for one in ALL]


def test_command_refuses_a_pattern_without_properties() -> None:
    result = hardwire_formal("no-such-property")
    assert result.returncode == 2
    assert result.stderr == "hardwire: no property matches 'no-such-property'; see hardwire formal --list\n"
