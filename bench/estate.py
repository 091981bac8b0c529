"""Past one machine, on paper: 50 000 people, 200 servers, three sites, one database, and its one lock.

A simulation of the lock's queue with the figures of `make bench` and tests/store/test_statements.py:
a right code asks 24 questions, the last three of them (the chain's end, the records, COMMIT) under the lock
that all servers wait for; before the late lock it was all of them. Every question costs the round trip from
the server's site to the database, COMMIT a disk besides. People verify as they come to work.
"""

from __future__ import annotations

import argparse
import heapq
import random
import sys
from typing import NamedTuple

QUESTIONS, UNDER_THE_LOCK = 24, 3
QUESTION_SECONDS = 0.00015  # of the database's own work, each
COMMIT_SECONDS = 0.003
PATIENCE_SECONDS = 10.0  # then a person is told to come again ("busy")
BUSY_SECONDS = 1800  # everyone verifies within this half hour


class Site(NamedTuple):
    """A share of all people, whose servers are so far from the database."""

    share: float
    round_trip_seconds: float


class Outcome(NamedTuple):
    """How busy the lock is, and how long people wait for their turn."""

    busy: float
    median: float
    p99: float
    refused: float


def hold_seconds(site: Site, questions: int) -> float:
    """For how long one code of a site holds the lock."""
    return questions * (site.round_trip_seconds + QUESTION_SECONDS) + COMMIT_SECONDS


def simulate(people: int, sites: list[Site], questions: int, seed: int = 1) -> Outcome:
    """Everyone verifies once within `BUSY_SECONDS`, at a moment of their own; one at a time gets through."""
    chance = random.Random(seed)
    arrivals = [chance.uniform(0, BUSY_SECONDS) for _ in range(people)]
    heapq.heapify(arrivals)
    holds = [hold_seconds(site, questions) for site in sites]
    free_at, worked = 0.0, 0.0
    waits: list[float] = []
    refused = 0
    while arrivals:
        at = heapq.heappop(arrivals)
        wait = max(free_at - at, 0.0)
        if wait > PATIENCE_SECONDS:
            refused += 1
            continue
        hold = chance.choices(holds, [site.share for site in sites])[0]
        free_at = max(free_at, at) + hold
        worked += hold
        waits.append(wait)
    waits.sort()
    middle, most = waits[len(waits) // 2], waits[int(len(waits) * 0.99)]
    return Outcome(worked / max(free_at, BUSY_SECONDS), middle, most, refused / people)


def table(people: int, servers: int) -> list[str]:
    """The rows, as docs/servers.md has them."""
    places = {
        "one room (0.5 ms)": [Site(1.0, 0.0005)],
        "one city (2 ms)": [Site(1.0, 0.002)],
        "three sites (0.5, 2 and 10 ms)": [Site(0.5, 0.0005), Site(0.3, 0.002), Site(0.2, 0.010)],
        "three continents (0.5, 40 and 90 ms)": [Site(0.5, 0.0005), Site(0.3, 0.040), Site(0.2, 0.090)],
    }
    rows = [
        f"{people} people on {servers} servers, all of whom verify within half an hour: {people / BUSY_SECONDS:.0f} codes/s",
        "",
        "| where the servers are | lock | codes/s at most | busy | wait, median | wait, p99 | told to come again |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, sites in places.items():
        for which, questions in (("as it is", UNDER_THE_LOCK), ("held throughout", QUESTIONS)):
            mean = sum(site.share * hold_seconds(site, questions) for site in sites)
            found = simulate(people, sites, questions)
            rows.append(
                f"| {name} | {which} | {1 / mean:.0f} | {found.busy:.0%} | {found.median * 1000:.0f} ms |"
                f" {found.p99 * 1000:.0f} ms | {found.refused:.0%} |"
            )
    return rows


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--people", type=int, default=50_000)
    parser.add_argument("--servers", type=int, default=200)
    given = parser.parse_args()
    print("\n".join(table(given.people, given.servers)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
