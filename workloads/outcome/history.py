"""A finished run's metrics over time, out of its results folder."""

import gzip
import io
import zlib

from workloads.errors import UsageError
from workloads.outcome.files import HISTORY
from workloads.outcome.read import BYTES_MAX, read_bytes, run_folder, shown


def history_text(result: str) -> str:
    """OpenMetrics text; what is missing or damaged is a UsageError."""
    path = run_folder(result) / HISTORY
    try:
        with gzip.open(io.BytesIO(read_bytes(path))) as file:
            content = file.read(BYTES_MAX + 1)
        if len(content) > BYTES_MAX:
            raise UsageError(f"{shown(path)}: larger than 64MiB when unpacked")
        return content.decode()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise UsageError(f"{shown(path)}: damaged: {error}") from None
