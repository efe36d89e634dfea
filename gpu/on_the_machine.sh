#!/usr/bin/env bash
# On the GPU machine, without a network: unpack what was carried along, serve a random-weight Qwen3, take the evidence.
#   gpu/on_the_machine.sh [--size 8b] [--out evidence/h100]        (the arguments of gpu.take_evidence)
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}
"$PYTHON" -c 'import torch, transformers' 2>/dev/null || { echo "This needs PyTorch and transformers in $PYTHON; name another with PYTHON=…" >&2; exit 2; }
if [ ! -e gpu/site/.ready ]; then
  ls gpu/wheels/*.whl > /dev/null 2>&1 || { echo "There are no wheels in gpu/wheels; run gpu/gather_wheels.sh where there is a network." >&2; exit 2; }
  rm -rf gpu/site
  "$PYTHON" -m pip install --quiet --disable-pip-version-check --no-index --no-deps --target gpu/site gpu/wheels/*.whl
  touch gpu/site/.ready
fi
# What is on the machine already, numpy for one, comes after what was carried along.
PYTHONPATH="$PWD:$PWD/src:$PWD/gpu/site" exec "$PYTHON" -m gpu.take_evidence "$@"
