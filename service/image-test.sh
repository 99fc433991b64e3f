#!/usr/bin/env bash
# Builds the CPU image without a registry, runs it, and prints its digest.
# The base is made from Debian packages (not the pinned one of the Dockerfile, which CI pulls);
# needs root, debootstrap and buildah. Output: build/image/digest.
set -euo pipefail
cd "$(dirname "$0")/.."

mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
work=build/image
root=$PWD/$work/storage
run=$PWD/$work/run
image=localhost/inference-server:test
base=localhost/python-base:bookworm

for tool in debootstrap buildah; do
  command -v "$tool" >/dev/null || { echo "image-test: $tool is missing (apt-get install debootstrap buildah)" >&2; exit 2; }
done
[ "$(id -u)" = 0 ] || { echo "image-test: debootstrap and chroot isolation need root" >&2; exit 2; }

buildah() { command buildah --root "$root" --runroot "$run" --storage-driver vfs "$@"; }
mkdir -p "$work/wheels"

if [ ! -e "$work/rootfs.done" ]; then
  echo "image-test: making a Debian base"
  rm -rf "$work/rootfs"
  debootstrap --variant=minbase --include=python3,python3-venv,tini \
    bookworm "$work/rootfs" "$mirror" >"$work/debootstrap.log"
  rm -rf "$work"/rootfs/var/cache/apt/archives/*.deb "$work"/rootfs/var/lib/apt/lists/*
  touch "$work/rootfs.done"
fi
if ! buildah inspect --type image "$base" >/dev/null 2>&1; then
  container=$(buildah from scratch)
  buildah copy --quiet "$container" "$work/rootfs" / >/dev/null
  buildah commit --quiet "$container" "$base" >/dev/null
  buildah rm "$container" >/dev/null
fi

echo "image-test: collecting locked wheels"
.venv/bin/python -m pip download --quiet --disable-pip-version-check --require-hashes --no-deps \
  --only-binary=:all: --python-version 3.11 --requirement service/requirements.txt --dest "$work/wheels"

echo "image-test: building"
buildah build --quiet --isolation chroot --pull=never --layers=false --target cpu \
  --build-arg BASE="$base" --build-arg PIP_NO_INDEX=1 --build-arg PIP_FIND_LINKS=/wheels \
  --volume "$PWD/$work/wheels:/wheels:ro" --timestamp "$(git log -1 --format=%ct -- service)" \
  --tag "$image" service >/dev/null

echo "image-test: running"
models=$work/models
rm -rf "$models"
mkdir -p "$models"
.venv/bin/python -c '
import sys
from onnx import TensorProto as T, helper as h, save
x, y = (h.make_tensor_value_info(n, T.FLOAT, ["N"]) for n in "xy")
graph = h.make_graph([h.make_node("Identity", ["x"], ["y"])], "echo", [x], [y])
save(h.make_model(graph, opset_imports=[h.make_opsetid("", 18)], ir_version=9), sys.argv[1])
' "$models/echo.onnx"
sum=$(sha256sum "$models/echo.onnx" | cut -d' ' -f1)
port=$(.venv/bin/python -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
container=$(buildah from --pull-never "$image")
# buildah does not pass signals on: they go to the process at the end of its chain
innermost() {
  local pid=$1 child
  while child=$(pgrep -P "$pid" | head -1) && [ -n "$child" ]; do pid=$child; done
  echo "$pid"
}
cleanup() {
  if [ -n "${server:-}" ] && kill -0 "$server" 2>/dev/null; then kill "$(innermost "$server")"; fi
  buildah rm "$container" >/dev/null
}
trap cleanup EXIT
chmod 777 "$models"
in_image() {
  buildah run --isolation chroot --volume "$PWD/$models:/models:rw" "$@"
}
in_image "$container" -- inference-server fetch --uri file:///models/echo.onnx \
  --sha256 "$sum" --name echo --version 1
in_image --env HOST=127.0.0.1 --env PORT="$port" "$container" -- \
  /usr/bin/tini -s -- inference-server >"$work/server.log" 2>&1 &
server=$!
for _ in $(seq 100); do
  status=$(curl --silent --output /dev/null --write-out '%{http_code}' "http://127.0.0.1:$port/v2/health/ready") || status=000
  [ "$status" = 200 ] && break
  sleep 0.2
done
[ "$status" = 200 ] || { echo "image-test: never ready" >&2; cat "$work/server.log" >&2; exit 1; }
answer=$(curl --silent --fail --header 'Content-Type: application/json' --data '{"instances": [1.5]}' \
  "http://127.0.0.1:$port/predict")
[ "$answer" = '{"model":"echo","model_version":"1","predictions":[1.5]}' ] \
  || { echo "image-test: wrong answer: $answer" >&2; exit 1; }
user=$(in_image "$container" -- /opt/venv/bin/python -c 'import os; print(os.getuid())')
kill "$(innermost "$server")"
wait "$server" || { echo "image-test: SIGTERM ended with status $?" >&2; exit 1; }
server=
[ "$user" = 1000 ] || { echo "image-test: runs as uid $user" >&2; exit 1; }
buildah inspect --type image --format '{{.FromImageDigest}}' "$image" >"$work/digest"
echo "image-test: ready and right, as uid $user"
cat "$work/digest"
