#!/bin/sh
# All stages from text to a checkpoint. Run again, it resumes where it was interrupted.
#
#   training/train.sh DIR [DEVICE] [CONFIG]
#
# DEVICE: cpu (default) or cuda. CONFIG: of a checkpoint whose weights are carried over to the new latents; without it
# all weights are random at the start. Steps: AUTOENCODER_STEPS, DECODER_STEPS, ENCODER_STEPS, FLOW_LM_STEPS.
set -eu
dir=$1 device=${2:-cpu} config=${3:-}
run() {
    echo "$(date -u +%T) $*"
    "${PYTHON:-python}" -m "$@"
}

[ -e "$dir/text/sentences.txt" ] || run training.data.text --out "$dir/text" --held-out training/evaluation/held_out.txt
run training.data.speech --text "$dir/text" --out "$dir/speech"
run training.codec.mel_patches --speech "$dir/speech" --out "$dir/patches" --device "$device"
run training.codec.train_spectral_autoencoder --work "$dir" --steps "${AUTOENCODER_STEPS:-4000}" --device "$device"
run training.codec.encode_latents --work "$dir" --device "$device"
from=
if [ -n "$config" ]; then
    [ -e "$dir/carried/config.yaml" ] || run training.export.map_latents --work "$dir" --from "$config" --out "$dir/carried"
    from="--from $dir/carried/config.yaml"
else
    [ -e "$dir/flow/tokenizer.model" ] || run training.data.tokenizer --work "$dir"
fi

# The last three stages do not depend on each other. $from is empty or two words.
run training.codec.train_decoder --work "$dir" --adversary-from "${ADVERSARY_FROM:-3000}" \
    --steps "${DECODER_STEPS:-40000}" --device "$device" $from >> "$dir/decoder.log" 2>&1 & decoder=$!
run training.codec.train_encoder --work "$dir" --steps "${ENCODER_STEPS:-10000}" --device "$device" $from \
    >> "$dir/encoder.log" 2>&1 & encoder=$!
run training.flow_lm.train --work "$dir" --steps "${FLOW_LM_STEPS:-24000}" --device "$device" $from \
    >> "$dir/flow_lm.log" 2>&1 & flow_lm=$!
trap 'kill $decoder $encoder $flow_lm 2>/dev/null || true' EXIT
wait $decoder
wait $encoder
wait $flow_lm
run training.codec.assemble --work "$dir"
run training.export.export --work "$dir" --out "$dir/checkpoint"
run training.flow_lm.select_prompts --work "$dir" --out "$dir/checkpoint"
