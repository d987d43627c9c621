"""Records of several columns as one sequence of symbols."""

from ult.codecs.record.codec import RecordColumns
from ult.codecs.record.field import Field

__all__ = ["Field", "RecordColumns"]
