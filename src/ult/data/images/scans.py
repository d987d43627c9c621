"""Which files hold several images, and what their headers tell."""

from __future__ import annotations

from ult.data import files
from ult.data.images import dicom, nifti, pages
from ult.data.images.scan import Head, short
from ult.errors import SourceError, UltError

DICOM, NIFTI, TIFF = (".dcm", ".dicom"), (".nii", ".nii.gz"), (".tif", ".tiff")
_MAGIC = b"DICM"  # after 128 bytes that mean nothing


def kind_of(name: str) -> str:
    """Return "dicom", "nifti" or "tiff" if the file may hold several images by its suffix, else the empty string."""
    low = name.lower()
    kinds = {"dicom": DICOM, "nifti": NIFTI, "tiff": TIFF}
    return next((kind for kind, suffixes in kinds.items() if low.endswith(suffixes)), "")


def has_no_suffix(path: str) -> bool:
    """Return whether a file has no suffix, or is called by a number such as a UID."""
    base = path.rpartition("/")[2]
    return "." not in base or base.replace(".", "").isdigit()


def is_bare_dicom(name: str) -> bool:
    """Return whether a file is DICOM by its first bytes, as those without a suffix on the discs of hospitals."""
    try:
        with files.open_file(name) as file:
            return file.read(132)[128:] == _MAGIC
    except (OSError, SourceError):
        return False


def head(name: str) -> Head:
    """Return what the header of a file tells; raise `SourceError` if the file cannot be read exactly."""
    module = {"nifti": nifti, "tiff": pages}.get(kind_of(name), dicom)
    try:
        return module.head(name)  # type: ignore[no-any-return]
    except UltError:
        raise
    except OSError as error:
        raise SourceError(f"{name} cannot be read: {error.strerror or short(error)}") from error
    except Exception as error:
        raise SourceError(f"{name} is broken ({type(error).__name__})") from error
