#!/usr/bin/env bash
# Makes everything in models/ from two folders (or files) of text: `make.sh GENTLE GRIM WORK [critic|guard]`. `critic` makes the critic
# alone, from the language model and the cost model in models/. `guard` makes the guard model of bench/evaluation/ alone, from WORK.
set -euo pipefail
usage="usage: make.sh GENTLE GRIM WORK [critic|guard]"
gentle=${1:?$usage} grim=${2:?$usage} work=${3:?$usage} only=${4:-}
case "$only" in
	"" | critic | guard) ;;
	*)
		echo "$usage, got $only as the last word" >&2
		exit 2
		;;
esac
here=$(cd "$(dirname "$0")" && pwd)
models=$here/..
project=$models/..
inferenceguard() { node "$project/dist/cli/main.js" "$@"; }

# bf16 matrix units for the trainer where the CPU has them; other settings only cost time
export OPENBLAS_CORETYPE=${OPENBLAS_CORETYPE:-SkylakeX} ONEDNN_MAX_CPU_ISA=${ONEDNN_MAX_CPU_ISA:-AVX512_CORE_AMX}
export ATEN_CPU_CAPABILITY=${ATEN_CPU_CAPABILITY:-avx512} OMP_NUM_THREADS=${OMP_NUM_THREADS:-$(nproc)}
export LLAMA_CPP_DIR=${LLAMA_CPP_DIR:-$(echo "$project"/.llama.cpp/v*)}
python=${PYTHON:-/usr/bin/python3}

export_model() { # CHECKPOINT TYPE OUT
	"$python" "$here/export.py" --checkpoint "$1" --tokenizer "$work/tokenizer.model" --type "$2" --out "$3"
}

if [ "$only" = guard ]; then
	"$python" "$here/guard.py" --checkpoint "$work/model.pt" --tokenizer "$work/tokenizer.model" --pieces "$work/pieces.jsonl" \
		--steps 1000 --threads "$(nproc)" --out "$work/guard.pt"
	made=$project/bench/.cache/evaluation
	mkdir -p "$made"
	export_model "$work/guard.pt" q8_0 "$made/guard.gguf"
	exit
fi

if [ "$only" != critic ]; then
	"$python" "$here/corpus.py" --shelf gentle "$gentle" --shelf grim "$grim" --out "$work" \
		--validation-authors "George MacDonald" "Oscar Wilde" "Bram Stoker"
	"$python" "$here/tokenizer.py" --data "$work"
	"$python" "$here/train.py" --data "$work" --steps 9000 --threads "$(nproc)" --out "$work/model.pt"
	for type in f32 q8_0; do
		export_model "$work/model.pt" $type "$work/$type.gguf"
	done
	cmake --build "$project/build" --target recipe_logits
	"$python" "$here/openings.py" > "$models/prompts/openings.jsonl"
	head -n 50 "$models/prompts/openings.jsonl" | sed 's/^{"prompt": "//; s/", "split.*//; s/\\"/"/g' > "$work/lines.txt"
	"$python" "$here/parity.py" --checkpoint "$work/model.pt" --tokenizer "$work/tokenizer.model" --gguf "$work/f32.gguf" \
		--logits-tool "$project/build/recipe_logits" --lines "$work/lines.txt"
	cp "$work/q8_0.gguf" "$models/two-shelves.gguf"

	"$python" "$here/pieces.py" --data "$work" --avoid grim --out "$work/pieces.jsonl"
	inferenceguard train-cost --data "$work/pieces.jsonl" --group-field book --no-characters --out "$models/grim.gguf"
fi

rm -rf "$work/rollouts"
inferenceguard rollouts --model "$models/two-shelves.gguf" --cost "$models/grim.gguf" --budget 0.5 \
	--cost "$models/violence.json" --budget 2 --prompts "$models/prompts/openings.jsonl" \
	--responses 20 --stride 16 --batch 20 --out "$work/rollouts"
inferenceguard train --rollouts "$work/rollouts" --out "$models/critic.gguf"
