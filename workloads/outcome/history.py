"""The metrics of a finished run over its time, or of a sweep at its end, out of the results folder."""

import gzip
import io
import zlib
from os.path import isfile  # unlike Path's, False for a path that no file can have

from workloads.errors import UsageError
from workloads.outcome.files import HISTORY, POINTS
from workloads.outcome.read import BYTES_MAX, folder_of, read_bytes, run_folder, shown


def history_text(result: str) -> str:
    """OpenMetrics text; what is missing or damaged is a UsageError."""
    folder = folder_of(result)
    path = (folder if isfile(folder / POINTS) else run_folder(result)) / HISTORY
    try:
        with gzip.open(io.BytesIO(read_bytes(path))) as file:
            content = file.read(BYTES_MAX + 1)
        if len(content) > BYTES_MAX:
            raise UsageError(f"{shown(path)}: larger than 64MiB when unpacked")
        return content.decode()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise UsageError(f"{shown(path)}: damaged: {error}") from None
