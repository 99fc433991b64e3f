"""Last step of the image's package stage: our package in, pip out, bytecode for everything."""

import compileall
import py_compile
import shutil
import site
import subprocess
import sys
from pathlib import Path

packages = Path(site.getsitepackages()[0])
shutil.copytree("/opt/inference_server", packages / "inference_server")
subprocess.run(
    [sys.executable, "-m", "pip", "uninstall", "--yes", "--quiet", "pip", "setuptools"], check=True
)
# Hash-based bytecode stays valid whatever the image layer does to time stamps.
compileall.compile_dir(
    packages, quiet=1, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
)
