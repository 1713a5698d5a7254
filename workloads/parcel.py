"""A results folder as lines of a job's log: the one way back that every Ray job server has.

`python -m workloads.parcel WORDS...` is `gmemsim WORDS...`, and then prints the results it made.
"""

import base64
import contextlib
import io
import lzma
import sys
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

MARK = "gmemsim-parcel "
WIDTH = 3000  # bytes of a line; logs cut lines that are much longer
FIRST, LAST = "begin", "end"


class BadParcelError(ValueError):
    """Lines that are no whole parcel; the text says why in one line."""


def lines(folder: Path) -> Iterator[str]:
    """The folder's files as lines, each with the mark."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:xz") as archive:
        for path in sorted(folder.rglob("*")):
            archive.add(path, path.relative_to(folder).as_posix(), recursive=False)
    text = base64.b64encode(packed.getvalue()).decode()
    parts = [text[at : at + WIDTH] for at in range(0, len(text), WIDTH)]
    yield f"{MARK}{FIRST} {folder.name} {len(parts)}"
    for part in parts:
        yield f"{MARK}{part}"
    yield f"{MARK}{LAST}"


def unpack(found: Iterable[str], into: Path) -> Path:
    """The folder of the last parcel among marked lines, written below `into`; returns it."""
    parcel: list[str] = []
    name = count = ""
    whole = False
    for line in found:
        word = line.removeprefix(MARK).strip()
        if word.startswith(f"{FIRST} "):
            name, _, count = word.removeprefix(f"{FIRST} ").rpartition(" ")
            parcel, whole = [], False
        elif word == LAST:
            whole = True
        else:
            parcel.append(word)
    if not whole or str(len(parcel)) != count or name in ("", "..") or Path(name).name != name:
        raise BadParcelError("the job's log has no whole results")
    folder = into / name
    try:
        packed = io.BytesIO(base64.b64decode("".join(parcel), validate=True))
        with tarfile.open(fileobj=packed, mode="r:xz") as archive:
            archive.extractall(folder, filter="data")
    except (ValueError, tarfile.TarError, lzma.LZMAError, OSError, EOFError) as error:
        raise BadParcelError(f"the results in the job's log are damaged: {error}") from error
    return folder


def main() -> None:
    """Run the command; whatever it came to, send what it left."""
    from workloads.cli import main as command

    results = Path("results")
    status: int | str | None = 0
    try:
        command()
    except SystemExit as end:
        status = end.code
    sys.stdout.flush()
    with contextlib.suppress(StopIteration):
        folder = next(
            path for path in results.glob("*/*") if path.is_dir() and not path.is_symlink()
        )
        for line in lines(folder):
            print(line)
    sys.stdout.flush()
    sys.exit(status)


if __name__ == "__main__":
    main()
