#!/usr/bin/env bash
# On a machine with a network: gather the wheels that the GPU machine lacks, for its version of Python.
#   gpu/gather_wheels.sh [3.12]
set -euo pipefail
cd "$(dirname "$0")/.."
version=${1:-3.12}
test -x .venv/bin/uv || make setup
rm -rf gpu/wheels && mkdir gpu/wheels
.venv/bin/uv pip compile --quiet --python-version "$version" --python-platform x86_64-manylinux_2_28 --no-header --no-annotate \
  --constraint requirements/latest.txt gpu/requirements.txt | grep -v '^numpy==' > gpu/wheels/list.txt
.venv/bin/python -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --python-version "$version" \
  --platform manylinux_2_28_x86_64 --platform manylinux2014_x86_64 --dest gpu/wheels --requirement gpu/wheels/list.txt
echo "$(ls gpu/wheels/*.whl | wc -l) wheels for Python $version in gpu/wheels, $(du -sm gpu/wheels | cut -f1) MB"
