"""A Ray job: sent to a cluster's job server, followed, stopped. This file knows nothing of what is simulated."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ray.exceptions import AuthenticationError
from ray.job_submission import JobStatus, JobSubmissionClient

POLL_SECONDS = 0.5
AGENT_SECONDS = 30  # a job server that has just been started has no agent yet
NO_AGENT = "No available agent"
TOKEN = "a token (RAY_AUTH_MODE=token, with RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH)"


class JobServerError(Exception):
    """The job server cannot be reached, or will not have the job; the text says why in one line."""


class Job:
    """A job that was sent."""

    def __init__(self, client: JobSubmissionClient, number: str) -> None:
        self.client = client
        self.id = number

    def log(self) -> Iterator[str]:
        """Its lines as they come, until it is over."""
        seen = 0
        while True:
            with told():
                status = self.client.get_job_status(self.id)
                text = self.client.get_job_logs(self.id)
            over = status.is_terminal()
            end = len(text) if over else text.rfind("\n") + 1
            yield from text[seen:end].splitlines()
            seen = max(seen, end)
            if over:
                return
            time.sleep(POLL_SECONDS)

    def ended(self) -> tuple[int, str]:
        """What the command ended with, 3 when it was stopped or never ran; and the server's word on it."""
        with told():
            info = self.client.get_job_info(self.id)
        status = 0 if info.status == JobStatus.SUCCEEDED else info.driver_exit_code or 3
        return status, first(info.message or info.status)

    def stop(self) -> None:
        """End it, with what there is."""
        with told():
            self.client.stop_job(self.id)


def send(address: str, folder: Path, words: Sequence[str], environment: Mapping[str, str]) -> Job:
    """Run `words` as a job in a copy of the folder."""
    runtime = {"working_dir": str(folder), "env_vars": dict(environment)}
    entrypoint = " ".join(words)
    logging.disable(logging.INFO)  # Ray tells of packages and uploads, logger by logger
    with told(address):
        client = JobSubmissionClient(address)
        deadline = time.monotonic() + AGENT_SECONDS
        while True:
            try:
                return Job(client, client.submit_job(entrypoint=entrypoint, runtime_env=runtime))
            except RuntimeError as error:
                if NO_AGENT not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(POLL_SECONDS)


@contextmanager
def told(address: str = "") -> Iterator[None]:
    """What Ray and its HTTP client raise, in one line."""
    where = f" at {address}" if address else ""
    try:
        yield
    except AuthenticationError as error:
        raise JobServerError(f"the job server{where} wants {TOKEN}: {first(error)}") from error
    except (OSError, RuntimeError, ValueError) as error:
        raise JobServerError(
            f"the job server{where} does not answer as one: {first(error)}"
        ) from error


def first(error: Any) -> str:
    """The first line of what it says."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
