"""A Ray job: sent to a cluster's job server, followed, stopped. This file knows nothing of what is simulated."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from ray.exceptions import AuthenticationError
from ray.job_submission import JobStatus, JobSubmissionClient

POLL_SECONDS = 0.5
AGENT_SECONDS = 30  # a job server that has just been started has no agent yet
ANSWER_SECONDS = 60  # for one answer
PATIENCE_SECONDS = 300  # with a server that is away while a job is followed
PAUSE_SECONDS = 30  # between two questions to it, at most
LOG_SHARE, LOG_SECONDS = 10, 30  # a log that took a second is left alone for ten, 30 s at most
NO_AGENT = "No available agent"
NO_JOB = "status code 404"
TOKEN = "a token (RAY_AUTH_MODE=token, with RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH)"


class JobServerError(Exception):
    """The job server cannot be reached, or will not have the job; the text says why in one line."""


class UnansweredError(JobServerError):
    """It may be there again in a while: a connection that was dropped, a proxy that says so."""


class Job:
    """A job that was sent. `say` gets the one line that tells of a server that is away."""

    def __init__(
        self, client: JobSubmissionClient, number: str, say: Callable[[str], None]
    ) -> None:
        self.client = client
        self.id = number
        self.say = say
        self.seen = 0  # characters of its log

    def log(self) -> Iterator[str]:
        """Its lines as they come, until it is over; a second call goes on where the first one was left.

        A job server gives a log as a whole only: the longer that takes, the less often it is asked for.
        """
        due = 0.0
        while True:
            over = self.asked(lambda: self.client.get_job_status(self.id)).is_terminal()
            began = time.monotonic()
            if over or began >= due:
                text = self.asked(lambda: self.client.get_job_logs(self.id))
                took = time.monotonic() - began
                due = began + took + min(LOG_SECONDS, LOG_SHARE * took)
                end = len(text) if over else text.rfind("\n") + 1
                for line in text[self.seen : end].splitlines(keepends=True):
                    self.seen += len(line)
                    yield line.rstrip("\r\n")
            if over:
                return
            time.sleep(POLL_SECONDS)

    def ended(self) -> tuple[int, str]:
        """What the command ended with, 3 when it was stopped or never ran; and the server's word on it."""
        info = self.asked(lambda: self.client.get_job_info(self.id))
        status = 0 if info.status == JobStatus.SUCCEEDED else info.driver_exit_code or 3
        return status, first(info.message or info.status)

    def notes(self) -> dict[str, str]:
        """What it was sent with."""
        return dict(self.asked(lambda: self.client.get_job_info(self.id)).metadata or {})

    def stop(self) -> None:
        """End it, with what there is."""
        self.asked(lambda: self.client.stop_job(self.id))

    def asked(self, question: Callable[[], Any]) -> Any:
        """What the server answers. One that is away is asked again for some minutes, ever less often."""
        until, pause = 0.0, POLL_SECONDS
        while True:
            try:
                with told():
                    return question()
            except UnansweredError as error:
                if not until:
                    until = time.monotonic() + PATIENCE_SECONDS
                    self.say(f"{error}; asking again for {PATIENCE_SECONDS // 60} min")
                elif time.monotonic() > until:
                    raise
            time.sleep(pause)
            pause = min(2 * pause, PAUSE_SECONDS)


def send(
    address: str,
    folder: Path,
    words: Sequence[str],
    environment: Mapping[str, str],
    notes: Mapping[str, str],
    say: Callable[[str], None],
) -> Job:
    """Run `words` as a job in a copy of the folder."""
    runtime = {"working_dir": str(folder), "env_vars": dict(environment)}
    entrypoint = " ".join(words)
    with told(address):
        client = connected(address)
        deadline = time.monotonic() + AGENT_SECONDS
        while True:
            try:
                number = client.submit_job(
                    entrypoint=entrypoint, runtime_env=runtime, metadata=dict(notes)
                )
                return Job(client, number, say)
            except RuntimeError as error:
                if NO_AGENT not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(POLL_SECONDS)


def attach(address: str, number: str, say: Callable[[str], None]) -> Job:
    """To a job that was sent before."""
    with told(address):
        job = Job(connected(address), number, say)
        job.client.get_job_info(number)  # is there such a job?
    return job


def connected(address: str) -> JobSubmissionClient:
    """To a job server that answers."""
    logging.disable(logging.INFO)  # Ray tells of packages and uploads, logger by logger
    client = JobSubmissionClient(address)
    # Left alone it waits for ever on a connection that nobody told it was dropped.
    client._do_request = partial(client._do_request, timeout=ANSWER_SECONDS)
    return client


@contextmanager
def told(address: str = "") -> Iterator[None]:
    """What Ray and its HTTP client raise, in one line."""
    where = f" at {address}" if address else ""
    try:
        yield
    except AuthenticationError as error:
        raise JobServerError(f"the job server{where} wants {TOKEN}: {first(error)}") from error
    except (OSError, RuntimeError, ValueError) as error:
        if NO_JOB in str(error):
            raise JobServerError(f"the job server{where} knows no such job") from error
        raise UnansweredError(
            f"the job server{where} does not answer as one: {first(error)}"
        ) from error


def first(error: Any) -> str:
    """The first line of what it says."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
