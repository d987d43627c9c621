"""`image/jpeg`: JPEG files as the levels that they hold, without pixels."""

from ult.codecs.jpeg.codec import ImageJpeg

__all__ = ["ImageJpeg"]
