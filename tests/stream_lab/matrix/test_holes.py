"""Each hole has its line in the library, and its marks come from the cells."""

from stream_lab.matrix.cells import Cell, Result
from stream_lab.matrix.holes import BUFFERED, HOLES, HoleTable


def results(broken: Cell | None) -> list[Result]:
    return [Result(hole.cell, "late" if hole.cell is broken else "") for hole in HOLES]


def test_each_hole_has_a_line_of_the_library_that_closes_it() -> None:
    lines = [hole.in_the_library for hole in HOLES]
    assert all(
        line.startswith("_") and hole.line in line for hole, line in zip(HOLES, lines, strict=True)
    )


def test_the_marks_are_those_of_the_cells() -> None:
    table = HoleTable({"Whole": results(None), "Scope": results(BUFFERED)})
    assert table.holds("Whole") == [hole.name for hole in HOLES]
    assert table.holds("Scope") == [hole.name for hole in HOLES if hole.cell is not BUFFERED]
    row = next(line for line in table._repr_markdown_().splitlines() if "without a wait" in line)
    assert "| ■ | × |" in row
