# fp4lab cast and decode: known codes, pipes, files of every kind, random words, packing.
source "$(dirname "$0")/helpers.sh"

# formats.md 5: 0, -0, 0.25, -0.25, next above 0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5, -5, next above 5,
# 7, +Inf, -Inf, NaN, -NaN.
words 00000000 80000000 3e800000 be800000 3e800001 3f400000 3fa00000 3fe00000 40200000 40600000 \
  40a00000 c0a00000 40a00001 40e00000 7f800000 ff800000 7fc00000 ffc00000 >x.f32
expect_exit 0 cast --format e2m1 x.f32 c.u8
expect_equal '00 08 00 08 01 02 02 04 04 06 06 0e 07 07 07 0f 07 07' "$(bytes_of c.u8)" 'e2m1 rne'
expect_exit 0 cast --format e2m1 --round rtz x.f32 c.u8
expect_equal '00 08 00 08 00 01 02 03 04 05 06 0e 06 07 07 0f 07 07' "$(bytes_of c.u8)" 'e2m1 rtz'
expect_exit 0 cast --format e2m1 --policy te x.f32 c.u8
expect_equal '00 00 00 08 01 02 02 04 04 06 06 0e 07 07 07 0f 00 00' "$(bytes_of c.u8)" 'e2m1 te'

# 448, 464, next above 464, Inf, 2^-10, next above.
words 43e00000 43e80000 43e80001 7f800000 3a800000 3a800001 >y.f32
expect_exit 0 cast --format e4m3 y.f32 c.u8
expect_equal '7e 7e 7e 7e 00 01' "$(bytes_of c.u8)" 'e4m3'
expect_exit 0 cast --format e4m3 --policy cuda-nosat y.f32 c.u8
expect_equal '7e 7e 7f 7f 00 01' "$(bytes_of c.u8)" 'e4m3, no saturation'

# binary64 is rounded once: 1 + 2^-11 + 2^-40 is above the tie of fp16, its binary32 is the tie.
printf '\x00\x10\x00\x00\x00\x02\xf0\x3f' >d.f64
printf '\x00\x00\x00\x00\x00\x02\xf0\x3f' >tie.f64
expect_exit 0 cast --format fp16 d.f64 c.u16
expect_equal '01 3c' "$(bytes_of c.u16)" 'fp16 from binary64'
expect_exit 0 cast --format fp16 tie.f64 c.u16
expect_equal '00 3c' "$(bytes_of c.u16)" 'fp16 from binary64, a tie'
expect_exit 0 cast --format tf32 x.f32 c.u32
expect_equal '3e800000' "$(words_of c.u32 | cut -d' ' -f3)" 'tf32 in its word'

# Stochastic rounding with words handed in: 2.5 goes up from r = 128, 0.1 from r = 205 (8 bits).
words 40200000 40200000 3dcccccd 3dcccccd >s.f32
words 0000007f 00000080 000000cc 000000cd >r.u32
expect_exit 0 cast --format e2m1 --round sr:8 --random r.u32 s.f32 c.u8
expect_equal '04 05 00 01' "$(bytes_of c.u8)" 'sr:8 with words'
expect_line 2 '3 elements' cast --format e2m1 --round sr:8 --random r.u32 --shape 3 --dtype f32 \
  <(head -c 12 s.f32) c.u8
expect_line 2 'uses no random bits' cast --format e2m1 --random r.u32 s.f32 c.u8

# Philox with key 0 and counter 0 begins 6627e8d5 e169c58d bc57ac4c 9b00dbd8: 0.25 = 0 + 1/2 goes up
# where the word is at least 2^31.
words 3e800000 3e800000 3e800000 3e800000 >q.f32
expect_exit 0 cast --format e2m1 --round sr:32 --seed 0 q.f32 c.u8
expect_equal '00 01 01 01' "$(bytes_of c.u8)" 'sr:32 from Philox'
expect_exit 0 cast --format e2m1 --round sr:32 --seed 1 sample:gaussian one.npy
expect_exit 0 cast --format e2m1 --round sr:32 --seed 0x1 sample:gaussian two.npy
cmp -s one.npy two.npy || fail 'the same seed gives other codes'
expect_exit 0 cast --format e2m1 --round sr:32 --seed 2 sample:gaussian two.npy
cmp -s one.npy two.npy && fail 'another seed gives the same codes'

# Packing, both orders, odd length, and back.
expect_exit 0 cast --format e2m1 --packed low --shape 2x3 <(words 3f800000 3fc00000 40000000 \
  c0400000 40800000 40c00000) --dtype f32 p.npy
expect_equal '32 04 6d 07' "$(tail -c 4 p.npy | od -An -tx1 | sed 's/^ //')" 'packed low'
expect_exit 0 cast --format e2m1 --packed high x.f32 p.u8
expect_equal '08 08 12 24 46 6e 77 7f 77' "$(bytes_of p.u8)" 'packed high'
expect_exit 0 decode --format e2m1 --packed low --columns 3 p.npy u.f32
expect_equal '3f800000 3fc00000 40000000 c0400000 40800000 40c00000' "$(words_of u.f32)" 'unpacked'
expect_line 2 'two codes a byte need --packed' decode --format e2m1 p.npy u.f32
expect_line 2 '--columns 5' decode --format e2m1 --packed low --columns 5 p.npy u.f32
expect_line 2 'at most 4 bits' cast --format e4m3 --packed low x.f32 c.u8

# Every code of every format of at most 8 bits survives decode and cast.
for format in e2m1 e1m2 e3m0 radix4-odd int4 nf4 bnb-fp4 p3109-k4p1sf; do
  for code in 00 01 02 03 04 05 06 07 09 0a 0b 0c 0d 0e 0f; do printf "\\x$code"; done >all.u8
  expect_exit 0 decode --format "$format" all.u8 v.f32
  expect_exit 0 cast --format "$format" v.f32 back.u8
  cmp -s all.u8 back.u8 || fail "codes of $format do not survive: $(bytes_of back.u8)"
done

# Pipes, and numbers and messages apart.
checks=$((checks + 1))
fp4lab cast --format e2m1 - - <x.f32 2>err | fp4lab decode --format e2m1 - - >v.f32 2>>err
[[ -s err ]] && fail "messages in a pipe: $(cat err)"
expect_equal '00000000 80000000 00000000' "$(words_of v.f32 | cut -d' ' -f1-3)" 'through a pipe'
checks=$((checks + 1))
cat x.f32 | fp4lab cast --format bf16 - - | wc -c >n
expect_equal 36 "$(tr -d ' ' <n)" 'bytes of bf16 through a pipe'
checks=$((checks + 1))
printf 'abc' | fp4lab cast --format e2m1 - c.u8 >out 2>err
[[ $? == 2 ]] || fail 'three bytes are no f32'

# HDF5 in and out, attributes, several data sets in a file.
expect_exit 0 cast --format e2m1 sample:ties a.h5:/deep/codes
expect_exit 0 cast --format e4m3 sample:ramp a.h5:/other
expect_exit 0 decode --format e2m1 a.h5:deep/codes v.npy
if command -v h5dump >/dev/null; then
  checks=$((checks + 1))
  h5dump -H a.h5 >dump 2>dump.err || fail "h5dump: $(cat dump.err)"
  [[ -s dump.err ]] && fail "h5dump warns: $(cat dump.err)"
  grep -q '( 256, 512 )' dump || fail 'shape in HDF5'
  h5dump -a /deep/codes/format a.h5 | grep -q '"e2m1"' || fail 'attribute format'
fi
python=$(python_with h5py,numpy)
if [[ -n $python ]]; then
  checks=$((checks + 1))
  "$python" -W error - <<'PY' || fail 'h5py and numpy'
import h5py, numpy
with h5py.File('a.h5', 'r') as f:
    codes = f['deep/codes']
    assert codes.dtype == 'u1' and codes.shape == (256, 512)
    assert codes.attrs['format'] == 'e2m1' and codes.attrs['packing'] == 'none'
    assert list(codes.attrs['logical_shape']) == [256, 512]
    table = numpy.array([0, .5, 1, 1.5, 2, 3, 4, 6], 'f4')
    table = numpy.concatenate([table, -table])
    assert (numpy.load('v.npy') == table[codes[:]]).all()
x = numpy.arange(24, dtype='>f8').reshape(2, 3, 4).T
numpy.save('f.npy', numpy.asfortranarray(x))
numpy.save('x.npy', x.astype('f4'))
numpy.save('empty.npy', numpy.zeros((0, 5), 'f4'))
numpy.save('scalar.npy', numpy.float32(3))
numpy.save('bool.npy', numpy.zeros(3, bool))
numpy.save('half.npy', numpy.array([1.5, -0.25], 'f2'))
PY
  expect_exit 0 cast --format fp32 f.npy a.u32
  expect_exit 0 cast --format fp32 x.npy b.u32
  cmp -s a.u32 b.u32 || fail 'Fortran order and big endian'
  expect_exit 0 cast --format e2m1 empty.npy e.npy
  expect_exit 0 cast --format e2m1 scalar.npy s.npy
  expect_exit 0 cast --format e2m1 half.npy h.u8
  expect_equal '03 08' "$(bytes_of h.u8)" 'from float16'
  expect_line 2 'booleans' cast --format e2m1 bool.npy c.u8
  checks=$((checks + 1))
  "$python" -c "
import numpy
assert numpy.load('e.npy').shape == (0, 5)
assert numpy.load('s.npy').shape == () and numpy.load('s.npy') == 5" || fail 'shapes through npy'
fi

expect_line 2 'refuses element 16 (nan)' cast --format e2m1 --policy gfloat-sat x.f32 c.npy
expect_line 2 "nearest: 'cuda'" cast --format e2m1 --policy cdua x.f32 c.npy
expect_line 2 "nearest: 'rne'" cast --format e2m1 --round rme x.f32 c.npy
expect_line 2 'the ending says f32' cast --format e2m1 x.f32 c.f32
expect_no_leftovers
finish
