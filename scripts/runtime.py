#!/usr/bin/env python3
"""Puts ONNX Runtime into .runtime/ (or, with --gpu, the CUDA build into .runtime/gpu/).

The wheels are pinned with their hashes in scripts/onnxruntime-{cpu,gpu}.txt and come through pip; only the shared
libraries and the licences are taken out of them. What is there and whole is left alone. Needs Python 3.9 and pip.
"""

import argparse
import hashlib
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Names the files of a finished installation with their hashes; written last, so nothing half there is ever trusted.
STAMP = "installed.json"
LIBRARY = re.compile(
    r"onnxruntime/capi/libonnxruntime\.(so\.[\d.]+|[\d.]+\.dylib)"
    r"|onnxruntime/capi/libonnxruntime_providers_(shared|cuda)\.so"
    r"|nvidia/.*/lib(cublas|cublasLt|cudart|curand|nvrtc|nvrtc-builtins)\.so\.[\d.]+"
)
LICENCE = re.compile(r"onnxruntime/(LICENSE|ThirdPartyNotices\.txt)|[^/]*\.dist-info/licenses/[^/]*")
PLATFORMS = {
    ("linux", "x86_64"): ["manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux2014_x86_64"],
    ("linux", "aarch64"): ["manylinux_2_28_aarch64"],
    ("darwin", "arm64"): ["macosx_14_0_arm64"],
}


class Failure(Exception):
    """What went wrong and what to do next, in one sentence."""


def sha256(path):
    """The SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def is_whole(target, pins):
    """Whether `target` holds every file of an installation made from the requirements with this hash."""
    try:
        stamp = json.loads((target / STAMP).read_text(encoding="utf-8"))
        return stamp["pins"] == pins and all(sha256(target / name) == known for name, known in stamp["files"].items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def wheel_tags(gpu):
    """The platform tags of the wheels for this machine."""
    here = (sys.platform, platform.machine())
    if here not in PLATFORMS or (gpu and here != ("linux", "x86_64")):
        kind = "the CUDA build of ONNX Runtime" if gpu else "ONNX Runtime"
        raise Failure(
            f"no wheel of {kind} is pinned for {' '.join(here)}: build the library yourself and name it in ORT_DYLIB_PATH"
        )
    return PLATFORMS[here]


def download(requirements, tags, into):
    """Has pip fetch the pinned wheels into a folder; pip itself refuses a wheel with another hash."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--require-hashes"]
    command += ["--disable-pip-version-check", "--no-cache-dir", "--dest", str(into), "-r", str(requirements)]
    command += ["--python-version", "3.12", "--implementation", "cp", "--abi", "cp312", "--abi", "none"]
    for tag in tags:
        command += ["--platform", tag]
    # pip unpacks and buffers in the same folder, so that a stopped run leaves nothing outside it.
    done = subprocess.run(
        command, stdout=sys.stderr, stderr=subprocess.PIPE, text=True, check=False, env={**os.environ, "TMPDIR": str(into)}
    )
    if done.returncode == 0:
        return
    if "No module named pip" in done.stderr:
        raise Failure(f"{sys.executable} has no pip: install it (Debian: `apt-get install python3-pip`) and try again")
    name = requirements.relative_to(ROOT)
    if "DO NOT MATCH THE HASHES" in done.stderr:
        raise Failure(f"a downloaded wheel does not have the hash that {name} pins, so it was thrown away: if trying again does not help, a proxy or mirror serves another file")
    lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
    reason = lines[-1].removeprefix("ERROR:").strip()
    raise Failure(f"pip could not download the wheels of {name} ({reason}): check network, proxy and disk space, then try again")


def unpack(wheel, into):
    """Takes the libraries and licences out of one wheel; gives their file names."""
    package = wheel.name.split("-")[0]
    names = []
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.namelist():
            if LIBRARY.fullmatch(member):
                name = member.rsplit("/", 1)[1]
            elif LICENCE.fullmatch(member):
                name = f"{package}-{member.rsplit('/', 1)[1]}"
            else:
                continue
            with archive.open(member) as source, open(into / name, "wb") as sink:
                shutil.copyfileobj(source, sink, 1 << 20)
            names.append(name)
    if not any(".so" in name or ".dylib" in name for name in names):
        raise Failure(f"{wheel.name} holds no shared library that is known here: the pins and this script do not fit together")
    return names


def install(target, requirements, tags):
    """Downloads into a temporary folder inside the target, then renames file after file into place; false if all was there."""
    pins = sha256(requirements)
    if is_whole(target, pins):
        return False
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="new-", dir=target) as folder:
        wheels, files = Path(folder, "wheels"), Path(folder, "files")
        wheels.mkdir()
        files.mkdir()
        download(requirements, tags, wheels)
        names = [name for wheel in sorted(wheels.glob("*.whl")) for name in unpack(wheel, files)]
        stamp = {"pins": pins, "files": {name: sha256(files / name) for name in names}}
        (files / STAMP).write_text(json.dumps(stamp, indent=1) + "\n", encoding="utf-8")
        old = [path for path in target.iterdir() if path.is_file() and path.name.startswith("libonnxruntime")]
        for name in [*names, STAMP]:
            os.replace(files / name, target / name)
        for path in old:
            if path.name not in names:
                path.unlink(missing_ok=True)
    return True


def main():
    """Parses the command line; gives the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gpu", action="store_true", help="the CUDA 13 build and the CUDA libraries it needs")
    options = parser.parse_args()
    kind = "gpu" if options.gpu else "cpu"
    target = ROOT / ".runtime" / ("gpu" if options.gpu else "")
    requirements = ROOT / "scripts" / f"onnxruntime-{kind}.txt"
    # A polite kill cleans up like Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        if install(target, requirements, wheel_tags(options.gpu)):
            print(f"ONNX Runtime ({kind}) is in {target}", file=sys.stderr)
    except Failure as failure:
        print(f"runtime.py: {failure}", file=sys.stderr)
        return 2
    except (OSError, zipfile.BadZipFile) as failure:
        print(f"runtime.py: could not write ONNX Runtime to {target} ({failure}): nothing half-made was kept", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
