#!/usr/bin/env bash
# On a GPU machine with vLLM: serve the incident's model, another one, or a random-weight Qwen3, which needs no download.
#   gpu/serve_vllm.sh                       Qwen/Qwen3-30B-A3B-Instruct-2507-FP8, as in the incident
#   gpu/serve_vllm.sh NAME_OR_FOLDER [vLLM's flags]
#   gpu/serve_vllm.sh random:8b             tiny, 0.6b, 1.7b, 4b, 8b, 14b or 32b
# It listens on 127.0.0.1:8000 (HOST, PORT). Then: stream-lab evidence --base-url http://127.0.0.1:8000/v1 --timeout 5 --direct
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}
model=${1:-Qwen/Qwen3-30B-A3B-Instruct-2507-FP8}
shift || true
flags=(--max-model-len 32768 --host "${HOST:-127.0.0.1}" --port "${PORT:-8000}")
"$PYTHON" -c 'import vllm' 2>/dev/null || { echo "There is no vLLM in $PYTHON; name another with PYTHON=…, or use gpu/on_the_machine.sh, which needs PyTorch only." >&2; exit 2; }
case $model in
  random:*)
    size=${model#random:}
    folder=${XDG_CACHE_HOME:-$HOME/.cache}/stream-deadline/random-qwen3-$size
    "$PYTHON" src/stream_lab/processes/backends/random_qwen3.py "$folder" --size "$size"
    export HF_HUB_OFFLINE=1
    exec "$PYTHON" -m vllm.entrypoints.openai.api_server --model "$folder" --served-model-name "random-qwen3-$size" \
      --load-format dummy --dtype bfloat16 "${flags[@]}" "$@"
    ;;
  *) exec "$PYTHON" -m vllm.entrypoints.openai.api_server --model "$model" "${flags[@]}" "$@" ;;
esac
