#!/bin/sh
# The whole recipe: corpus -> tokens -> base -> branches and folds -> packed model -> bits per byte -> pieces.
#   run.sh toy    two minutes: every step on little data, to see that it works
#   run.sh gpu    meant for 25 minutes on one GPU with 64 GB or more: the model
# CORPUS (train-*.txt.xz, val.txt.xz), TEXTS (labelled JSONL) and WORK (what is written) name directories; PYTHON an interpreter with
# torch, numpy, tokenizers and safetensors; MINUTES the time of the training itself. A run that was stopped goes on where it was.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
what=${1:-}
CORPUS=${CORPUS:-corpus} TEXTS=${TEXTS:-eval} PYTHON=${PYTHON:-python3}
case $what in
toy)
    WORK=${WORK:-work-toy} MINUTES=${MINUTES:-1}
    prepare='--vocab 1024 --bpe-mb 2 --limit-mb 4 --piece-mb 1'
    train='--width 64 --layers 3 --heads 2 --context 128 --batch 8 --warmup 20 --checks 3 --val-tokens 20000 --keep-minutes 0.4'
    branches='--layers 1 --tokens 64 --family-tokens 1500 --report-rows 20'
    evaluate='--every 10'
    mb=0.2
    ;;
gpu)
    WORK=${WORK:-work} MINUTES=${MINUTES:-18}
    prepare=''
    train='--device cuda --bf16 --compile'
    branches='--device cuda --bf16 --layers 1 --tokens 512 --family-tokens 200000 --batch-tokens 16384'
    evaluate='--device cuda --bf16'
    mb=16
    ;;
*)
    echo "usage: $0 toy|gpu" >&2
    exit 1
    ;;
esac

step() { printf '\n== %s\n' "$*"; "$PYTHON" "$here/$@"; }

mkdir -p "$WORK"
step prepare.py --train "$CORPUS/train-*.txt.xz" --val "$CORPUS/val.txt.xz" --out "$WORK/data" $prepare
step train.py --data "$WORK/data" --out "$WORK/base" --minutes "$MINUTES" $train
step branches.py --model "$WORK/base" --texts "$TEXTS/*.jsonl" --families "$here/families.json" --out "$WORK/base/branches.safetensors" \
    --folds "$WORK/folds" $branches
step pack.py "$WORK/base" "$WORK/packed"
cp "$here/SOURCES.md" "$WORK/packed/"
step evaluate.py "$WORK/base" "$WORK/packed" --val "$CORPUS/val.txt.xz" $evaluate
rm -rf "$WORK/pieces"
step pieces.py split "$WORK/pieces" "$WORK"/packed/* --mb "$mb"
ls -l "$WORK/pieces"
