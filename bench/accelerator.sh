#!/usr/bin/env bash
# Check and measure Sayline on a machine with a GPU, within eight minutes, which may have no network.
#
#   bench/accelerator.sh fetch WHEELS         where there is a network: packages for that machine, without torch
#   bench/accelerator.sh run OUT [WHEELS]     on the machine; its python3 has torch with CUDA, or PYTHON
#
# DEVICE=cpu SMALL=1 tries the script without a GPU; the figures then mean nothing. CHECKPOINT=--config=FILE or
# --variant=NAME chooses the model.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
device=${DEVICE:-cuda}
checkpoint=${CHECKPOINT:---variant=embedded}

fetch() {
    local wheels=$1 name
    "$python" -m pip wheel --quiet -c constraints.txt --wheel-dir "$wheels" ./clients/python .
    for name in torch nvidia_ triton; do rm -f "$wheels/$name"*.whl; done
    du -sh "$wheels"
}

run() {
    local out=$1 wheels=${2:-}
    mkdir -p "$out"
    export PYTHONPATH="$PWD/src:$PWD/clients/python"
    if [ -n "$wheels" ]; then
        packages=$(mktemp -d) # not local: the trap runs outside the function
        trap 'rm -rf "$packages"' EXIT
        "$python" -m pip install --quiet --no-index --no-deps --target "$packages" "$wheels"/*.whl
        PYTHONPATH="$PYTHONPATH:$packages"
    fi
    local checks=(--slots 2048 --steps 25) load=(--seconds 20 --runs 1 --most 1000)
    if [ -n "${SMALL:-}" ]; then checks=(--slots 2 --steps 1) load=(--quick); fi
    local failed=0
    "$python" -m sayline_tts.bench.accelerator --device "$device" "$checkpoint" "${checks[@]}" --out "$out" || failed=1
    # Listeners at once, through WebSockets: load generator and server share the processors.
    SAYLINE_DEVICE=$device timeout 240 "$python" -c 'from sayline.cli import main; main()' bench "$checkpoint" \
        --only ramp "${load[@]}" -o "$out/bench" || failed=1
    return $failed
}

case "${1:-}" in
fetch) fetch "$2" ;;
run) run "$2" "${3:-}" ;;
*)
    sed -n '2,8s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
esac
