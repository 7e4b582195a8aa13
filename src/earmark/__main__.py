"""The door: runs a command, and turns what is the user's to mend into one text and an exit code.

Exit codes: 0 done · 1 done, but some files failed · 2 the input or the installation is at fault ·
130 interrupted. Anything else is a bug and keeps its traceback.
"""

from __future__ import annotations

import sys

from earmark.errors import EarmarkError, MissingExtraError

# Import name → (package as pip knows it, extra) of everything that the core does without.
OPTIONAL = {
    "fastapi": ("fastapi", "serve"),
    "ftfy": ("ftfy", "train"),
    "jinja2": ("jinja2", "train"),
    "lightgbm": ("lightgbm", "train"),
    "lightning": ("lightning", "train"),
    "matplotlib": ("matplotlib", "train"),
    "onnx": ("onnx", "train"),
    "onnx_ir": ("onnx-ir", "train"),
    "onnxscript": ("onnxscript", "train"),
    "pandas": ("pandas", "train"),
    "pydantic": ("pydantic", "serve"),
    "python_multipart": ("python-multipart", "serve"),
    "safetensors": ("safetensors", "train"),
    "scipy": ("scipy", "train"),
    "sklearn": ("scikit-learn", "train"),
    "starlette": ("starlette", "serve"),
    "tensorboard": ("tensorboard", "train"),
    "threadpoolctl": ("threadpoolctl", "train"),
    "torch": ("torch", "train"),
    "uvicorn": ("uvicorn", "serve"),
    "websockets": ("websockets", "serve"),
}
COMMAND_GROUPS = ("augment", "cache", "data", "leaderboard", "models")  # these are no verbs; one follows


def main() -> int:
    """Run the command line; the exit code."""
    try:
        from earmark.cli.app import app

        app(prog_name="earmark")
    except EarmarkError as error:
        return _refuse(error)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in OPTIONAL:
            raise
        package, extra = OPTIONAL[missing]
        return _refuse(MissingExtraError(package, _command(), extra))
    except KeyboardInterrupt:
        return 130
    return 0


def _refuse(error: EarmarkError) -> int:
    """Say what is wrong on stderr; the exit code."""
    print(error, file=sys.stderr)
    return 2


def _command() -> str:
    """The command given: what the missing package is needed to do."""
    words = [word for word in sys.argv[1:] if not word.startswith("-")]
    if not words:
        return "run"
    return f"run `earmark {' '.join(words[:2])}`" if words[0] in COMMAND_GROUPS else words[0]


if __name__ == "__main__":
    sys.exit(main())
