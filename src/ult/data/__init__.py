"""Read records from files, folders of images, packaged samples and the Hub, and write decoded records."""

from ult.data.batch import Batch, blamed
from ult.data.form import Unread
from ult.data.sink import Sink, open_sink
from ult.data.source import Source, open_source

__all__ = ["Batch", "Sink", "Source", "Unread", "blamed", "open_sink", "open_source"]
