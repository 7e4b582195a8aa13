"""A table of a million rows: read, checked by its names, split. Time and memory of each command, start included.

.venv/bin/python benchmarks/million_rows.py --work /tmp/million
"""

from __future__ import annotations

import argparse
import csv
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from earmark.run import write_json, write_text

RESULTS = Path(__file__).parent / "results"
READ = "import sys; from earmark.data import read_manifest; read_manifest(sys.argv[1], look_for_files=False)"


def write_names(path: Path, n_rows: int, n_groups: int, n_classes: int) -> None:
    """A table of files that are nowhere, with one or two labels each, in groups of heavy-tailed sizes."""
    generator = np.random.default_rng(0)
    groups = (n_groups * generator.power(2.0, n_rows)).astype(int).tolist()
    labels = (n_classes * generator.power(0.6, (n_rows, 2))).astype(int).tolist()
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "labels", "group"])
        for row, (group, (first, second)) in enumerate(zip(groups, labels, strict=True)):
            several = f"c{first};c{second}" if row % 3 == 0 and first != second else f"c{first}"
            writer.writerow([f"audio/{group:06d}/{row:07d}.wav", several, f"g{group}"])


def measured(command: list[str]) -> dict[str, float]:
    """Wall seconds and peak megabytes of a command that must end with 0."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(f"{' '.join(command)}: ended with {os.waitstatus_to_exitcode(status)}")
    seconds = time.perf_counter() - started
    return {"seconds": round(seconds, 1), "cpu_seconds": round(usage.ru_utime, 1), "peak_mb": usage.ru_maxrss // 1024}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="where the table goes")
    parser.add_argument("--rows", type=int, default=1_000_000)
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    table, out = arguments.work / "names.csv", arguments.work / "split.csv"
    write_names(table, arguments.rows, n_groups=arguments.rows // 10, n_classes=80)
    for path in arguments.work.glob(f"{out.name}*"):
        path.unlink()
    earmark = str(Path(sys.executable).with_name("earmark"))
    found = {
        "read": measured([sys.executable, "-c", READ, str(table)]),
        "check --names-only": measured([earmark, "check", str(table), "--names-only"]),
        "split --names-only --test 0.1": measured(
            [earmark, "split", str(table), "--names-only", "--test", "0.1", "--out", str(out)]
        ),
    }
    rows = [f"| {name} | {row['seconds']} | {row['cpu_seconds']} | {row['peak_mb']} |" for name, row in found.items()]
    head = f"# {arguments.rows:,} rows, 80 classes, {arguments.rows // 10:,} groups\n\n`benchmarks/million_rows.py`, "
    table_head = "| command | seconds | CPU seconds | peak MB |\n|---|--:|--:|--:|\n"
    write_text(RESULTS / "million_rows.md", head + f"{platform.machine()}.\n\n" + table_head + "\n".join(rows) + "\n")
    write_json(RESULTS / "million_rows.json", {"rows": arguments.rows, "commands": found})


if __name__ == "__main__":
    main()
