"""Tests of runtime.py with made-up wheels: no network, no real library. `python3 -m unittest discover scripts`."""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import unittest
import zipfile
from pathlib import Path

import runtime

SCRIPT = Path(runtime.__file__)
LIBRARY = "onnxruntime/capi/libonnxruntime.so.1.31.1"


class Runtime(unittest.TestCase):
    """Each test has a repository and a package source of its own."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name, "repository")
        self.links = Path(folder.name, "links")
        self.target = self.root / ".runtime"
        (self.root / "scripts").mkdir(parents=True)
        self.links.mkdir()
        shutil.copy(SCRIPT, self.root / "scripts")

    def wheel(self, version="1.31.1", library=b"library", pin=None):
        """Makes a wheel and pins its hash, or another one."""
        tag = runtime.PLATFORMS[sys.platform, platform.machine()][0]
        path = self.links / f"onnxruntime-{version}-cp312-cp312-{tag}.whl"
        info = f"onnxruntime-{version}.dist-info"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(LIBRARY.replace("1.31.1", version), library)
            archive.writestr("onnxruntime/LICENSE", "MIT")
            archive.writestr("onnxruntime/__init__.py", "")
            archive.writestr("../../escape/libonnxruntime.so.1", "not taken out")
            archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: onnxruntime\nVersion: {version}\n")
            archive.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: cp312-cp312-{tag}\n")
            archive.writestr(f"{info}/RECORD", "")
        pin = pin or hashlib.sha256(path.read_bytes()).hexdigest()
        text = f"onnxruntime=={version} --hash=sha256:{pin}\n"
        (self.root / "scripts/onnxruntime-cpu.txt").write_text(text, encoding="utf-8")

    def start(self):
        """Starts the script with nothing but the made-up wheels to choose from."""
        environment = {**os.environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.links)}
        command = [sys.executable, str(self.root / "scripts/runtime.py")]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run_script(self):
        """Gives (exit status, last line of stderr)."""
        process = self.start()
        lines = process.communicate()[1].splitlines()
        return process.returncode, lines[-1] if lines else ""

    def names(self):
        """What lies in .runtime/."""
        return sorted(path.name for path in self.target.iterdir()) if self.target.exists() else []

    def test_takes_only_library_and_licence(self):
        self.wheel()
        self.assertEqual(self.run_script()[0], 0)
        self.assertEqual(self.names(), ["installed.json", "libonnxruntime.so.1.31.1", "onnxruntime-LICENSE"])

    def test_second_run_needs_no_wheel(self):
        self.wheel()
        self.run_script()
        shutil.rmtree(self.links)
        self.assertEqual(self.run_script(), (0, ""))

    def test_another_hash_leaves_nothing(self):
        self.wheel(pin="0" * 64)
        status, line = self.run_script()
        self.assertEqual(status, 2)
        self.assertIn("does not have the hash", line)
        self.assertEqual(self.names(), [])

    def test_no_wheel_to_be_had(self):
        self.wheel()
        shutil.rmtree(self.links)
        status, line = self.run_script()
        self.assertEqual(status, 2)
        self.assertIn("pip could not download", line)
        self.assertEqual(self.names(), [])

    def test_damaged_library_is_replaced(self):
        self.wheel()
        self.run_script()
        library = self.target / "libonnxruntime.so.1.31.1"
        library.write_bytes(b"librarY")
        self.assertEqual(self.run_script()[0], 0)
        self.assertEqual(library.read_bytes(), b"library")

    def test_new_version_replaces_the_old(self):
        self.wheel("1.30.0", b"old")
        self.run_script()
        self.wheel("1.31.1", b"new")
        self.assertEqual(self.run_script()[0], 0)
        self.assertEqual(self.names(), ["installed.json", "libonnxruntime.so.1.31.1", "onnxruntime-LICENSE"])

    def test_two_at_once(self):
        self.wheel()
        both = [self.start(), self.start()]
        errors = [process.communicate()[1] for process in both]
        self.assertEqual([process.returncode for process in both], [0, 0], errors)
        self.assertEqual(self.run_script(), (0, ""))


if __name__ == "__main__":
    unittest.main()
