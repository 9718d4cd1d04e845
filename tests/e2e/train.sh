# fp4lab train: a run and its baseline, the same bits again, interruption and resumption, errors.
source "$(dirname "$0")/helpers.sh"
# Tiny layers: threads would only wait for each other.
export OMP_NUM_THREADS=1

tiny=(--set data.name=grammar --set data.items=20000 --set model.dim=32 --set model.length=32
  --set train.steps=8 --set train.batch=4 --set train.eval_items=8 --set log.slots_every=4)
weights() { grep -o '"weights_sha256": "[0-9a-f]*"' "$1"; }

expect_exit 0 train "${tiny[@]}"
for word in model data sha256 recipe policy steps nvfp4-nvidia bf16 'held-out loss'; do
  grep -qF -- "$word" out || fail "the report says nothing of $word"
done
expect_equal 1 "$(grep -c 'nvfp4-nvidia - bf16: ' out)" 'line that compares the two runs'

# The same configuration, the same bits: with other threads, and from its own printed text.
expect_exit 0 train "${tiny[@]}" --baseline none --json
weights out >first
expect_exit 0 train "${tiny[@]}" --baseline none --json --threads 3
expect_equal "$(cat first)" "$(weights out)" 'weights with three threads'
expect_exit 0 train "${tiny[@]}" --print-config
cp out run.toml
expect_exit 0 train run.toml --json --out run.h5
expect_equal "$(cat first)" "$(weights out)" 'weights from the printed configuration'
[[ -s run.h5 ]] || fail 'no result file'

# Weights as a checkpoint that other commands read.
expect_exit 0 train run.toml --json --save-weights w.safetensors
expect_exit 0 error w.safetensors --spec nvfp4 --each
grep -q 'blocks.0.attn.q.weight' out || fail 'no attention weight in the checkpoint'

# An interrupted run continues to the same weights.
long=("${tiny[@]}" --set train.steps=400 --baseline none --json)
expect_exit 0 train "${long[@]}"
weights out >straight
fp4lab train "${long[@]}" --checkpoint saved >out 2>err &
child=$!
sleep 1
kill -INT $child 2>/dev/null
wait $child
code=$?
checks=$((checks + 1))
# A machine on which 400 steps take less than a second finishes first.
[[ $code == 130 || $code == 0 ]] || fail "exit $code after an interrupt"
expect_exit 0 train "${long[@]}" --checkpoint saved --resume
expect_equal "$(cat straight)" "$(weights out)" 'weights of the resumed run'
expect_no_leftovers

expect_exit 0 train --list-recipes
grep -q '^tetrajet ' out || fail 'no tetrajet among the recipes'
expect_exit 0 train --list-keys
grep -q '^optim.lr ' out || fail 'no optim.lr among the keys'
cat >mine.toml <<'TOML'
title = "my recipe"
slots.q2.spec = "mxfp4"
TOML
expect_exit 0 train "${tiny[@]}" --recipe ./mine.toml --baseline none --json
grep -q '"recipe": "custom"' out || fail 'a recipe from a file'

expect_line 2 "nearest: 'tetrajet'" train --recipe tetrajett
expect_line 2 "nearest: 'train.steps'" train --set train.step=3
expect_line 2 "no.toml" train no.toml
printf '[train]\nstep = 3\n' >bad.toml
expect_line 2 "bad.toml:2:1: unknown key 'train.step'; nearest: 'train.steps'" train bad.toml
expect_line 2 'reads text' train --set data.name=digits
expect_line 2 '--resume needs --checkpoint' train --resume
expect_line 2 'heads' train --set model.heads=7
expect_line 3 'nowhere' train "${tiny[@]}" --baseline none --json --out nowhere/x.h5
finish
