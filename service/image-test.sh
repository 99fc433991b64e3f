#!/usr/bin/env bash
# Builds the CPU image without a registry, runs it as a strict pod would (read-only root, no
# capability, uid 1000), holds it to its size, and prints its digest.
# The base is made from Debian packages (not the pinned one of the Dockerfile, which CI pulls);
# needs root, debootstrap and buildah. Output: build/image/digest.
set -euo pipefail
cd "$(dirname "$0")/.."

mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
work=build/image
root=$PWD/$work/storage
run=$PWD/$work/run
image=localhost/inference-server:test
largest=450 # MB, uncompressed
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
# Debian's Python is 3.11.2: pip here would leave out what only that one needs.
sed "s/ ; python_full_version < '3.11.3'//" service/requirements.txt >"$work/requirements.txt"
.venv/bin/python -m pip download --quiet --disable-pip-version-check --require-hashes --no-deps \
  --only-binary=:all: --python-version 3.11 --requirement "$work/requirements.txt" --dest "$work/wheels"

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
files=$(buildah mount "$container")
cleanup() {
  if [ -n "${server:-}" ] && kill -0 "$server" 2>/dev/null; then kill "$server"; wait "$server" || true; fi
  buildah umount "$container" >/dev/null
  buildah rm "$container" >/dev/null
}
trap cleanup EXIT

megabytes=$(du --summarize --block-size=1000000 --apparent-size "$files" | cut -f1)
[ "$megabytes" -lt "$largest" ] || {
  echo "image-test: the image has $megabytes MB, $largest is the limit; its largest packages:" >&2
  du --block-size=1000000 --max-depth=1 "$files"/opt/venv/lib/python3*/site-packages | sort -rn | head -12 >&2
  exit 1
}

# No shell of the image is needed: a mount namespace with the image's files read-only, then chroot.
chmod 777 "$models"
mapfile -t variables < <(buildah inspect --type image --format '{{range .OCIv1.Config.Env}}{{println .}}{{end}}' "$image" | grep =)
as_pod() {
  exec unshare --mount --propagation private -- bash -c '
    set -e
    files=$1 models=$2; shift 2
    mount --bind "$files" "$files"
    mount -t tmpfs -o mode=1777 tmp "$files/tmp"
    mkdir "$files/tmp/models"
    mount --bind "$models" "$files/tmp/models"
    mount -o remount,bind,ro "$files"
    mount -t proc proc "$files/proc"
    mount --bind /dev/null "$files/dev/null" 2>/dev/null || true
    exec chroot "$files" setpriv --reuid=1000 --regid=1000 --clear-groups --bounding-set=-all \
      --inh-caps=-all --no-new-privs "$@"
  ' as-pod "$files" "$PWD/$models" /usr/bin/env -i "${variables[@]}" MODEL_REPOSITORY=/tmp/models "$@"
}
(as_pod /usr/bin/tini -- inference-server fetch --uri file:///tmp/models/echo.onnx \
  --sha256 "$sum" --name echo --version 1 --repository /tmp/models)

try() { # with the number of workers
  as_pod HOST=127.0.0.1 PORT="$port" WORKERS="$1" DRAIN_SECONDS=1 /usr/bin/tini -- inference-server >"$work/server.log" 2>&1 &
  server=$!
  status=000
  for _ in $(seq 150); do
    status=$(curl --silent --output /dev/null --write-out '%{http_code}' "http://127.0.0.1:$port/v2/health/ready") || status=000
    [ "$status" = 200 ] && break
    sleep 0.2
  done
  [ "$status" = 200 ] || { echo "image-test: never ready" >&2; cat "$work/server.log" >&2; exit 1; }
  answer=$(curl --silent --fail --header 'Content-Type: application/json' --data '{"instances": [1.5]}' \
    "http://127.0.0.1:$port/predict")
  [ "$answer" = '{"model":"echo","model_version":"1","predictions":[1.5]}' ] \
    || { echo "image-test: wrong answer: $answer" >&2; exit 1; }
  local facts=/proc/$server/status
  grep --quiet '^Uid:\s*1000\s' "$facts" && grep --quiet '^CapBnd:\s*0*$' "$facts" \
    && grep --quiet '^CapEff:\s*0*$' "$facts" && grep --quiet '^NoNewPrivs:\s*1' "$facts" \
    || { echo "image-test: not as a strict pod:" >&2; cat "$facts" >&2; exit 1; }
  kill "$server"
  wait "$server" || { echo "image-test: SIGTERM ended with status $?" >&2; cat "$work/server.log" >&2; exit 1; }
  server=
}
try 1
try 2
if (as_pod /usr/bin/touch /opt/venv/written 2>/dev/null); then
  echo "image-test: the root file system was not read-only" >&2; exit 1
fi
entry=$(buildah inspect --type image --format '{{.OCIv1.Config.User}} {{.OCIv1.Config.Entrypoint}}' "$image")
[ "$entry" = '1000:1000 [/usr/bin/tini -- inference-server]' ] \
  || { echo "image-test: user and entry point are: $entry" >&2; exit 1; }
buildah inspect --type image --format '{{.FromImageDigest}}' "$image" >"$work/digest"
echo "image-test: $megabytes MB; ready and right with 1 and 2 workers, uid 1000, read-only root, no capability"
cat "$work/digest"
