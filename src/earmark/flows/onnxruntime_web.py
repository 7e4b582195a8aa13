"""ONNX Runtime Web, what a page needs of it: fetched once by the npm client and checked, or taken from a folder."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import NamedTuple

from earmark.errors import ConfigError, FetchError
from earmark.tagger.home import home_folder

PACKAGE = "onnxruntime-web"
VERSION = "1.30.0"
# Of the package's archive, as npm's lock files have it.
INTEGRITY = "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
# In the package → as it stands in an export: many hosts do not know that .mjs is JavaScript.
FILES = {
    "dist/ort.wasm.min.mjs": "ort.wasm.min.js",
    "dist/ort-wasm-simd-threaded.mjs": "ort-wasm-simd-threaded.js",
    "dist/ort-wasm-simd-threaded.wasm": "ort-wasm-simd-threaded.wasm",
}
LONGEST_SECONDS = 600  # of a download
_OR = f"Or name a folder of the package with --{PACKAGE}."


class OnnxRuntimeWeb(NamedTuple):
    """version: of the package. files: name → content."""

    version: str
    files: dict[str, bytes]


def onnxruntime_web(folder: Path | None = None) -> OnnxRuntimeWeb:
    """The runtime's files.

    Args:
        folder: the package as npm unpacks it, or a node_modules folder with it; None = fetch VERSION, which is kept in
            the home folder.

    Raises:
        ConfigError: the folder does not hold it.
        FetchError: it cannot be fetched, or is not what was published.
    """
    return _packed(_archive()) if folder is None else _unpacked(folder)


def _unpacked(folder: Path) -> OnnxRuntimeWeb:
    package = next((each for each in (folder, folder / PACKAGE) if (each / "package.json").is_file()), folder)
    try:
        version = json.loads((package / "package.json").read_text(encoding="utf-8"))["version"]
        return OnnxRuntimeWeb(version, {name: (package / source).read_bytes() for source, name in FILES.items()})
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(
            f"--{PACKAGE} {folder}: does not hold the package {PACKAGE} ({error}). "
            f"Give the folder that `npm install {PACKAGE}@{VERSION}` makes in node_modules, or leave the option away."
        ) from error


def _packed(archive: Path) -> OnnxRuntimeWeb:
    with tarfile.open(archive) as tar:
        return OnnxRuntimeWeb(
            VERSION, {name: tar.extractfile(f"package/{source}").read() for source, name in FILES.items()}
        )


def _archive() -> Path:
    """The package as published, in the home folder."""
    kept = home_folder() / "web" / f"{PACKAGE}-{VERSION}.tgz"
    if kept.is_file() and _integrity(kept) == INTEGRITY:
        return kept
    npm = shutil.which("npm")
    if npm is None:
        raise FetchError(f"{PACKAGE}: npm is needed to fetch it, and is not installed. Install Node.js. {_OR}")
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
        command = [npm, "pack", f"{PACKAGE}@{VERSION}", "--ignore-scripts", "--silent", "--pack-destination", folder]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST_SECONDS, cwd=folder)
        except subprocess.TimeoutExpired as error:
            raise FetchError(f"{PACKAGE}: npm has not fetched it in {LONGEST_SECONDS} s. Try again. {_OR}") from error
        fetched = Path(folder, kept.name)
        if done.returncode or not fetched.is_file():
            said = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()[-1]
            raise FetchError(f"{PACKAGE}: npm could not fetch version {VERSION} ({said}). Is there a network? {_OR}")
        if (found := _integrity(fetched)) != INTEGRITY:
            raise FetchError(
                f"{PACKAGE}: npm gave another archive than the one published (found {found}, expected {INTEGRITY}). "
                f"Look at the registry that npm uses. {_OR}"
            )
        os.replace(fetched, kept)
    return kept


def _integrity(path: Path) -> str:
    """The hash of a file as npm writes it."""
    with open(path, "rb") as file:
        return "sha512-" + base64.b64encode(hashlib.file_digest(file, "sha512").digest()).decode("ascii")
