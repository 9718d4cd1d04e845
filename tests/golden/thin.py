#!/usr/bin/env python3
"""Thin GV1 golden files: replace every tensor that repeats another one by an alias.

    thin.py SOURCE DESTINATION      copy the folders below, thinned
    thin.py --check SOURCE DESTINATION   read both sides and compare every tensor

A tensor that has the dtype, the shape and the numbers of an earlier tensor of the same file is
dropped; the header gains `# same: dropped = kept`. Nothing else is changed: the other header lines,
the order, the layout of the numbers stay as they were. gzip streams carry no time and no name, so
the same input gives the same bytes with the same zlib.
"""
import gzip
import io
import pathlib
import sys

FOLDERS = (
    "scalar_convert decode_tables gfloat_round mx_inputs mx_microxcaling mx_torchao "
    "mxfp4_tetrajet nvfp4_inputs nvfp4_te_reference nvfp4_torchao nvfp4_fouroversix hadamard"
).split()


def split(text):
    """Header lines, then one (name, signature line without the name, number lines) per tensor."""
    lines = text.splitlines()
    if not lines or lines[0] != "GV1":
        raise ValueError("not a GV1 file")
    header, tensors = [], []
    for line in lines[1:]:
        if line.startswith("@"):
            _, name, signature = line.split(" ", 2)
            tensors.append((name, signature, []))
        elif line.startswith("#"):
            header.append(line)
        elif line:
            if not tensors:
                raise ValueError("numbers before the first tensor")
            tensors[-1][2].append(line)
    return header, tensors


def thin(text):
    header, tensors = split(text)
    first, aliases, kept = {}, [], []
    for name, signature, numbers in tensors:
        key = (signature, " ".join(numbers))
        if key in first:
            aliases.append(f"# same: {name} = {first[key]}")
        else:
            first[key] = name
            kept.append((name, signature, numbers))
    out = ["GV1", *header, *aliases]
    for name, signature, numbers in kept:
        out.append(f"@ {name} {signature}")
        out.extend(numbers)
    return "\n".join(out) + "\n"


def load(path):
    """All tensors by name, aliases resolved."""
    with gzip.open(path, "rt", encoding="ascii") as f:
        header, tensors = split(f.read())
    table = {name: (signature, " ".join(numbers)) for name, signature, numbers in tensors}
    for line in header:
        if line.startswith("# same: "):
            name, _, kept = line[len("# same: "):].partition(" = ")
            table[name] = table[kept]
    return table


def files(root):
    for folder in FOLDERS:
        found = sorted((root / folder).glob("*.gv.gz"))
        if not found:
            raise SystemExit(f"{root / folder}: no .gv.gz file")
        for path in found:
            yield path.relative_to(root)


def main(argv):
    check = argv[:1] == ["--check"]
    argv = argv[1:] if check else argv
    if len(argv) != 2:
        raise SystemExit(__doc__)
    source, destination = map(pathlib.Path, argv)
    before = after = tensors = 0
    for name in files(source):
        if check:
            a, b = load(source / name), load(destination / name)
            if a != b:
                raise SystemExit(f"{name}: differs")
            tensors += len(a)
            continue
        with gzip.open(source / name, "rt", encoding="ascii") as f:
            text = thin(f.read())
        buffer = io.BytesIO()
        with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=buffer, mtime=0) as f:
            f.write(text.encode("ascii"))
        (destination / name).parent.mkdir(parents=True, exist_ok=True)
        (destination / name).write_bytes(buffer.getvalue())
        before += (source / name).stat().st_size
        after += len(buffer.getvalue())
    print(f"{tensors} tensors equal" if check else f"{before} -> {after} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
