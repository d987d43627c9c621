"""Where records come from and where they go: files, folders of images, packaged samples, the Hub."""

from ult.data.sink import Sink, open_sink
from ult.data.source import Batch, Source, Unread, open_source

__all__ = ["Batch", "Sink", "Source", "Unread", "open_sink", "open_source"]
