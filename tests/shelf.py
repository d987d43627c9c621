"""An object store without rename and append, as a file system of fsspec: `shelf://BUCKET/KEY`, in a folder."""

import os
from pathlib import Path

import fsspec
from fsspec import AbstractFileSystem


class Shelf(AbstractFileSystem):
    """Takes and gives whole objects. `fail` is called with what is asked, and the key, before it is done."""

    protocol = "shelf"
    cachable = False
    root = Path()
    fail = staticmethod(lambda asked, key: None)

    def _at(self, key):
        return self.root / self._strip_protocol(key)

    def info(self, path, **_):
        at, name = self._at(path), self._strip_protocol(path)
        self.fail("info", name)
        if not at.exists():
            raise FileNotFoundError(name)
        return {"name": name, "size": at.stat().st_size, "type": "file" if at.is_file() else "directory"}

    def ls(self, path, detail=True, **_):
        at, name = self._at(path), self._strip_protocol(path)
        if not at.is_dir():
            return [self.info(path)] if at.is_file() else []
        found = [self.info(f"{name}/{one}") for one in sorted(os.listdir(at))]  # noqa: PTH208
        return found if detail else [one["name"] for one in found]

    def cat_file(self, path, start=None, end=None, **_):
        self.fail("get", self._strip_protocol(path))
        return self._at(path).read_bytes()[start:end]

    def get_file(self, rpath, lpath, **_):
        Path(lpath).write_bytes(self.cat_file(rpath))

    def pipe_file(self, path, value, **_):
        self.fail("put", self._strip_protocol(path))
        self._at(path).parent.mkdir(parents=True, exist_ok=True)
        self._at(path).write_bytes(value)

    def put_file(self, lpath, rpath, **_):
        self.pipe_file(rpath, Path(lpath).read_bytes())

    def rm_file(self, path):
        self.fail("delete", self._strip_protocol(path))
        self._at(path).unlink()

    def _open(self, *_, **__):
        raise NotImplementedError

    mv = cp_file = move = rename = _open


def install(root, monkeypatch):
    """Let `shelf://` be in a folder, for a test."""
    monkeypatch.setattr(Shelf, "root", root)
    monkeypatch.setattr(Shelf, "fail", staticmethod(lambda asked, key: None))
    fsspec.register_implementation("shelf", Shelf, clobber=True)
