"""A GPU machine without a network gets every package that its program imports."""

import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

ROOT = Path(__file__).parents[2]
# On the machine already, with PyTorch and transformers.
THERE = {"numpy", "packaging", "pyyaml", "tqdm"}
IMPORTS = """
import sys
from unittest.mock import MagicMock
for name in ("torch", "transformers", "tokenizers"):
    sys.modules[name] = MagicMock()
before = set(sys.modules)
import gpu.take_evidence, gpu.torch_server.__main__
print(*{name.partition(".")[0] for name in set(sys.modules) - before})
"""


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def closure(names: set[str]) -> set[str]:
    """Name the packages, and all that they need without an extra."""
    seen: set[str] = set()
    while names:
        name = names.pop()
        seen.add(name)
        try:
            stated = requires(name) or []
        except PackageNotFoundError:
            continue
        needed = {
            canonical(re.split(r"[^\w.-]", each)[0]) for each in stated if "extra ==" not in each
        }
        names |= needed - seen
    return seen


def test_every_import_is_among_the_gathered_packages() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = (ROOT / "gpu" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    carried = closure({canonical(line) for line in lines if line and line[0] != "#"}) | THERE
    ours = {"stream-deadline", "fake-vllm", "stream-lab"}
    distributions = packages_distributions()
    imported = {
        canonical(name)
        for module in done.stdout.split()
        for name in distributions.get(module, [])[:1]
    }
    assert len(imported) > 10
    assert imported - ours <= carried
