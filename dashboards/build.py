"""All boards as files that Grafana reads: `python -m dashboards.build` writes dashboards/grafana."""

import json
from pathlib import Path

from dashboards import consumers, engine, experiment, faults, fleet, overview, protocols
from dashboards.board import Board

HERE = Path(__file__).parent
FOLDER = HERE / "grafana"
BOARDS: tuple[Board, ...] = (
    overview.BOARD,
    protocols.BOARD,
    consumers.BOARD,
    faults.BOARD,
    fleet.BOARD,
    engine.BOARD,
    experiment.BOARD,
)


def text(board: Board) -> str:
    """The file's content."""
    return json.dumps(board.model(), indent=2) + "\n"


def files() -> dict[str, str]:
    """Name -> content."""
    return {f"{board.uid}.json": text(board) for board in BOARDS}


def main() -> None:
    """Write them, and nothing else stays there."""
    for old in FOLDER.glob("*.json"):
        old.unlink()
    for name, content in files().items():
        (FOLDER / name).write_text(content)


if __name__ == "__main__":
    main()
