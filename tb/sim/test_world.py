"""The scheduler: time, tasks, timers, sleep and wake, without any device."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardwire.sim.nic import SimNic
from hardwire.sim.world import DeadlockError, World
from hardwire.stack.core.platform import WaitQueue


def test_time_passes_only_in_sleep() -> None:
    world = World()
    host = world.host()
    seen = []

    def program() -> None:
        seen.append(host.now_ns())
        world.sleep(1_000)
        seen.append(host.now_ns())
        sum(range(10_000))
        seen.append(host.now_ns())

    world.run(program)
    assert seen == [0, 1_000, 1_000]


def test_timers_run_in_order_of_time_then_of_setting() -> None:
    world = World()
    host = world.host()
    ran: list[str] = []
    for name, at in (("c", 30), ("a", 10), ("b1", 20), ("b2", 20)):
        host.timer(at, lambda name=name: ran.append(f"{name}@{host.now_ns()}"))
    world.advance(25)
    assert ran == ["a@10", "b1@20", "b2@20"]
    assert world.now_ns == 25
    world.advance(5)
    assert ran[-1] == "c@30"


def test_past_timer_runs_after_the_present_call_without_time() -> None:
    world = World()
    host = world.host()
    ran = []

    def program() -> None:
        world.sleep(100)
        host.timer(50, lambda: ran.append(host.now_ns()))
        assert ran == []
        world.sleep(1)

    world.run(program)
    assert ran == [100]


def test_cancelled_timer_does_not_run() -> None:
    world = World()
    host = world.host()
    timer = host.timer(10, lambda: pytest.fail("ran"))
    assert timer.cancel() is True
    assert timer.cancel() is False
    world.advance(20)
    done = host.timer(25, lambda: None)
    world.advance(10)
    assert done.cancel() is False


def test_many_cancelled_timers_do_not_pile_up() -> None:
    world = World()
    host = world.host()
    for _ in range(10_000):
        host.timer(1_000_000_000, lambda: None).cancel()
    assert len(world._timers) < 200


def test_wake_releases_every_sleeper_in_order() -> None:
    world = World()
    host = world.host()
    queue = WaitQueue()
    order = []

    def sleeper(name: str) -> None:
        assert host.wait(queue) is True
        order.append((name, host.now_ns()))

    for name in "abc":
        world.spawn(sleeper, name)
    host.timer(500, lambda: host.wake(queue))
    world.run()
    assert order == [("a", 500), ("b", 500), ("c", 500)]
    assert queue.sleepers == []


def test_wait_ends_at_its_deadline() -> None:
    world = World()
    host = world.host()
    queue = WaitQueue()
    assert world.run(lambda: host.wait(queue, 300)) is False
    assert world.now_ns == 300
    assert queue.sleepers == []


def test_wake_before_the_deadline_wins() -> None:
    world = World()
    host = world.host()
    queue = WaitQueue()
    host.timer(299, lambda: host.wake(queue))
    assert world.run(lambda: host.wait(queue, 300)) is True
    assert world.now_ns == 299


def test_wait_works_outside_of_tasks_and_lets_tasks_run() -> None:
    world = World()
    host = world.host()
    queue = WaitQueue()

    def other() -> None:
        world.sleep(70)
        host.wake(queue)

    world.spawn(other)
    assert host.wait(queue) is True
    assert world.now_ns == 70
    assert host.wait(queue, 100) is False
    assert world.now_ns == 100


def test_deadlock_names_the_tasks() -> None:
    world = World()
    host = world.host()
    world.spawn(lambda: host.wait(WaitQueue()), name="server")
    world.spawn(lambda: host.wait(WaitQueue()), name="client")
    with pytest.raises(
        DeadlockError,
        match="^waiting for ever: server, client; no timer is set and no device has anything to do$",
    ):
        world.run()


def test_an_error_thrown_at_a_task_ends_its_sleep_at_once_and_leaves_no_trace() -> None:
    world = World()
    queue = WaitQueue()

    def program() -> tuple[int, bool]:
        with pytest.raises(InterruptedError, match="a signal"):
            world.wait(queue, 5_000_000)
        when = world.now_ns
        return when, world.wait(queue, world.now_fs + 1_000_000)

    task = world.spawn(program)
    world.timer(2_000_000, lambda: world.throw(task, InterruptedError("a signal")))
    world.run()
    assert task.result == (2, False)
    assert queue.sleepers == []


def test_an_error_thrown_at_a_task_that_does_not_sleep_ends_its_next_sleep() -> None:
    world = World()

    def program() -> int:
        world.throw(task, InterruptedError())
        with pytest.raises(InterruptedError):
            world.sleep(1000)
        world.sleep(1)
        return world.now_ns

    task = world.spawn(program)
    world.run()
    assert task.result == 1


def test_what_a_signal_handler_adds_is_called_before_the_next_step() -> None:
    world = World()
    log: list[str] = []

    def program() -> None:
        world.signals.append(lambda: log.append("signal"))
        log.append("program")
        world.sleep(0)
        log.append("later")

    world.run(program)
    assert log == ["program", "signal", "later"]


def test_sleep_in_a_timer_callback_is_refused() -> None:
    world = World()
    host = world.host()
    host.timer(1, lambda: world.sleep(5))
    with pytest.raises(RuntimeError, match="^sleeping function called from invalid context"):
        world.advance(10)


def test_task_errors_reach_the_caller_and_the_world_goes_on() -> None:
    world = World()

    def broken() -> None:
        world.sleep(5)
        raise KeyError("oops")

    other = world.spawn(lambda: world.sleep(50))
    with pytest.raises(KeyError, match="oops"):
        world.run(broken)
    world.run()
    assert other.done
    assert world.now_ns == 50


def test_run_returns_the_result_and_leaves_other_tasks_alone() -> None:
    world = World()
    other = world.spawn(lambda: world.sleep(1_000))
    assert world.run(lambda number: number + 1, 41) == 42
    assert not other.done
    world.run(limit_ns=500)
    assert world.now_ns == 500
    assert not other.done


def test_a_task_cannot_run_the_world() -> None:
    world = World()
    with pytest.raises(RuntimeError, match="the world runs already"):
        world.run(lambda: world.advance(1))


def test_random_streams_depend_on_seed_and_name_only() -> None:
    def numbers(seed: int, others: int) -> list[int]:
        world = World(seed=seed)
        for at in range(others):
            world.host(f"other{at}").random_u32()
        host = world.host("me")
        return [host.random_u32() for _ in range(4)]

    assert numbers(1, 0) == numbers(1, 3)
    assert numbers(1, 0) != numbers(2, 0)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.lists(st.tuples(st.sampled_from(["sleep", "wait", "wake"]), st.integers(0, 3)), max_size=8), max_size=5)
)
def test_same_programs_same_run(programs: list[list[tuple[str, int]]]) -> None:
    """Whatever tasks do, two runs are alike, time never goes back, and nobody is left in a queue."""

    def run() -> list[tuple[int, int, str, object]]:
        world = World(seed=3)
        host = world.host()
        queues = [WaitQueue() for _ in range(4)]
        log: list[tuple[int, int, str, object]] = []

        def program(number: int, steps: list[tuple[str, int]]) -> None:
            for what, argument in steps:
                result: object = None
                if what == "sleep":
                    world.sleep(argument)
                elif what == "wait":
                    result = host.wait(queues[argument], host.now_ns() + 10)
                else:
                    host.wake(queues[argument])
                log.append((host.now_ns(), number, what, result))

        for number, steps in enumerate(programs):
            world.spawn(program, number, steps)
        world.run()
        assert all(queue.sleepers == [] for queue in queues)
        return log

    first = run()
    assert first == run()
    assert [entry[0] for entry in first] == sorted(entry[0] for entry in first)
    assert len(first) == sum(map(len, programs))


def test_settling_ends_at_rest_or_at_its_limit() -> None:
    world = World()
    host = world.host()
    ran = []
    assert world.next_timer_fs is None
    later = host.timer(500, lambda: ran.append("later"))
    assert world.settle(1_000)
    assert ran == []  # Nobody had anything to do: no time has passed.
    assert world.next_timer_fs == 500 * 1_000_000
    later.cancel()
    assert world.next_timer_fs is None


def test_settling_does_not_wait_for_a_card_that_is_busy_for_longer() -> None:
    world = World()
    nic = SimNic(world.host())
    world.drain()
    before = world.now_ns
    nic.inject(bytes(1250))  # 10 µs on the wire.
    assert not world.settle(4_000)
    assert world.now_ns == before + 4_000
    assert world.settle(20_000)
    assert nic.quiet
    assert 10_000 <= world.now_ns - before < 20_000
