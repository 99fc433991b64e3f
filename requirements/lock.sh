#!/usr/bin/env bash
# Locks every Python dependency with hashes; the files name no index host.
set -euo pipefail
cd "$(dirname "$0")/.."
local=(canary-gate gitops-policy inference-server model-pipeline release-play)
skip=(); for name in "${local[@]}"; do skip+=(--no-emit-package "$name"); done
compile() {
  .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
    --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" "$@"
}
compile "${skip[@]}" service/pyproject.toml policy-tests/pyproject.toml pipeline/pyproject.toml \
  gate/pyproject.toml play/pyproject.toml e2e/pyproject.toml requirements/dev.in --output-file requirements/all.txt
compile service/pyproject.toml --output-file service/requirements.txt
gpu=$(mktemp -d) && trap 'rm -rf "$gpu"' EXIT
sed 's/"onnxruntime>=/"onnxruntime-gpu[cuda,cudnn]>=/' service/pyproject.toml > "$gpu/pyproject.toml"
compile "$gpu/pyproject.toml" --no-annotate --output-file service/requirements-gpu.txt
compile requirements/go.in --output-file requirements/go.txt
compile requirements/checkov.in --output-file requirements/checkov.txt
# Every peer of a benchmark gets the ONNX Runtime that the service has.
grep -o '^onnxruntime==[^ ]*' service/requirements.txt > "$gpu/same.txt"
for peer in requirements/peers/*.in; do
  compile "$peer" --no-annotate --constraint "$gpu/same.txt" --output-file "${peer%.in}.txt"
done
