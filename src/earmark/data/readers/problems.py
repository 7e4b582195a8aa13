"""What is wrong with single rows of a table or files of a folder: noted as it is found, told all at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from earmark.errors import ManifestError, summarise_rows


@dataclass(frozen=True)
class RowProblem:
    """One thing that is wrong with a row.

    where: table and row, or the folder. path: the clip's file, as far as it is known.
    problem: "missing_file", "bad_row", "repeated_clip", "mojibake_label" or "no_label".
    detail: what exactly.
    """

    where: str
    path: str
    problem: str
    detail: str


class Faults:
    """What is wrong with the rows of one table, by the row's position."""

    def __init__(self, table: Path, lines: Sequence[int], names: Sequence[str]):
        """Args:
        table: the file. lines: where each row stands in it. names: what each row calls its sound.
        """
        self.table = table
        self.lines = lines
        self.names = names
        self._found: dict[int, list[tuple[str, str]]] = defaultdict(list)

    def note(self, row: int, problem: str, detail: str) -> None:
        """Note what is wrong with the row at a position."""
        self._found[row].append((problem, detail))

    def __contains__(self, row: int) -> bool:
        return row in self._found

    def __len__(self) -> int:
        return len(self._found)

    def tell(self, problems: list[RowProblem] | None, root: Path) -> None:
        """Hand over what was found.

        Args:
            problems: gains a RowProblem for each fault; None to raise them.
            root: where files were looked for.

        Raises:
            ManifestError: there are faults and no list to take them, or no row is without one.
        """
        if self._found and (problems is None or len(self._found) == len(self.lines)):
            raise ManifestError(self._text(root))
        for row in sorted(self._found):
            where = f"{self.table} row {self.lines[row]}"
            problems += [RowProblem(where, self.names[row], *fault) for fault in self._found[row]]

    def _text(self, root: Path) -> str:
        """The text for all faulty rows at once."""
        faults = [(row, fault) for row in sorted(self._found) for fault in self._found[row]]
        advice = "Correct or remove them."
        if sum(problem == "missing_file" for _, (problem, _) in faults) == len(self.lines):
            advice = f"No file was found below {root}: pass the folder of the sounds with --audio-dir."
        count = f"{len(self._found)} of {len(self.lines)} rows are wrong"
        messages = [f"row {self.lines[row]}: {detail}" for row, (_, detail) in faults]
        return f"{self.table}: {count}. {advice}\n{summarise_rows(messages)}"
