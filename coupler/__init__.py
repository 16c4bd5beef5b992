"""The running system: receives fields from an ocean model, runs networks, returns tendencies."""

import os

# onnxruntime reports its use to its maker unless it is told not to before it is imported (its Privacy.md).
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
