"""Opens a result file with the readers that people use; any warning is a failure.

usage: readers.py FILE [PROGRAM_FOLDER...]; exit status 77 when a reader is not installed.
"""
import subprocess
import sys
import warnings

path = sys.argv[1]
try:
    import h5netcdf  # noqa: F401
    import h5py
    import netCDF4  # noqa: F401
    import pandas
    import xarray
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

# numpy's own complaints about binary compatibility of Debian's modules come from the imports above.
warnings.simplefilter("error")

with h5py.File(path, "r") as file:
    groups = sorted(name for name in file if isinstance(file[name], h5py.Group))
    assert int(file.attrs["fp4lab_schema"]) == 1
    count = 0

    def check(name, item):
        global count
        if not isinstance(item, h5py.Dataset):
            return
        count += 1
        assert "long_name" in item.attrs, name
        if item.attrs.get("CLASS") == b"DIMENSION_SCALE":
            return
        for axis in range(item.ndim):
            assert len(item.dims[axis]) == 1, f"{name}: axis {axis} has no scale"

    file.visititems(check)
    assert count > 50, count

for engine in ("h5netcdf", "netcdf4"):
    for group in groups:
        with xarray.open_dataset(path, engine=engine, group=group) as dataset:
            dataset.load()
            assert not any(str(d).startswith("phony") for d in dataset.dims), (engine, group)
            if group == "layers":
                assert dataset["sqnr_db"].dims == ("step", "layer", "slot")
                assert dataset["sqnr_db"].attrs["units"] == "dB"
                frame = dataset["sqnr_db"].to_dataframe()
                assert isinstance(frame, pandas.DataFrame) and len(frame) == 27

for command in (["ncdump", "-h", path], ["h5dump", "-H", path]):
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        print(f"skipped: {command[0]} is not installed")
        sys.exit(77)
    assert done.returncode == 0 and not done.stderr, (command, done.stderr)
print("all readers agree")
