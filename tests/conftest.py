"""For every test: one thread for torch and its like, whose threads wait long for one another on busy cores."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported; processes that tests start inherit it
