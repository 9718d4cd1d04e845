"""Which GPU architectures a program holds machine code for, read from the program itself.

    architectures.py PROGRAM ARCHITECTURE... [--too-new ARCHITECTURE...]

Exit code 0: every kernel is there for every ARCHITECTURE; 1: not; 77: it is, but nvcc was too old for
the ones after --too-new. nvcc embeds one ELF file (machine 190) an architecture and translation unit;
a kernel K lies in its section .text.K, and the linker of device code noted the name of its target
(-arch sm_100a) in .note.nv.tkinfo. The flags of the ELF header say the number as well.
"""

import re
import struct
import sys
from pathlib import Path

EM_CUDA = 190


def sections(image):
    """(name, contents) of the ELF file that `image` begins with."""
    (offset,) = struct.unpack_from("<Q", image, 40)
    entry_size, count, names_index = struct.unpack_from("<HHH", image, 58)
    headers = []
    for i in range(count):
        name, kind, _, _, at, size = struct.unpack_from("<IIQQQQ", image, offset + i * entry_size)
        headers.append((name, b"" if kind == 8 else image[at:at + size]))
    names = headers[names_index][1]
    for name, contents in headers:
        yield names[name:names.index(b"\0", name)].decode(), contents


def device_images(data):
    """Every device ELF file in a program."""
    at = data.find(b"\x7fELF")
    while at >= 0:
        if at + 64 <= len(data) and struct.unpack_from("<H", data, at + 18)[0] == EM_CUDA:
            yield data[at:]
        at = data.find(b"\x7fELF", at + 4)


def number_in_flags(image):
    """The architecture's number; where it lies depends on the version of the format."""
    (flags,) = struct.unpack_from("<I", image, 48)
    return flags >> 8 & 0xFF if image[8] >= 8 else flags & 0xFF


def kernels_by_architecture(data, wanted):
    """Names of an image's functions. An image without a note has the letter that is wanted."""
    found = {}
    for image in device_images(data):
        parts = dict(sections(image))
        number = number_in_flags(image)
        match = re.search(rb"-arch[ =]+sm_(\d+[a-z]?)", parts.get(".note.nv.tkinfo", b""))
        if match:
            name = match.group(1).decode()
        else:
            name = next((w for w in wanted if w.rstrip("af") == str(number)), str(number))
        if int(re.match(r"\d+", name).group()) != number:
            raise SystemExit(f"a device image says sm_{name} and sm_{number} of itself")
        kernels = {part[len(".text."):] for part in parts if part.startswith(".text.")}
        found.setdefault(name, set()).update(kernels)
    return found


def main(program, *arguments):
    cut = arguments.index("--too-new") if "--too-new" in arguments else len(arguments)
    wanted, too_new = arguments[:cut], arguments[cut + 1:]
    found = kernels_by_architecture(Path(program).read_bytes(), wanted)
    every = set().union(*found.values()) if found else set()
    for name in sorted(found, key=lambda n: int(re.match(r"\d+", n).group())):
        print(f"sm_{name}: {len(found[name])} kernels")
    bad = [f"no machine code for sm_{name}" for name in wanted if name not in found]
    for name in wanted:
        bad += [f"sm_{name} lacks {kernel}" for kernel in sorted(every - found.get(name, every))]
    for subject in ("cast_kernel", "hash_kernel", "scales", "elements", "hadamard"):
        if not any(subject in kernel for kernel in every):
            bad.append(f"no kernel called {subject} at all")
    if bad:
        print("\n".join(bad))
        return 1
    if too_new:
        print("this nvcc is too old for " + ", ".join(f"sm_{name}" for name in too_new))
        return 77
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
