"""What a sweep that was killed leaves: a folder without results, beside the runs that were finished."""

import pytest

from workloads.errors import UsageError
from workloads.outcome import report
from workloads.outcome.files import RUNS
from workloads.outcome.history import history_text


@pytest.mark.parametrize("reader", [report.rebuild, history_text])
def test_its_folder_is_told_from_a_damaged_one(tmp_path, reader):
    folder = tmp_path / "20260101T000000Z-1"
    folder.mkdir()
    with pytest.raises(UsageError, match="no such file"):
        reader(str(folder))
    (tmp_path / RUNS).mkdir()
    told = (
        "of a sweep that was killed, or is not over; the same `gmemsim sweep` goes on from the runs"
    )
    with pytest.raises(UsageError, match=told):
        reader(str(folder))
