# Quantized tensors in files: every kind of spec there and back, and what damaged files get.
source "$(dirname "$0")/helpers.sh"

# The numbers that come back are those of --dequant, to the bit, from HDF5 and from .npy files.
round_trip() {  # round_trip SPEC INPUT [OPTIONS]
  local spec=$1 input=$2
  shift 2
  rm -f w.* w2.* d.npy e.npy
  expect_exit 0 quantize --spec "$spec" "$@" "$input" --out w.h5 --dequant d.npy
  expect_exit 0 decode w.h5 e.npy
  cmp -s d.npy e.npy || fail "$spec on $input: HDF5 gives other numbers"
  expect_exit 0 quantize --spec "$spec" "$@" "$input" --out w.json
  if grep -q low-nibble-first w.json; then  # the other order on the way
    expect_exit 0 quantize --spec "$spec" "$@" "$input" --out w.json --packed high
    grep -q high-nibble-first w.json || fail "$spec: --packed high is not heeded"
  fi
  expect_exit 0 decode w.json e.npy
  cmp -s d.npy e.npy || fail "$spec on $input: .npy files give other numbers"
}

# A 37 x 53 tensor: tails in both directions and odd rows of nibbles.
expect_exit 0 cast --format fp32 sample:outliers big.u32
head -c $((37 * 53 * 4)) big.u32 >t.f32
for spec in mxfp4 mxfp6-e2m3 mxfp6-e3m2 mxfp8-e4m3 mxfp8-e5m2 mxint8 mxint4 mxint2 nvfp4 nvint4 if4 \
  hif4 razer e2m1 e3m0 e1m2 nf4 sf4 int4 uint4-asym dialect-3 radix4-even e4m3 e5m2 fp16 bf16 tf32 \
  fp32 nvfp4,block=16x16 mxfp4,block=32x32 e2m1,block=4x8 e2m1,block=8x1 e2m1,block=row \
  e2m1,block=col nvfp4,global=row nvfp4,global=1x128 nvfp4,rule=4over6 mxfp4,hadamard=32 \
  nvfp4,hadamard=16 mxfp4,rule=tseng34 mxfp4,round=sr:16 mxfp4@torchao nvfp4@te nvfp4@torchao \
  nvfp4@fouroversix mxfp4@tetrajet mxfp4,prescale=0.75 int4,block=1x16; do
  round_trip "$spec" t.f32 --shape 37x53
done
# Shapes: empty, one element, more axes, a huge extent beside a zero.
: >none.f32
words 40490fdb >one.f32
for spec in mxfp4 nvfp4 e2m1 fp16 mxfp4,hadamard=32 uint4-asym nvfp4,global=row; do
  round_trip "$spec" none.f32 --shape 0x64
  round_trip "$spec" none.f32 --shape 3x0
  round_trip "$spec" none.f32 --shape 1152921504606846976x0
  round_trip "$spec" one.f32 --shape 1x1
  round_trip "$spec" one.f32
done
head -c $((2 * 3 * 40 * 4)) big.u32 >u.f32
round_trip mxfp4 u.f32 --shape 2x3x40
round_trip nvfp4,hadamard=16 u.f32 --shape 2x3x40

# Several tensors in one file, and what h5py sees.
rm -f q.h5
expect_exit 0 quantize --spec nvfp4 --shape 37x53 t.f32 --out q.h5:/layer/x
expect_exit 0 quantize --spec mxfp4 --shape 37x53 t.f32 --out q.h5:/layer/w
expect_exit 0 decode q.h5:/layer/x x.npy
expect_exit 0 decode q.h5:/layer/w x.npy
python=$(python_with h5py)
if [[ -n $python ]]; then
  checks=$((checks + 1))
  "$python" - <<'PY' || fail 'h5py reads the description'
import h5py
g = h5py.File('q.h5')['layer/x']
a = g['codes'].attrs
assert a['fp4lab_quantized'] == 1 and a['spec'] == 'nvfp4' and a['format'] == 'e2m1'
assert list(a['shape']) == [37, 53] and a['packing'] == 'low-nibble-first'
assert a['scale_format'] == 'ue4m3' and a['block'] == '1x16' and a['scale_layout'] == 'row-major'
assert g['codes'].shape == (37, 27) and g['scales'].shape == (37, 4)
assert g['tensor_scale'].shape == (1,)
PY
fi

# Damage: one line, exit 2.
expect_exit 0 quantize --spec nvfp4 --shape 37x53 t.f32 --out g.json
damage() {  # damage FROM TO TEXT
  sed "s|$1|$2|" g.json >bad.json
  cmp -s g.json bad.json && fail "the pattern '$1' is not in g.json"
  expect_line 2 "$3" decode bad.json x.npy
}
damage '"fp4lab_quantized": 1' '"fp4lab_quantized": 7' 'version 7'
damage '"spec": "nvfp4"' '"spec": "nvfp5"' 'spec'
damage '"spec": "nvfp4"' '"spec": "mxfp4"' 'scales'
damage '"spec": "nvfp4"' '"spec": 3' 'is not a text'
damage '"spec": "nvfp4"' '"spec": "nvfp4,hadamard=256"' 'too few'
damage '    37,' '    38,' 'shape'
damage '    37,' '    -1,' 'extent'
damage '    37,' '    4611686018427387904,' 'overflows'
damage '"packing": "low-nibble-first"' '"packing": "none"' 'shape'
damage '"packing": "low-nibble-first"' '"packing": "left"' 'packing'
damage 'g.scales.npy' 'g.codes.npy' 'scales'
damage 'g.scales.npy' 'missing.npy' 'missing.npy'
damage 'g.scales.npy' '../g.scales.npy' 'not the name of an .npy file'
damage '"scales":' '"scalez":' "names no file for 'scales'"
damage '{' '[' 'not a JSON object'
damage '"seed": "0"' '"seed": "-1"' 'seed'
head -c 100 g.json >cut.json
expect_line 2 'not a JSON object' decode cut.json x.npy
expect_line 2 'no such data set' decode q.h5 x.npy
for size in 0 100 1000 3000; do
  head -c $size q.h5 >cut.h5
  expect_line 2 'cut.h5' decode cut.h5:/layer/x x.npy
done
expect_line 2 'FILE.json' quantize --spec mxfp4 sample:ramp --out w.npy
expect_line 2 '--format is needed' decode t.f32 x.npy
expect_no_leftovers
finish
