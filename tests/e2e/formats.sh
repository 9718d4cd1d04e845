# fp4lab formats: catalogue, one format, thresholds, JSON, formats of the user.
source "$(dirname "$0")/helpers.sh"

expect_exit 0 formats
for name in e2m1 e1m2 e3m0 radix4-odd int4 nf4 sf4 p3109-k4p2sf e4m3 e8m0 bf16 fp32; do
  expect_equal 1 "$(grep -cE "^ +$name +[0-9]+ " out)" "rows of $name in the catalogue"
done

expect_exit 0 formats e2m1
expect_equal '7 0 11 1 6 12' "$(grep -E '^7 ' out | tr -s ' ')" 'code 7 of e2m1'
expect_equal '8 1 00 0 -0 0' "$(grep -E '^8 ' out | tr -s ' ')" 'code 8 of e2m1'
# Thresholds of formats.md 1.1: rne rna rnz rtz rtp rtn odd.
expect_equal '0 0.5 > 0.25 >= 0.25 > 0.25 >= 0.5 > 0 >= 0.5 > 0' \
  "$(grep -E '^ +0 +0\.5 ' out | tr -s ' ' | sed 's/^ //')" 'thresholds 0 | 0.5'
expect_equal '4 6 > 5 >= 5 > 5 >= 6 > 4 >= 6 > 4' \
  "$(grep -E '^ +4 +6 ' out | tr -s ' ' | sed 's/^ //')" 'thresholds 4 | 6'
grep -q 'OCP' out || fail 'no source of e2m1'
for alias in E2M1 fp4 FLOAT4_E2M1FN; do
  expect_exit 0 formats "$alias"
  expect_equal e2m1 "$(head -1 out | cut -d' ' -f1)" "alias $alias"
done

expect_exit 0 formats e4m3 --thresholds rne
expect_equal '416 448 >= 432' "$(grep -E '^ +416 +448 ' out | tr -s ' ' | sed 's/^ //')" \
  'last threshold of e4m3'
expect_exit 0 formats radix4-even
expect_equal '0.25 1 >= 0.625 >= 0.625' \
  "$(grep -E '^ +0.25 +1 ' out | tr -s ' ' | sed 's/^ //' | cut -d' ' -f1-6)" 'radix-4 threshold, tie to code 4'
expect_equal '1 4 > 2.5 >= 2.5' \
  "$(grep -E '^ +1 +4 ' out | tr -s ' ' | sed 's/^ //' | cut -d' ' -f1-6)" 'and from code 4'
expect_exit 0 formats e4m5
expect_exit 0 formats fp32
for name in $(fp4lab formats --json | grep '"name"' | cut -d'"' -f4); do
  expect_exit 0 formats "$name"
done

python=$(python_with json)
if [[ -n $python ]]; then
  checks=$((checks + 1))
  fp4lab formats --json >all.json
  fp4lab formats e8m0 --json --thresholds rtp >e8m0.json
  "$python" - <<'PY' || fail 'JSON of formats'
import json
catalogue = json.load(open('all.json'))
rows = {row['name']: row for row in catalogue}
assert len(rows) == len(catalogue) >= 80
assert rows['e2m1']['max'] == 6 and rows['e2m1']['min_subnormal'] == 0.5
assert rows['e5m2']['specials'] == 'ieee' and 'fp4' in rows['e2m1']['aliases']
one = json.load(open('e8m0.json'))
assert len(one['codes']) == 256 and one['codes'][255]['class'] == 'nan'
assert one['codes'][255]['value'] is None and one['codes'][0]['value'] == 2.0 ** -127
cuts = one['thresholds']['rtp']
assert len(cuts) == 254 and all(c['at'] == c['low'] and not c['at_goes_up'] for c in cuts)
PY
fi

cat >mine.toml <<'TOML'
[[format]]
name = "Thirds_Grid"
aliases = ["tg"]
source = "nowhere"
values = [0.0, 1.0, 3.0, -3.0]

[[format]]
name = "my-e3m1"
exponent_bits = 3
mantissa_bits = 1
bias = 2
specials = "fnuz"
TOML
expect_exit 0 --formats mine.toml formats thirds-grid
expect_equal '1 3 >= 2' "$(grep -E '^ +1 +3 ' out | tr -s ' ' | sed 's/^ //' | cut -d' ' -f1-4)" \
  'threshold of the user format'
expect_exit 0 formats my-e3m1 --formats mine.toml
expect_exit 0 --formats mine.toml formats
grep -q 'thirds-grid' out || fail 'user formats are missing in the catalogue'
words 40000000 bf800000 >x.f32
FP4LAB_FORMATS=mine.toml expect_exit 0 cast --format tg x.f32 c.u8
expect_equal '01 00' "$(bytes_of c.u8)" 'cast to a user format: ties to the lower value'
expect_exit 0 --formats mine.toml quantize --spec my-e3m1,block=1x16 sample:gaussian
expect_exit 0 --formats mine.toml quantize --spec thirds-grid,block=row sample:gaussian
expect_line 2 "nearest: 'thirds-grid'" --formats mine.toml formats third-grid
printf '[[format]]\nname = "e2m1"\nvalues = [0, 1]\n' >taken.toml
expect_line 2 "taken.toml:1:1: the name 'e2m1' already means e2m1" --formats taken.toml formats
printf '[[format]]\nname = "x"\nvaluse = [0, 1]\n' >typo.toml
expect_line 2 "typo.toml:3:1: unknown key 'valuse'; nearest: 'values'" --formats typo.toml formats
expect_line 2 "No such file" --formats none.toml formats

# The TOML of data/README.md as it stands there.
sed -n '/^```toml/,/^```$/p' "$here/../../data/README.md" | grep -v '```' >readme.toml
expect_exit 0 --formats readme.toml formats my-grid
expect_equal '3 11 -3' "$(grep -E '^3 ' out | tr -s ' ')" 'code 3 of the example'
expect_exit 0 --formats readme.toml quantize --spec my-e3m2,block=1x32 sample:gaussian

expect_line 2 "nearest: 'e2m1'" formats e2mi
expect_line 2 "at most 8 bits" formats fp16 --thresholds rne
expect_line 2 "nearest: 'rne'" formats e2m1 --thresholds rnee
expect_line 2 "needs the name" formats --thresholds rne
finish
