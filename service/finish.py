"""Last step of the image's package stage: our package in, what no server needs out, bytecode."""

import compileall
import py_compile
import shutil
import site
import subprocess
import sys
from pathlib import Path

# Programs and libraries for developers, never imported while serving.
FAT = (
    "numpy/_core/include",
    "numpy/_core/lib",
    "numpy/distutils",
    "numpy/f2py",
    "onnxruntime/backend",
    "onnxruntime/datasets",
    "onnxruntime/quantization",
    "onnxruntime/tools",
    "onnxruntime/transformers",
)
SOURCES = ("*.pyi", "*.pyx", "*.pxd", "*.pxi", "*.c", "*.h", "*.lib", "*.a")

packages = Path(site.getsitepackages()[0])
shutil.copytree("/opt/inference_server", packages / "inference_server")
subprocess.run(
    [sys.executable, "-m", "pip", "uninstall", "--yes", "--quiet", "pip", "setuptools"], check=True
)
for folder in (*(packages / name for name in FAT), *packages.rglob("tests")):
    shutil.rmtree(folder, ignore_errors=True)
for pattern in SOURCES:
    for file in list(packages.rglob(pattern)):
        file.unlink()
# Hash-based bytecode stays valid whatever the image layer does to time stamps.
compileall.compile_dir(
    packages, quiet=1, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
)
