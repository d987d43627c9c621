"""The smallest wheel, and a build backend that makes one of an empty project."""

import base64
import hashlib
import zipfile
from pathlib import Path


def wheel(folder: Path, name: str) -> Path:
    """Write the wheel of a package of one empty module."""
    about = f"{name}-1.dist-info"
    files = {
        f"{name}.py": "",
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    lines = []
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        lines.append(f"{path},sha256={digest},{len(text)}\n")
    files[f"{about}/RECORD"] = "".join(lines) + f"{about}/RECORD,,\n"
    out = folder / f"{name}-1-py3-none-any.whl"
    with zipfile.ZipFile(out, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return out


def get_requires_for_build_editable(config_settings: object = None) -> list[str]:
    """Answer an installer: building needs nothing."""
    return []


def build_editable(wheel_directory: str, config_settings: object = None, metadata_directory: object = None) -> str:
    """Answer an installer: write a wheel, and return its name."""
    return wheel(Path(wheel_directory), "toy").name
