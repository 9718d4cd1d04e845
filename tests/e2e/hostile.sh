# Wrong input, hostile files, unwritable places, interrupts: one line, the right code, no leftovers.
source "$(dirname "$0")/helpers.sh"

# Names.
expect_line 2 "nearest: 'quantize'" quantise
expect_line 2 "nearest: '--version'" --versoin
expect_line 2 "nearest: '--spec'" quantize --sepc mxfp4 sample:gaussian
expect_line 2 'a command is needed'
expect_line 2 'IN is required' quantize --spec mxfp4
expect_line 2 "unexpected argument 'more'" cast --format e2m1 sample:ramp c.npy more
expect_line 2 "nearest: 'always'" --color alwys formats
expect_line 2 "nearest: 'gaussian'" quantize --spec mxfp4 sample:gausian
expect_line 2 'unknown command' $'bad\nname\x1b[31m'
expect_line 2 'unknown format' formats $'e2m1\n\xff'

# Specs: position, what was found, what is near.
expect_line 2 "position 1: unknown base 'mxfp5'; nearest: 'mxfp4'" quantize --spec mxfp5 sample:ramp
expect_line 2 "position 7: unknown key 'rnd'; nearest: 'round'" quantize --spec mxfp4,rnd=rne sample:ramp
for spec in '' , mxfp4, mxfp4,, mxfp4@ mxfp4@x @te mxfp4,round mxfp4,round= mxfp4,round=sr:0 \
  mxfp4,round=sr:33 mxfp4,prescale=nan mxfp4,prescale=inf mxfp4,prescale=0 mxfp4,clip=-1 \
  mxfp4,clip=nan mxfp4,clip=percentile:101 e2m1,rule=fixed:nan e2m1,rule=fixed:0 \
  e2m1,rule=percentile:nan e2m1,block=0x0 e2m1,block=1x e2m1,block=99999999999x1 \
  mxfp4,hadamard=3 mxfp4,hadamard=-16 mxfp4,round=rne,round=rne 'mxfp4,round=rne=x' \
  $'mxfp4\n' "$(head -c 5000 /dev/zero | tr '\0' a)"; do
  expect_line 2 '' quantize --spec "$spec" sample:ramp
done

# Numbers.
for seed in -1 1.5 abc '' 18446744073709551616 0x 1e3; do
  expect_line 2 '--seed' cast --format e2m1 --seed "$seed" sample:ramp c.npy
done
expect_line 2 '--threads' quantize --spec mxfp4 --threads 0 sample:ramp

# Raw files and shapes.
head -c 40 /dev/zero >x.f32
for shape in 0x 3x 11 -1 1x-1 99999999999999999999 4294967296x4294967296 3.5 ten; do
  expect_line 2 '' quantize --spec mxfp4 --shape "$shape" x.f32
done
expect_line 2 'only 40 follow' quantize --spec mxfp4 --shape 1000000000x1000 x.f32
expect_line 2 'no whole number' quantize --spec mxfp4 <(head -c 7 /dev/zero) --dtype f32
expect_line 2 "nearest: 'f32'" quantize --spec mxfp4 --dtype f33 x.raw
expect_line 2 'No such file' quantize --spec mxfp4 none.f32
expect_line 2 'directory' quantize --spec mxfp4 "$work/../${work##*/}/.raw"
mkdir folder.npy
expect_line 2 'is a directory' quantize --spec mxfp4 folder.npy
expect_line 2 'name the data set' quantize --spec mxfp4 x.h5
expect_line 2 "unknown file ending '.txt'" quantize --spec mxfp4 x.txt

# npy: every cut of a sound file, and headers that lie.
expect_exit 0 cast --format fp32 x.f32 whole.npy
size=$(wc -c <whole.npy)
for cut in 0 1 6 7 8 9 10 11 40 80 127 128 129 $((size - 1)); do
  head -c "$cut" whole.npy >cut.npy
  expect_line 2 'cut.npy' quantize --spec mxfp4 cut.npy --codes c.npy
done
{ cat whole.npy; printf x; } >long.npy
expect_line 2 'follow after' quantize --spec mxfp4 long.npy
npy() { # npy HEADER: a version 1 file with that header and 8 bytes of data
  printf '\x93NUMPY\x01\x00'
  printf "\\x$(printf %02x $((${#1} % 256)))\\x$(printf %02x $((${#1} / 256)))%s" "$1"
  head -c 8 /dev/zero
}
for header in '' '{' "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999,)}" \
  "{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296)}" \
  "{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}" \
  "{'descr': '|O', 'fortran_order': False, 'shape': (1,)}" \
  "{'descr': '|b1', 'fortran_order': False, 'shape': (8,)}" \
  "{'descr': [('a', '<f4'), ('b', '<f4')], 'fortran_order': False, 'shape': (1,)}" \
  "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'extra': __import__('os')}"; do
  npy "$header" >bad.npy
  expect_line 2 'bad.npy' quantize --spec mxfp4 bad.npy --dequant d.npy
done
npy "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 18446744073709551615)}" | head -c -8 >z.npy
expect_exit 0 quantize --spec nvfp4 z.npy --scales s.npy

# HDF5: cuts, garbage, wrong things inside.
expect_exit 0 cast --format e2m1 sample:gaussian ok.h5:/a/codes
size=$(wc -c <ok.h5)
for ((cut = 0; cut < size; cut += 4096)); do
  head -c "$cut" ok.h5 >cut.h5
  expect_line 2 'cut.h5' decode --format e2m1 cut.h5:/a/codes d.npy
done
head -c 100000 /dev/urandom >noise.h5
expect_line 2 'noise.h5' decode --format e2m1 noise.h5:/a d.npy
expect_line 2 'not a sound HDF5 file' cast --format e2m1 sample:ramp noise.h5:/a
expect_line 2 "nearest: '/a/codes'" decode --format e2m1 ok.h5:/a/code d.npy
expect_line 2 'a group' decode --format e2m1 ok.h5:/a d.npy
expect_line 2 'is a group' cast --format e2m1 sample:ramp ok.h5:/a
python=$(python_with h5py,numpy)
if [[ -n $python ]]; then
  "$python" - <<'PY'
import h5py, numpy
with h5py.File('odd.h5', 'w') as f:
    f['text'] = 'hello'
    f['flags'] = numpy.zeros(3, bool)
    f['table'] = numpy.zeros(3, [('a', 'f4'), ('b', 'i4')])
    f['complex'] = numpy.zeros(3, 'c8')
    f['null'] = h5py.Empty('f4')
    f['soft'] = h5py.SoftLink('/nowhere')
    f['loop'] = h5py.SoftLink('/loop')
    f['outside'] = h5py.ExternalLink('ok.h5', '/a/codes')
    f.create_dataset('huge', (1 << 30, 1 << 20), 'f4', chunks=(1024, 1024))
    f.create_dataset('raw', (4,), 'f4', external=[('/etc/passwd', 0, 16)])
    layout = h5py.VirtualLayout((4,), 'f4')
    layout[:] = h5py.VirtualSource('ok.h5', '/a/codes', (4,))
    f.create_virtual_dataset('virtual', layout)
    f['big'] = numpy.arange(3, dtype='>f8')
PY
  for name in text flags table complex null soft loop outside huge raw virtual; do
    expect_line 2 'odd.h5' quantize --spec mxfp4 "odd.h5:/$name" --dequant d.npy
  done
  expect_exit 0 quantize --spec mxfp4 odd.h5:/big
fi

# Places that cannot be written: code 3, and nothing appears.
for place in /proc/x.npy /proc/x.h5:/a none/x.npy none/x.h5:/a folder.npy; do
  expect_line 3 "${place%%:*}" cast --format e2m1 sample:ramp "$place"
done
expect_line 3 'No space left' cast --format e2m1 sample:ramp /dev/full
if [[ $(id -u) != 0 ]]; then
  mkdir locked && chmod 500 locked
  expect_line 3 'Permission denied' cast --format e2m1 sample:ramp locked/x.npy
fi
# One failing output takes the others with it.
expect_line 3 'none/s.npy' quantize --spec mxfp4 sample:ramp --codes first.npy --scales none/s.npy
[[ -e first.npy ]] && fail 'a partial set of outputs appeared'
expect_line 2 'no global factor' quantize --spec mxfp4 sample:ramp --codes first.npy --tensor-scale g.npy
[[ -e first.npy ]] && fail 'a partial set of outputs appeared'
expect_line 2 'two outputs' quantize --spec mxfp4 sample:ramp --codes o.npy --dequant ./o.npy
expect_exit 0 cast --format e2m1 sample:ramp /dev/null
[[ -c /dev/null ]] || fail '/dev/null was replaced'
# A file size limit stands for a full disk, also for HDF5.
for place in big.npy big.h5:/a; do
  checks=$((checks + 1))
  (ulimit -f 16; trap '' XFSZ; fp4lab cast --format fp32 sample:gaussian "$place" >out 2>err)
  [[ $? == 3 && $(wc -l <err) == 1 ]] || fail "file size limit, $place: $(cat err)"
  [[ -e ${place%%:*} ]] && fail "a partial ${place%%:*} appeared"
done

# Standard output that cannot take the text.
checks=$((checks + 2))
fp4lab formats >/dev/full 2>err
[[ $? == 3 ]] || fail 'a full standard output'
fp4lab formats >&- 2>err
[[ $? == 3 ]] || fail 'a closed standard output'
checks=$((checks + 1))
(trap '' PIPE; fp4lab formats e4m3 --json --thresholds all 2>err; echo $? >code) | head -c 10 >/dev/null
expect_equal 3 "$(cat code)" 'a reader that goes away'

# Interrupts: code 130, no temporary.
for signal in INT TERM; do
  checks=$((checks + 1))
  mkfifo pipe.f32
  exec 9<>pipe.f32 # both ways, so that opening never waits for a reader
  "$program" cast --format e2m1 --shape 1000000 pipe.f32 i.npy 9>&- &
  child=$!
  head -c 1000 /dev/zero >&9
  for _ in $(seq 100); do
    find . -name '.i.npy*.part' | grep -q . && break
    sleep 0.05
  done
  # A background child of a shell starts with SIGINT ignored; the program's own handler takes over.
  kill -$signal $child
  wait $child
  code=$?
  exec 9>&-
  rm pipe.f32
  [[ $code == 130 ]] || fail "exit $code after $signal"
  [[ -e i.npy ]] && fail 'output of an interrupted run'
done
expect_no_leftovers
finish
