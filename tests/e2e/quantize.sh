# fp4lab quantize: scales and codes of known blocks, the report, every output.
source "$(dirname "$0")/helpers.sh"

# A row of 32 numbers whose largest is the first argument, the others zero.
row() { words "$1"; for _ in $(seq 31); do words 00000000; done; }

# formats.md 5: MXFP4 scale codes for amax under floor, ceil, rceil, even.
check_amax() {
  local hex=$1 rule want
  shift
  row "$hex" >x.f32
  for rule in floor ceil rceil even; do
    want=$1
    shift
    expect_exit 0 quantize --spec mxfp4,rule=$rule x.f32 --scales s.u8
    expect_equal "$want" "$(bytes_of s.u8)" "mxfp4 scale of $hex, rule $rule"
  done
}
check_amax 3f800000 7d 7d 7d 7d
check_amax 3fc00000 7d 7e 7d 7d
check_amax 3fc00001 7d 7e 7e 7d
check_amax 3fe00000 7d 7e 7e 7e
check_amax 40c00000 7f 80 7f 7f
check_amax 40e00000 7f 80 80 80

# formats.md 5: nvfp4 with A = 6 and block maxima 6 and 3; g = 1 / 448.
{ words 40c00000; for _ in $(seq 15); do words 00000000; done
  words 40400000; for _ in $(seq 15); do words 80000000; done; } >n.f32
expect_exit 0 quantize --spec nvfp4 --shape 1x32 n.f32 --codes c.u8 --scales s.u8 \
  --tensor-scale g.f32 --dequant d.f32
expect_equal '7e 76' "$(bytes_of s.u8)" 'nvfp4 block scales'
expect_equal '3b124925' "$(words_of g.f32)" 'nvfp4 global factor'
expect_equal '07 00' "$(bytes_of c.u8 | cut -d' ' -f1-2)" 'nvfp4 codes, first block'
expect_equal '07 08' "$(bytes_of c.u8 | cut -d' ' -f17-18)" 'nvfp4 codes keep the sign of zero'
expect_equal 'bits a value 5.5' "$(grep 'bits a value' out | tr -s ' ')" 'bits of 32 values'

# Outputs in one HDF5 file, all at once.
expect_exit 0 quantize --spec mxfp4 sample:outliers --codes q.h5:/codes --packed low \
  --scales q.h5:/scales --dequant q.h5:/x
for dataset in /codes /scales /x; do
  expect_exit 0 cast --format fp32 "q.h5:$dataset" v.npy
done
if command -v h5dump >/dev/null; then
  checks=$((checks + 1))
  h5dump -H q.h5 | tr -d '\n' | grep -q '"codes".*( 256, 256 ).*"scales".*( 256, 16 ).*"x".*( 256, 512 )' ||
    fail 'shapes in HDF5'
fi
# Fake quantization is a fixed point of its own rule.
expect_exit 0 quantize --spec mxfp4,rule=rceil sample:gaussian --dequant one.npy --codes c1.npy
expect_exit 0 quantize --spec mxfp4,rule=rceil one.npy --dequant two.npy
cmp -s one.npy two.npy || fail 'quantizing twice changes mxfp4,rule=rceil'
expect_equal 'inf' "$(grep SQNR out | tr -s ' ' | cut -d' ' -f2)" 'SQNR of an exact quantization'
# Codes decode to the values before scaling; with scale 1 these are the dequantized ones.
expect_exit 0 quantize --spec e2m1,rule=fixed:1 sample:ties --codes c.npy --dequant d.npy
expect_exit 0 decode --format e2m1 c.npy e.npy
cmp -s d.npy e.npy || fail 'decode of codes differs from the dequantized tensor'

# Scale layouts: row, col, tensor, 2-D blocks repeated, Rx1, swizzled.
check_scales() {
  expect_exit 0 quantize --spec "$1" sample:ramp --scales s.npy
  expect_equal "$2" "$(head -c 128 s.npy | grep -ao "([0-9, ]*)")" "scale shape of $1"
}
check_scales mxfp4 '(256, 16)'
check_scales nvfp4,block=16x16 '(256, 32)'
check_scales e2m1,block=32x1 '(8, 512)'
check_scales e2m1,block=row '(256, 1)'
check_scales e2m1,block=col '(1, 512)'
check_scales e2m1 '(1, 1)'
expect_exit 0 quantize --spec mxfp4 sample:ramp --scales plain.u8
expect_exit 0 quantize --spec mxfp4 sample:ramp --scales swizzled.u8 --swizzle
expect_equal "$(wc -c <plain.u8)" "$(wc -c <swizzled.u8)" 'bytes of swizzled scales'
# formats.md 4.2: (32, 0) -> 4, (1, 0) -> 16, (0, 4) -> 512, (127, 3) -> 511, (128, 0) -> 2048.
byte() { od -An -tx1 -j "$2" -N 1 "$1" | tr -d ' '; }
for pair in '512 4' '16 16' '4 512' '2035 511' '2048 2048'; do
  expect_equal "$(byte plain.u8 "${pair% *}")" "$(byte swizzled.u8 "${pair#* }")" "swizzle $pair"
done
expect_line 2 'scales of one byte' quantize --spec e2m1 sample:ramp --scales s.npy --swizzle
expect_line 2 'no global factor' quantize --spec mxfp4 sample:ramp --tensor-scale g.npy
expect_line 2 'has no scale' quantize --spec fp16 sample:ramp --scales s.npy
expect_line 2 'has no zero point' quantize --spec int4 sample:ramp --zero-points z.npy

# Threads do not change a bit; seeds do.
for spec in mxfp4 nvfp4,rule=4over6 e3m0,round=luq nvfp4,hadamard=16,round=sr:8; do
  expect_exit 0 quantize --spec $spec sample:laplace --threads 1 --dequant a.npy --json
  mv out a.json
  expect_exit 0 quantize --spec $spec sample:laplace --threads 7 --dequant b.npy --json
  cmp -s a.npy b.npy || fail "threads change the values of $spec"
  cmp -s a.json out || fail "threads change the report of $spec"
done
expect_exit 0 quantize --spec mxfp4,round=sr sample:laplace --seed 1 --codes a.npy
expect_exit 0 quantize --spec mxfp4,round=sr sample:laplace --seed 2 --codes b.npy
cmp -s a.npy b.npy && fail 'seeds do not matter'
# Words handed in take the place of Philox: all ones round up wherever d > 0, all zeros never.
head -c $((4 * 512 * 256)) /dev/zero >zero.u32
expect_exit 0 quantize --spec mxfp4,round=sr:8 sample:gaussian --random zero.u32 --codes a.npy
expect_exit 0 quantize --spec mxfp4,round=rtz sample:gaussian --codes b.npy
cmp -s a.npy b.npy || fail 'zero words are not rtz'
expect_line 2 '1 words for 131072 elements' quantize --spec mxfp4,round=sr sample:gaussian --random <(words 00000001) \
  --codes c.npy

# The report.
expect_exit 0 quantize --spec mxfp4 sample:gaussian
expect_equal 16 "$(grep -cE '^[0-9a-f] +-?[0-9.]+ +[0-9]+ +[0-9.]+ %' out)" 'rows of the histogram'
python=$(python_with json)
if [[ -n $python ]]; then
  checks=$((checks + 1))
  fp4lab quantize --spec "E2M1,block=TENSOR,round=RNE" sample:ramp --json --dequant d.npy >r.json
  "$python" - <<'PY' || fail 'JSON of quantize'
import json
r = json.load(open('r.json'))
assert r['spec'] == 'e2m1' and r['shape'] == [256, 512] and r['elements'] == 131072
assert sum(r['code_histogram']) == 131072 and len(r['code_histogram']) == 16
# The ramp -8 .. 8 in steps of 2^-13 on the grid 8/6 * {0 .5 1 1.5 2 3 4 6}: x = 0 is a zero of the
# input, |x| <= 1/3 underflows.
zeros = r['code_histogram'][0] + r['code_histogram'][8]
assert zeros == 2 * int(8192 / 3) + 1, zeros
assert abs(r['underflow_fraction'] - (zeros - 1) / 131071) < 1e-15
assert abs(r['max_abs_error'] - 4 / 3) < 1e-3
assert r['saturation_fraction'] == 0 and r['nonfinite'] == 0
PY
  # The same figures from the arrays themselves.
  python=$(python_with numpy)
fi
if [[ -n $python ]]; then
  checks=$((checks + 1))
  fp4lab cast --format fp32 sample:laplace x.npy
  fp4lab quantize --spec nvfp4 sample:laplace --dequant y.npy --json >r.json
  "$python" - <<'PY' || fail 'figures against numpy'
import json, numpy
r = json.load(open('r.json'))
x = numpy.load('x.npy').view('f4').astype('f8')
y = numpy.load('y.npy').astype('f8')
e = x - y
assert abs(r['mse'] / (e * e).mean() - 1) < 1e-12
assert abs(r['sqnr_db'] - 10 * numpy.log10((x * x).sum() / (e * e).sum())) < 1e-12
assert r['max_abs_error'] == abs(e).max()
assert r['zero_fraction'] == (y == 0).mean()
assert r['underflow_fraction'] == ((x != 0) & (y == 0)).sum() / (x != 0).sum()
PY
fi

# NaN and Inf cost their own block and are counted; nothing else breaks.
{ words 7fc00000 3f800000; head -c 120 /dev/zero; words ff800000 3f800000; head -c 120 /dev/zero
  row 3f800000; } >bad.f32
expect_exit 0 quantize --spec mxfp4 bad.f32 --scales s.u8
expect_equal 'ff ff 7d' "$(bytes_of s.u8)" 'poisoned blocks'
expect_equal 'not finite 64' "$(grep 'not finite' out | tr -s ' ' | cut -d' ' -f1-3)" 'count'

# No elements, one element, 0-d, 3-D, a tail.
: >none.f32
expect_exit 0 quantize --spec mxfp4 none.f32 --codes c.npy --scales s.npy --dequant d.npy
expect_exit 0 quantize --spec nvfp4 --shape 0x5 none.f32 --codes c.npy --scales s.npy --json
expect_exit 0 quantize --spec nvfp4,hadamard=16 --shape 5x0 none.f32 --codes c.npy
words 40490fdb >pi.f32
for spec in e2m1 mxfp4 nvfp4 nf4 hif4 if4 mxfp4,hadamard=32; do
  expect_exit 0 quantize --spec $spec pi.f32 --codes c.npy
done
expect_exit 0 quantize --spec mxfp4 --shape 3x1x11 <(head -c 132 /dev/zero) --dtype f32 --scales s.npy
expect_equal '(3, 1)' "$(head -c 128 s.npy | grep -ao '([0-9, ]*)')" 'scales of a 3-D tail'

# binary64 needs consent.
printf '\x9a\x99\x99\x99\x99\x99\xb9\x3f' >d.f64
expect_line 2 '--narrow' quantize --spec mxfp4 d.f64
expect_exit 0 quantize --spec mxfp4 --narrow d.f64

# Raw output goes to standard output alone, the report to standard error.
checks=$((checks + 1))
fp4lab quantize --spec mxfp4 sample:gaussian --codes - 2>err | wc -c >n
expect_equal 131072 "$(tr -d ' ' <n)" 'bytes on standard output'
grep -q SQNR err || fail 'no report on standard error'
expect_line 2 "only one output can be '-'" quantize --spec mxfp4 sample:ramp --codes - --scales -
expect_no_leftovers
finish
