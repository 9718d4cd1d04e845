# Shared by the end-to-end tests: `bash SCRIPT PROGRAM`. Each check prints one line on failure; the
# script's exit code is the number of failed checks, at most 100.
set -u
program=$1
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 100
unset FP4LAB_FORMATS NO_COLOR
failed=0
checks=0

fp4lab() { "$program" "$@"; }

fail() {
  failed=$((failed + 1))
  printf 'FAILED: %s\n' "$*"
}

finish() {
  printf '%d checks, %d failed\n' "$checks" "$failed"
  exit $((failed > 100 ? 100 : failed))
}

# expect_exit CODE ARGUMENTS...: runs the program, leaves its output in ./out and ./err.
expect_exit() {
  local want=$1
  shift
  checks=$((checks + 1))
  fp4lab "$@" >out 2>err </dev/null
  local got=$?
  [[ $got == "$want" ]] || fail "exit $got, want $want: fp4lab $* ($(head -c 300 err))"
}

# expect_line CODE TEXT ARGUMENTS...: a failure with nothing on standard output and one line on
# standard error that contains TEXT and no control characters.
expect_line() {
  local want=$1 text=$2
  shift 2
  expect_exit "$want" "$@"
  checks=$((checks + 1))
  [[ $(wc -l <err) == 1 ]] || fail "$(wc -l <err) lines on standard error: fp4lab $*: $(cat err)"
  grep -qF -- "$text" err || fail "no '$text' in: $(cat err)"
  LC_ALL=C grep -q '[[:cntrl:]]' err && fail "control characters: fp4lab $*"
  [[ -s out ]] && fail "output beside an error: fp4lab $*"
  return 0
}

# expect_equal WANT GOT WHAT
expect_equal() {
  checks=$((checks + 1))
  [[ $1 == "$2" ]] || fail "$3: got '$2', want '$1'"
}

# expect_no_leftovers: no temporary, visible or hidden, anywhere below the folder.
expect_no_leftovers() {
  checks=$((checks + 1))
  local found
  found=$(find . -name '*.part')
  [[ -z $found ]] || fail "left behind: $found"
}

# words HEX...: 32-bit words, written most significant digit first, as little-endian bytes.
words() {
  local w
  for w in "$@"; do printf "\\x${w:6:2}\\x${w:4:2}\\x${w:2:2}\\x${w:0:2}"; done
}

# bytes_of FILE: its bytes as hexadecimal pairs, space-separated.
bytes_of() { od -An -v -tx1 "$1" | tr -s ' \n' ' ' | sed 's/^ //; s/ $//'; }

# words_of FILE: its 32-bit words in hexadecimal.
words_of() { od -An -v -tx4 "$1" | tr -s ' \n' ' ' | sed 's/^ //; s/ $//'; }

# A Python with the given modules, or nothing.
python_with() {
  local candidate
  for candidate in python3 /usr/bin/python3; do
    if command -v "$candidate" >/dev/null && "$candidate" -c "import $1" 2>/dev/null; then
      printf '%s' "$candidate"
      return
    fi
  done
}
