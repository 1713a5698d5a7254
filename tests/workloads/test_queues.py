"""Stations by hand: integrals, busy time, what counts up to the last answer, and a server in virtual time."""

import pytest

from workloads import queues
from workloads.outcome import little
from workloads.queues import Clock, Queues, Server, Station, TreeLock
from workloads.scenario import decode
from workloads.simulate import prepare


def test_the_integrals_are_those_of_a_staircase():
    station = Station(Clock())
    station.join(10, waits=False)
    station.join(15, waits=True)
    station.leave(30, took=20)
    station.start(30, waited=15)
    station.leave(40, took=25)
    assert (station.area, station.area_waiting, station.busy) == (20 + 25, 15, 30)
    assert station.remains() == (0, 0, 0, 0)


def test_who_is_still_there_is_known_by_when_he_came():
    station = Station(Clock())
    station.join(10, waits=False)
    station.join(15, waits=True)
    station.join(18, waits=True)
    station.leave(30, took=15, waits=True)  # the second goes away
    assert station.remains() == (2, 10 + 18, 1, 18)


def test_what_comes_after_the_last_answer_is_left_out_of_the_figures_only():
    clock = Clock()
    station = Station(clock)
    station.join(0, waits=False)
    clock.answered = 50
    station.leave(80, took=80)
    station.join(90, waits=False)
    station.leave(100, took=10)
    arrivals, _, busy, area, _ = station.totals(50)
    assert (arrivals, busy, area) == (1, 50, 50)
    assert station.remains() == (0, 0, 0, 0)
    clock.answered = 200
    assert station.totals(200)[:4] == (2, 0, 90, 90)


def test_a_server_in_virtual_time_has_its_own_idea_of_whose_turn_it_is():
    server = Server(Clock())
    server.deal(0, ready=5, wait=0, busy=10)  # from 5 to 15
    server.deal(1, ready=0, wait=14, busy=10)  # comes at 1, and is told to be after that
    assert server.remains() == (0, 0, 0, 0)
    assert (server.area_waiting, server.busy, server.area) == (14, 20, 34)
    assert server.moments() == (2, 20, 0)
    server.deal(100, ready=0, wait=3, busy=1)  # nobody is before it
    assert server.remains() == (0, 3, 0, 3)


def test_a_tree_lock_is_busy_as_long_as_anybody_has_it():
    lock = TreeLock(Clock())
    for at, held in ((0, 10), (5, 10), (30, 5)):
        lock.hold(at, held)
    assert lock.until(100) == (3, 0, 20, 25, 0)


def test_figures_are_of_the_mean_station_and_of_the_busiest():
    sums = {
        **dict.fromkeys(queues.SUMS, 0),
        queues.MOST: 800_000,
        "stations": 2,
        "window": 2000,
        "arrivals": 10,
        "busy": 1000,
        "area": 1500,
        "area_waiting": 500,
    }
    found = little.resource(sums)
    assert (found["utilisation"], found["utilisation_max"]) == (0.5, 0.8)
    assert (found["mean_waiting"], found["mean_in_system"]) == (0.25, 0.75)
    assert found["mean_wait_seconds"] == pytest.approx(50e-9)
    assert "service_scv" not in found
    assert little.resources({"mmu_lock": {**sums, "window": 0}}) == {}


def test_moments_of_services_are_those_of_all_that_came():
    server = Server(Clock())
    for busy in (1_000, 3_000):  # mean 2 us, variance 1 us^2
        server.deal(0, ready=0, wait=0, busy=busy)
    sums = dict(zip(queues.SUMS[-3:], server.moments(), strict=True))
    found = little.resource({**dict.fromkeys(queues.SUMS, 0), queues.MOST: 0, "window": 1, **sums})
    assert (found["mean_service_seconds"], found["service_scv"]) == (2e-6, 0.25)


def test_words_of_partitions_add_up_and_the_busiest_is_the_busiest_of_all():
    one = {**dict.fromkeys(queues.SUMS, 1), queues.MOST: 7}
    two = {**dict.fromkeys(queues.SUMS, 2), queues.MOST: 3}
    assert queues.joined([{"vmm": one}, {"vmm": two, "ilock": two}]) == {
        "vmm": {**dict.fromkeys(queues.SUMS, 3), queues.MOST: 7},
        "ilock": two,
    }


def test_a_word_in_the_middle_of_a_run_changes_nothing():
    watcher = Queues(prepare(decode("", "test.toml", [])).plan)
    server = watcher.station("iommu_queue", 0, Server)
    server.deal(0, ready=5, wait=0, busy=10)
    assert watcher.result() == watcher.result()
    server.deal(1, ready=0, wait=14, busy=10)
    assert server.remains() == (0, 0, 0, 0)
