"""A job that is followed while its server comes and goes; tests/ray/test_submit.py has a real one."""

from types import SimpleNamespace

import pytest
from ray.job_submission import JobStatus

from cluster import ray_jobs
from cluster.ray_jobs import PATIENCE_SECONDS, Job, JobServerError, UnansweredError

RUNNING, OVER = JobStatus.RUNNING, JobStatus.SUCCEEDED


class Server:
    """Answers each question with the next of these, which is raised when it is an error."""

    def __init__(self, statuses=(), logs=(), infos=()):
        self.answers = {"status": [*statuses], "logs": [*logs], "info": [*infos]}

    def next(self, kind):
        answer = self.answers[kind].pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def get_job_status(self, number):
        """See JobSubmissionClient."""
        return self.next("status")

    def get_job_logs(self, number):
        """See JobSubmissionClient."""
        return self.next("logs")

    def get_job_info(self, number):
        """See JobSubmissionClient."""
        return self.next("info")


class Slow(Server):
    """Takes a second for a log."""

    clock: "Clock"

    def get_job_logs(self, number):
        """See JobSubmissionClient."""
        self.clock.sleep(1)
        return super().get_job_logs(number)


class Clock:
    """Sleeping takes no time."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        """See time."""
        return self.now

    def sleep(self, seconds):
        """See time."""
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    found = Clock()
    monkeypatch.setattr(ray_jobs, "time", found)
    return found


def test_a_connection_that_drops_costs_one_line_and_no_line_of_the_log(clock):
    said: list[str] = []
    refused = ConnectionError("refused")
    server = Server(
        [refused, refused, RUNNING, OVER],
        ["one\ntw", RuntimeError("status code 503: away"), "one\ntwo\n"],
        [refused, SimpleNamespace(status=OVER, message="done", driver_exit_code=0)],
    )
    job = Job(server, "j", said.append)
    assert list(job.log()) == ["one", "two"]
    assert len(said) == 2  # it was away twice, and each time for several questions or one
    assert job.ended() == (0, "done")
    assert said[0].endswith("refused; asking again for 5 min")


def test_a_server_that_stays_away_is_given_up_after_some_minutes(clock):
    job = Job(Server(infos=[ConnectionError("refused")] * 1000), "j", lambda text: None)
    began = clock.now
    with pytest.raises(UnansweredError, match="refused"):
        job.ended()
    assert PATIENCE_SECONDS < clock.now - began < 1.2 * PATIENCE_SECONDS


def test_a_job_that_the_server_does_not_know_is_asked_for_once(clock):
    server = Server(
        infos=[RuntimeError("Request failed with status code 404: Job j does not exist")]
    )
    with pytest.raises(JobServerError, match="knows no such job"):
        Job(server, "j", lambda text: None).ended()


def test_a_log_that_takes_long_is_asked_for_less_often(clock):
    server = Slow([RUNNING] * 10 + [OVER], ["a\n", "a\nb"])
    server.clock = clock
    assert list(Job(server, "j", lambda text: None).log()) == ["a", "b"]
    assert not server.answers["logs"]


def test_a_log_that_was_left_goes_on_where_it_was(clock):
    job = Job(Server([RUNNING, OVER], ["a\n", "a\nb\n"]), "j", lambda text: None)
    assert next(iter(job.log())) == "a"
    assert list(job.log()) == ["b"]
