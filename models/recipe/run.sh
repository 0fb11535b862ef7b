#!/bin/sh
# The whole recipe: corpus -> tokens -> base -> the same without outliers -> branches and folds -> packed model -> bits per byte -> pieces.
#   run.sh toy    two minutes: every step on little data, to see that it works
#   run.sh cpu    an hour and a half of two cores with AVX512-BF16: a small one, of 7 million parameters
#   run.sh gpu    ten minutes of one H200 for the training itself: the embedded model
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
    evaluate='--every 10' pack='--type int8'
    mb=0.2
    ;;
cpu)
    WORK=${WORK:-work-cpu} MINUTES=${MINUTES:-68}
    # torch's large buffers are otherwise mapped and cleared anew at every step
    export MALLOC_MMAP_THRESHOLD_=4000000000 MALLOC_TRIM_THRESHOLD_=8000000000
    prepare='--vocab 8192 --bpe-mb 12 --limit-mb 110'
    train='--width 256 --layers 6 --heads 4 --context 512 --batch 8 --warmup 100 --cooldown 0.6 --checks 8 --val-tokens 40000 --bf16 --seed 1'
    branches='--bf16 --layers 1 --report-rows 50'
    evaluate='' pack='--type fp16'
    mb=16
    ;;
gpu)
    WORK=${WORK:-work} MINUTES=${MINUTES:-9.8}
    prepare='--vocab 8192 --bpe-mb 12'
    train='--device cuda --bf16 --compile --layers 7 --batch 64 --cooldown 0.5 --checks 10 --val-tokens 300000'
    branches='--device cuda --bf16 --layers 1 --report-rows 50'
    evaluate='--device cuda --bf16' pack='--type int8'
    mb=16
    ;;
*)
    echo "usage: $0 toy|cpu|gpu" >&2
    exit 1
    ;;
esac

step() { printf '\n== %s\n' "$*"; "$PYTHON" "$here/$@"; }

mkdir -p "$WORK"
step prepare.py --train "$CORPUS/train-*.txt.xz" --val "$CORPUS/val.txt.xz" --out "$WORK/data" $prepare
step train.py --data "$WORK/data" --out "$WORK/base" --minutes "$MINUTES" $train
step smooth.py "$WORK/base" "$WORK/smooth" --texts "$CORPUS/val.txt.xz"
step branches.py --model "$WORK/smooth" --texts "$TEXTS/*.jsonl" --families "$here/families.json" --out "$WORK/smooth/branches.safetensors" \
    --folds "$WORK/folds" $branches
step pack.py "$WORK/smooth" "$WORK/packed" $pack
cp "$here/SOURCES.md" "$WORK/packed/"
step evaluate.py "$WORK/base" "$WORK/packed" --val "$CORPUS/val.txt.xz" $evaluate
rm -rf "$WORK/pieces"
step pieces.py split "$WORK/pieces" "$WORK"/packed/* --mb "$mb"
ls -l "$WORK/pieces"
