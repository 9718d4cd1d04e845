# fp4lab gemm: known products to the bit, recorded operands, quantized files, reports, refusals.
source "$(dirname "$0")/helpers.sh"

# --- a product that can be done by hand -----------------------------------------------------------
# A = [1 2; 3 4], B = [1 1; -1 0.5]: A B^T = [3 0; 7 -1].
words 3f800000 40000000 40400000 40800000 >a.f32
words 3f800000 3f800000 bf800000 3f000000 >b.f32
expect_exit 0 gemm --shape-a 2x2 --shape-b 2x2 a.f32 b.f32 d.f32
expect_equal '40400000 00000000 40e00000 bf800000' "$(words_of d.f32)" 'product by hand'
grep -q 'block-exact  (definition)' out || fail 'no word of what the sum rests on'
# With C in the accumulator.
words 3f800000 3f800000 3f800000 3f800000 >c.f32
expect_exit 0 gemm --shape-a 2x2 --shape-b 2x2 --c c.f32 a.f32 b.f32 d.f32
expect_equal '40800000 3f800000 41000000 00000000' "$(words_of d.f32)" 'product plus C'

# --- ways of summing that differ ------------------------------------------------------------------
# 2^24 + 1 + 1: binary32 additions in order lose both ones, the exact sum keeps them.
words 4b800000 3f800000 3f800000 >x.f32
words 3f800000 3f800000 3f800000 >y.f32
for pair in exact:4b800001 fp32-seq:4b800000 fp32-fma:4b800000 acc:fp16:7c00 acc:bf16:4b80; do
  expect_exit 0 gemm --shape-a 1x3 --shape-b 1x3 --accumulate "${pair%:*}" x.f32 y.f32 d.npy
  checks=$((checks + 1))
  got=$(tail -c +129 d.npy | od -An -v -tx1 | tr -d ' \n')
  want=${pair##*:}
  case ${#want} in
    8) want=${want:6:2}${want:4:2}${want:2:2}${want:0:2} ;;
    4) want=${want:2:2}${want:0:2} ;;
  esac
  [[ $got == "$want" ]] || fail "${pair%:*}: got $got, want $want"
done
expect_exit 0 gemm --shape-a 1x3 --shape-b 1x3 --accumulate fp32-seq x.f32 y.f32 --json
grep -q '"max_ulp": 1' out || fail 'distance of the sequential sum from the exact one'

# --- recorded operands: an H100's FP8 instruction -------------------------------------------------
# E4M3 codes 38 = 1, 40 = 2, b8 = -1; 32 products of 1 * 2 = 64.
printf '\x38%.0s' $(seq 32) >r.u8
printf '\x40%.0s' $(seq 32) >s.u8
expect_exit 0 gemm --format-a e4m3 --format-b e4m3 --shape-a 1x32 --shape-b 1x32 \
  --accumulate sm90 r.u8 s.u8 d.f32 --json
expect_equal '42800000' "$(words_of d.f32)" 'FP8 product'
grep -q '"instruction": "sm90a.wgmma.k32.e4m3.e4m3.f32"' out || fail 'the instruction is not named'
grep -q '"evidence": "measured"' out || fail 'no evidence tag'
# A sum of 1 + 2^-14 * 31: E8M13 keeps 13 fraction bits below the largest term.
{ printf '\x38'; printf '\x01%.0s' $(seq 31); } >p.u8
printf '\x38%.0s' $(seq 32) >o.u8
expect_exit 0 gemm --format-a e4m3 --format-b e4m3 --shape-a 1x32 --shape-b 1x32 \
  --accumulate cublaslt-fp8-fast p.u8 o.u8 d.f32
expect_equal '3f87c000' "$(words_of d.f32)" 'FP8 subnormals beside one'
# Codes with scales: MXFP4 1.0 * 2^1 times 1.5 * 2^-1, 32 of them.
printf '\x22%.0s' $(seq 16) >m.u8
printf '\x33%.0s' $(seq 16) >n.u8
printf '\x80' >ms.u8
printf '\x7e' >ns.u8
expect_exit 0 gemm --format-a mxfp4 --scales-a ms.u8 --format-b mxfp4 --scales-b ns.u8 \
  --packed low --shape-a 1x16 --shape-b 1x16 m.u8 n.u8 d.f32
expect_equal '42400000' "$(words_of d.f32)" 'MXFP4 codes and scales'

# --- floats, codes and scales, and a file say the same --------------------------------------------
head -c 65536 </dev/zero >zero.f32
expect_exit 0 quantize --spec nvfp4 sample:outliers --codes ac.npy --scales as.npy \
  --tensor-scale ag.npy --out q.h5:/a
expect_exit 0 quantize --spec nvfp4 sample:gaussian --codes bc.npy --scales bs.npy \
  --tensor-scale bg.npy --out b.json
for how in block-exact fp32-block sm100 sm120a.mma.k64.e2m1.e2m1.f32.ue4m3x16; do
  expect_exit 0 gemm --spec-a nvfp4 --spec-b nvfp4 --accumulate $how --no-error \
    sample:outliers sample:gaussian d1.npy
  expect_exit 0 gemm --format-a nvfp4 --scales-a as.npy --tensor-scale-a ag.npy --format-b nvfp4 \
    --scales-b bs.npy --tensor-scale-b bg.npy --accumulate $how --no-error ac.npy bc.npy d2.npy
  expect_exit 0 gemm --accumulate $how --no-error --threads 1 q.h5:/a b.json d3.npy
  cmp -s d1.npy d2.npy || fail "$how: recorded codes give another product"
  cmp -s d1.npy d3.npy || fail "$how: the file gives another product"
done

# --- one element explained ------------------------------------------------------------------------
expect_exit 0 gemm q.h5:/a b.json --no-error --accumulate sm100 --explain 3,5
for word in 'codes' 'scales' 'shift' 'E = ' 'under every model' 'block-exact' 'published' \
  'ulp from exact'; do
  checks=$((checks + 1))
  grep -q "$word" out || fail "no '$word' in the explanation"
done
expect_exit 0 gemm q.h5:/a b.json --no-error --explain 3,5 --json
checks=$((checks + 1))
python=$(python_with json)
if [[ -n $python ]]; then
  "$python" - <<'PY' || fail 'explanation as JSON'
import json
e = json.load(open('out'))['explain']
assert e['row'] == 3 and e['col'] == 5 and e['steps'] and e['steps'][0]['terms']
names = [m['name'] for m in e['models']]
assert names[0] == 'exact' and 'sm100a.tcgen05.k64.e2m1.e2m1.f32.ue4m3x16' in names
same = [m for m in e['models'] if m['name'] == 'block-exact']
assert same[0]['same'] and same[0]['bits'] == e['bits']
PY
fi

# --- lists ----------------------------------------------------------------------------------------
expect_exit 0 gemm --list
for word in block-exact cublaslt-fp8-slow sm90a.wgmma.k32.e4m3.e4m3.f32 measured published \
  unverified definition; do
  checks=$((checks + 1))
  grep -q -- "$word" out || fail "no '$word' in --list"
done

# --- Hadamard: both or none, and it cancels -------------------------------------------------------
expect_exit 0 gemm --spec-a fp32,hadamard=32 --spec-b fp32,hadamard=32 sample:gaussian \
  sample:gaussian d.npy
expect_line 2 'cancel only when they are the same' gemm --spec-a mxfp4,hadamard=32 --spec-b mxfp4 \
  sample:gaussian sample:gaussian

# --- no elements ----------------------------------------------------------------------------------
: >none.f32
expect_exit 0 gemm --shape-a 0x3 --shape-b 1x3 none.f32 y.f32 d.f32
expect_equal '' "$(words_of d.f32)" 'product without rows'
for how in block-exact exact fp32-fma; do
  expect_exit 0 gemm --shape-a 2x0 --shape-b 2x0 --accumulate $how none.f32 none.f32 d.f32
  expect_equal '00000000 00000000 00000000 00000000' "$(words_of d.f32)" "$how over no terms"
done
expect_exit 0 quantize --spec mxfp4 --shape 2x0 none.f32 --out none.h5
expect_exit 0 gemm none.h5 none.h5 d.f32
expect_equal '00000000 00000000 00000000 00000000' "$(words_of d.f32)" 'quantized, no terms'

# --- refusals -------------------------------------------------------------------------------------
expect_line 2 'two inputs are needed' gemm
expect_line 2 "nearest: 'block-exact'" gemm --accumulate blok-exact a.f32 b.f32
expect_line 2 'same last extent' gemm --shape-a 2x2 --shape-b 1x4 a.f32 b.f32
expect_line 2 'position' gemm --spec-a mxpf4 a.f32 b.f32
expect_line 2 'does not say what a scale is' gemm --format-a e2m1 --scales-a ms.u8 m.u8 b.f32
expect_line 2 'belongs to recorded codes' gemm --scales-a ms.u8 a.f32 b.f32
expect_line 2 'rows and columns count from 0' gemm --shape-a 2x2 --shape-b 2x2 --explain 2,0 a.f32 b.f32
expect_line 2 'is not I,J' gemm --shape-a 2x2 --shape-b 2x2 --explain 2 a.f32 b.f32
expect_line 2 'where the instruction reads' gemm --shape-a 2x2 --shape-b 2x2 \
  --accumulate sm90a.wgmma.k32.e4m3.e4m3.f32 a.f32 b.f32
expect_line 2 'the product 2x2' gemm --shape-a 2x2 --shape-b 2x2 --c d.npy a.f32 b.f32
expect_line 2 'no scales' gemm --format-a mxfp4 --packed low --shape-a 1x16 m.u8 b.f32
expect_line 3 'nowhere' gemm --shape-a 2x2 --shape-b 2x2 a.f32 b.f32 nowhere/d.npy
expect_no_leftovers
finish
