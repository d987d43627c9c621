"""The block DCT of `image/dct`, in integer arithmetic."""

from ult.host.moved import moved_names

__getattr__ = moved_names(__name__, "grids", "synthesise", "analyse")
