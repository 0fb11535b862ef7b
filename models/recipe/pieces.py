"""Cuts files into pieces of a bounded size and puts them together again, checked by SHA-256. Standard library only.

  python pieces.py split out packed/model.safetensors packed/branches.safetensors --mb 16
  python pieces.py join out packed
"""
import argparse
import hashlib
import json
import os

INDEX = "pieces.json"


def split(folder, files, size):
    """Writes NAME.000, NAME.001, … and an index of both into `folder`."""
    os.makedirs(folder, exist_ok=True)
    index = {}
    for path in files:
        with open(path, "rb") as f:
            data = f.read()
        name = os.path.basename(path)
        if name in index:
            raise SystemExit(f"{path}: another file has the name {name}")
        parts = [f"{name}.{i:03}" for i in range(max(1, -(-len(data) // size)))]
        for i, part in enumerate(parts):
            with open(os.path.join(folder, part), "wb") as f:
                f.write(data[i * size:(i + 1) * size])
        index[name] = dict(sha256=hashlib.sha256(data).hexdigest(), pieces=parts)
    with open(os.path.join(folder, INDEX), "w") as f:
        json.dump(index, f, indent=1)


def join(folder, target):
    """Puts every file of the index together in `target`; refuses one whose hash is another."""
    with open(os.path.join(folder, INDEX)) as f:
        index = json.load(f)
    os.makedirs(target, exist_ok=True)
    for name, entry in index.items():
        data = bytearray()
        for part in entry["pieces"]:
            with open(os.path.join(folder, os.path.basename(part)), "rb") as f:
                data += f.read()
        if hashlib.sha256(data).hexdigest() != entry["sha256"]:
            raise SystemExit(f"{name}: the pieces in {folder} do not make the file that was cut; fetch them again")
        with open(os.path.join(target, os.path.basename(name)), "wb") as f:
            f.write(data)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = p.add_subparsers(dest="command", required=True)
    s = commands.add_parser("split")
    s.add_argument("folder")
    s.add_argument("files", nargs="+")
    s.add_argument("--mb", type=float, default=16, help="largest piece, MB")
    j = commands.add_parser("join")
    j.add_argument("folder")
    j.add_argument("target")
    a = p.parse_args()
    if a.command == "split":
        split(a.folder, a.files, int(a.mb * 1e6))
    else:
        join(a.folder, a.target)


if __name__ == "__main__":
    main()
