"""The ARP cache under Verilator: lookups at full rate, operations between them, and what it forgets."""

from collections import Counter

from cocotb.triggers import ClockCycles

from hardwire.hdl.arp_operator import arp_set
from hardwire.stack.abi import ArpOp
from hardwire.tb.cocotb_test import bench_test
from hardwire.tb.hdl.arp_cache_harness import ArpCacheHarness


def scattered(bench: ArpCacheHarness, count: int) -> list[int]:
    return [bench.rng.getrandbits(32) for _ in range(count)]


@bench_test
async def lookups_agree_with_a_dictionary_while_operations_go_on(dut):
    bench = ArpCacheHarness(dut)
    await bench.start()
    rng = bench.rng
    keys = scattered(bench, 2 * bench.sets * bench.ways)
    for stalls in (0.95, 0.8):
        bench.lookup_stalls, bench.result_stalls = stalls, 0.5
        for _ in range(250):
            bench.look_up(*rng.choices(keys, k=rng.randrange(4)))
            action = rng.choices(
                (ArpOp.INSERT, ArpOp.DELETE, ArpOp.READ, ArpOp.READ_CLEAR, ArpOp.FLUSH), (60, 20, 9, 9, 1)
            )[0]
            key = rng.choice(keys)
            await bench.operate(action, key=key, mac=rng.getrandbits(48), index=rng.randrange(bench.sets * bench.ways))
            bench.look_up(key)
    answered = await bench.finish()
    assert any(lookup.mac is not None for lookup in answered)


@bench_test
async def a_hit_returns_what_was_last_written(dut):
    bench = ArpCacheHarness(dut)
    await bench.start()
    key = bench.rng.getrandbits(32)
    for mac in (0, 1, (1 << 48) - 1, *(bench.rng.getrandbits(48) for _ in range(20))):
        await bench.operate(ArpOp.INSERT, key=key, mac=mac)
        bench.look_up(key, key ^ 1, key ^ 1 << 31)
        assert [lookup.mac for lookup in await bench.finish()] == [mac, None, None]
    assert (await bench.operate(ArpOp.DELETE, key=key)).found
    bench.look_up(key)
    assert (await bench.finish())[0].mac is None


@bench_test
async def an_arp_miss_does_not_block_other_destinations(dut):
    bench = ArpCacheHarness(dut)
    await bench.start()
    present = scattered(bench, bench.sets * bench.ways // 4)
    for number, key in enumerate(present):
        await bench.operate(ArpOp.INSERT, key=key, mac=number)
    absent = scattered(bench, len(present))
    for there, missing in zip(present, absent, strict=True):
        bench.look_up(there, missing, missing, there)
    answered = await bench.finish()
    if bench.ways >= 4:
        gaps = {after.accepted - before.accepted for before, after in zip(answered, answered[1:], strict=False)}
        assert gaps == {bench.ways}
    assert answered[-1].accepted - answered[0].accepted <= max(bench.ways, 3) * len(answered)
    latencies = {lookup.answered - lookup.accepted for lookup in answered}
    assert max(latencies) <= max(bench.ways + 4, 8), latencies


@bench_test
async def latency_is_bounded_while_operations_go_on(dut):
    bench = ArpCacheHarness(dut)
    await bench.start()
    keys = scattered(bench, bench.sets)
    bench.lookup_stalls = 0.9
    for number in range(120):
        bench.look_up(*bench.rng.choices(keys, k=3))
        op = bench.rng.choice(
            (ArpOp.INSERT, ArpOp.DELETE, ArpOp.READ_CLEAR, ArpOp.FLUSH if number % 40 == 0 else ArpOp.READ)
        )
        await bench.operate(op, key=bench.rng.choice(keys), mac=number)
    latencies = {lookup.answered - lookup.accepted for lookup in await bench.finish()}
    assert max(latencies) <= max(bench.ways + 4, 8), latencies


@bench_test
async def scattered_hosts_are_held_or_reported(dut):
    bench = ArpCacheHarness(dut)
    await bench.start()
    hosts = sorted({bench.rng.getrandbits(32) for _ in range(bench.sets * bench.ways)})
    bench.rng.shuffle(hosts)
    evicted = 0
    for number, key in enumerate(hosts):
        evicted += (await bench.operate(ArpOp.INSERT, key=key, mac=number)).evicted
    sets = Counter(arp_set(key, sets=bench.sets) for key in hosts)
    assert evicted == sum(max(0, count - bench.ways) for count in sets.values()), "evicted though there was room"
    bench.look_up(*hosts)
    answered = await bench.finish()
    assert sum(lookup.mac is not None for lookup in answered) == len(hosts) - evicted == len(bench.history.held)


@bench_test
async def neighbouring_hosts_fill_the_cache_without_loss(dut):
    bench = ArpCacheHarness(dut)
    await bench.start()
    for host in range(bench.sets * bench.ways):
        assert not (await bench.operate(ArpOp.INSERT, key=0x0A000000 + host, mac=host)).evicted


@bench_test
async def reading_all_back_gives_the_dictionary(dut):
    bench = ArpCacheHarness(dut)
    await bench.start()
    for key in scattered(bench, bench.sets * bench.ways):
        await bench.operate(ArpOp.INSERT, key=key, mac=bench.rng.getrandbits(48))
    entries = [await bench.operate(ArpOp.READ, index=index) for index in range(bench.sets * bench.ways)]
    assert {entry.key: entry.mac for entry in entries if entry.found} == bench.history.held
    for index, entry in enumerate(entries):
        if entry.found:
            assert arp_set(entry.key, sets=bench.sets) == index // bench.ways
    await bench.operate(ArpOp.FLUSH)
    entries = [await bench.operate(ArpOp.READ, index=index) for index in range(bench.sets * bench.ways)]
    assert not any(entry.found for entry in entries)


@bench_test
async def an_entry_in_use_is_not_evicted_while_another_is_idle(dut):
    bench = ArpCacheHarness(dut)
    await bench.start()
    if bench.ways == 1:
        return
    same_set = [key for key in range(bench.sets * 4 * bench.ways) if arp_set(key, sets=bench.sets) == 1]
    full, more = same_set[: bench.ways], same_set[bench.ways : 2 * bench.ways - 1]
    for key in full:
        await bench.operate(ArpOp.INSERT, key=key, mac=key)
    bench.look_up(full[-1])
    await bench.finish()
    await ClockCycles(dut.clk, 4)
    for key in more:
        answer = await bench.operate(ArpOp.INSERT, key=key, mac=key)
        assert answer.evicted
        assert answer.key != full[-1]
        bench.look_up(key)
        await bench.finish()
        await ClockCycles(dut.clk, 4)
    # Now all are in use: one of them has to go.
    assert (await bench.operate(ArpOp.INSERT, key=same_set[2 * bench.ways], mac=0)).evicted


@bench_test
async def activity_is_set_by_a_hit_only_and_cleared_by_reading(dut):
    bench = ArpCacheHarness(dut)
    await bench.start()
    key = bench.rng.getrandbits(32)
    await bench.operate(ArpOp.INSERT, key=key, mac=5)
    answers = [await bench.operate(ArpOp.READ, index=index) for index in range(bench.sets * bench.ways)]
    (index,) = [number for number, answer in enumerate(answers) if answer.found]
    assert not answers[index].active
    bench.look_up(key ^ 1, key)
    await bench.finish()
    assert [(await bench.operate(ArpOp.READ_CLEAR, index=index)).active for _ in range(2)] == [1, 0]
    bench.look_up(key)
    await bench.finish()
    await bench.operate(ArpOp.INSERT, key=key, mac=6)
    assert not (await bench.operate(ArpOp.READ, index=index)).active


@bench_test
async def lookups_miss_while_entries_are_removed_after_reset(dut):
    bench = ArpCacheHarness(dut)
    await bench.start()
    for key in range(bench.sets):
        await bench.operate(ArpOp.INSERT, key=key, mac=key)
    again = ArpCacheHarness(dut)
    await again.start(cleared=False)
    again.look_up(*range(bench.sets))
    assert all(lookup.mac is None for lookup in await again.finish())


@bench_test
async def entries_that_are_all_in_use_are_evicted_in_turn(dut):
    bench = ArpCacheHarness(dut)
    await bench.start()
    same_set = [key for key in range(bench.sets * 4 * bench.ways) if arp_set(key, sets=bench.sets) == 1]
    full, more = same_set[: bench.ways], same_set[bench.ways : 2 * bench.ways]
    for key in full:
        await bench.operate(ArpOp.INSERT, key=key, mac=key)
    bench.look_up(*full)
    await bench.finish()
    await ClockCycles(dut.clk, 4)
    victims = []
    for key in more:
        victims.append((await bench.operate(ArpOp.INSERT, key=key, mac=key)).key)
        bench.look_up(key)
        await bench.finish()
        await ClockCycles(dut.clk, 4)
    assert sorted(victims) == full, victims
