"""Random datagrams through stack and gateware: each is delivered once, or accounted for.

500 of them in ``make test``; 10,000 in ``make soak``. The seed is fresh and printed; ``HARDWIRE_SEED`` gives it back.
"""

import sys
from collections import Counter
from random import Random

import pytest

from hardwire.tb.bench import seed
from hardwire.tb.e2e.campaign import run_episode

PER_EPISODE = 50


def _run(datagrams: int) -> None:
    campaign_seed = seed()
    sys.stdout.write(f"\ncampaign: HARDWIRE_SEED={campaign_seed}\n")
    rng, drops, delivered, misses = Random(campaign_seed), Counter(), 0, 0
    for number in range(datagrams // PER_EPISODE):
        episode_seed = rng.getrandbits(32)
        try:
            episode = run_episode(episode_seed, PER_EPISODE)
        except BaseException as error:
            error.add_note(
                f"HARDWIRE_SEED={campaign_seed}, episode {number}: run_episode({episode_seed}, {PER_EPISODE})"
            )
            raise
        drops.update(episode.drops)
        delivered += len(episode.receiver.datagrams)
        misses += episode.resolve_misses
    sys.stdout.write(f"{datagrams} datagrams: {delivered} delivered, {misses} frames sent again, drops {dict(drops)}\n")


def test_every_datagram_is_delivered_once_or_accounted_for() -> None:
    _run(500)


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_ten_thousand_datagrams_are_delivered_once_or_accounted_for() -> None:
    _run(10_000)
