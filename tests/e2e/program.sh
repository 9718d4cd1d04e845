# The program itself: version, help, colours, completion.
source "$(dirname "$0")/helpers.sh"

expect_exit 0 --version
for word in fp4lab commit compiler HDF5 CUDA formats; do
  grep -qE "^$word +[^ ]" out || fail "--version says nothing of $word"
done
for command in '' formats cast decode quantize train completion; do
  expect_exit 0 $command --help
  expect_equal 'Examples:' "$(head -1 out)" "first line of $command --help"
  grep -qE "^  .*fp4lab ${command}" out || fail "no example of $command"
done

# Examples in the help run as they stand (those that need no file of the reader's).
fp4lab quantize --spec fp32 sample:gaussian --dequant w.npy >/dev/null
for command in formats quantize; do
  fp4lab $command --help | sed -n '/^Examples:/,/^$/p' | grep '^  fp4lab' | grep -vE 'mine.toml|g.f32' |
    while read -r line; do
      checks=$((checks + 1))
      PATH=$(dirname "$program"):$PATH bash -c "$line" >/dev/null 2>err || echo "$line: $(cat err)"
    done >bad
  [[ -s bad ]] && fail "examples: $(cat bad)"
done

escape=$'\x1b'
expect_exit 0 formats e2m1
grep -q "$escape" out && fail 'colours in a file'
expect_exit 0 --color always formats e2m1
grep -q "$escape" out || fail '--color always gives none'
expect_exit 0 formats e2m1 --color never
grep -q "$escape" out && fail '--color never gives colours'
if command -v script >/dev/null; then
  checks=$((checks + 1))
  TERM=xterm script -qec "$program formats e2m1" /dev/null | grep -q "$escape" ||
    fail 'no colours on a terminal'
  TERM=xterm NO_COLOR=1 script -qec "$program formats e2m1" /dev/null | grep -q "$escape" &&
    fail 'NO_COLOR is not heeded'
  script -qec "$program cast --format e2m1 sample:ramp -" /dev/null >tty
  grep -q 'not written to a terminal' tty || fail 'raw bytes on a terminal'
fi

# Completion: the scripts parse, and bash's gives what it should.
expect_exit 0 completion bash
bash -n out || fail 'the bash script does not parse'
cp out complete.bash
complete_bash() {
  bash -c 'source complete.bash; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _fp4lab
    echo "${COMPREPLY[@]}"' bash "$@"
}
expect_equal 'quantize' "$(complete_bash fp4lab qu)" 'completion of a command'
expect_equal 'ml-dtypes modelopt' "$(complete_bash fp4lab cast --policy m)" 'of a policy'
expect_equal '--format' "$(complete_bash fp4lab cast --form | tr ' ' '\n' | head -1)" 'of an option'
expect_equal 'nf4' "$(complete_bash fp4lab formats nf)" 'of a format'
expect_equal 'low' "$(complete_bash fp4lab quantize --packed l)" 'of a value'
for shell in zsh fish; do
  expect_exit 0 completion $shell
  grep -q 'quantize' out || fail "completion for $shell"
  if command -v $shell >/dev/null; then
    checks=$((checks + 1))
    $shell -n out || fail "the $shell script does not parse"
  fi
done
expect_line 2 "nearest: 'bash'" completion bsh
finish
