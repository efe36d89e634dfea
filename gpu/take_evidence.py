"""Start gpu.torch_server, play the four attempts against it, and save the evidence.

`python -m gpu.take_evidence --size 8b --out evidence/h100`
"""

import argparse
import json
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import torch

from stream_lab.errors import LabError
from stream_lab.processes.backends.random_qwen3 import SIZES
from stream_lab.processes.ports import answers, free_port
from stream_lab.processes.process import Process

LOADS_WITHIN = 300.0  # seconds; the GPU makes the weights, which takes long for a large model


def main() -> int:
    """Run the command, and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m gpu.take_evidence", description=__doc__)
    cuda = torch.cuda.is_available()
    parser.add_argument(
        "--size",
        choices=SIZES,
        default="8b" if cuda else "tiny",
        help="the size of the model; default: %(default)s",
    )
    parser.add_argument("--device", default="cuda" if cuda else "cpu", help="default: %(default)s")
    parser.add_argument(
        "--timeout", default="5", help="the deadline in seconds; default: %(default)s"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("runs/evidence"), help="folder; default: %(default)s"
    )
    options = parser.parse_args()
    port = free_port()
    root = f"http://127.0.0.1:{port}"
    serve = [
        sys.executable,
        "-m",
        "gpu.torch_server",
        "--size",
        options.size,
        "--device",
        options.device,
        "--port",
        str(port),
    ]
    try:
        with Process(
            "gpu.torch_server", serve, lambda: answers(f"{root}/health"), within=LOADS_WITHIN
        ) as server:
            print(server.log.strip(), flush=True)
            take = [
                "evidence",
                "--base-url",
                f"{root}/v1",
                "--timeout",
                options.timeout,
                "--direct",
                "--out",
                str(options.out),
            ]
            status = subprocess.run(
                [sys.executable, "-m", "stream_lab", *take], check=False
            ).returncode
    except LabError as error:
        print(f"take-evidence: {error}", file=sys.stderr)
        return 2
    file = options.out / "evidence.json"
    if status in (0, 1) and file.exists():
        body = json.loads(file.read_text(encoding="utf-8"))
        body["server"] = {
            "program": "gpu/torch_server",
            "model": f"a random-weight Qwen3 {options.size}",
            "device": torch.cuda.get_device_name(0)
            if options.device.startswith("cuda")
            else f"a CPU ({platform.machine()})",
            "torch": version("torch"),
            "transformers": version("transformers"),
        }
        file.write_text(json.dumps(body, ensure_ascii=False) + "\n", encoding="utf-8")
    return status


if __name__ == "__main__":
    sys.exit(main())
