"""Modules of 0.1.0 under their old names: each import of one warns, and says where its names are today."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from importlib import import_module
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

MOVED = {
    "ult.ahead": "ult.trainer.models.causal",
    "ult.align": "ult.owner.handover.align",
    "ult.atomic": "ult.host.atomic",
    "ult.audit.across": "ult.audit.release.across",
    "ult.audit.adversary": "ult.audit.code.adversary",
    "ult.audit.beside": "ult.audit.release.beside",
    "ult.audit.binding": "ult.audit.release.binding",
    "ult.audit.blind": "ult.audit.model.blind",
    "ult.audit.candidate": "ult.audit.release.candidate",
    "ult.audit.charts": "ult.audit.pages.charts",
    "ult.audit.claims": "ult.audit.mechanism.claims",
    "ult.audit.code": "ult.audit.code.attack",
    "ult.audit.context": "ult.audit.code.cooccurrence",
    "ult.audit.curve": "ult.audit.roc",
    "ult.audit.drawn": "ult.audit.code.sampled",
    "ult.audit.ethicist": "ult.audit.model.ethicist",
    "ult.audit.evidence": "ult.audit.code.evidence",
    "ult.audit.exposure": "ult.audit.model.exposure",
    "ult.audit.extraction": "ult.audit.model.extraction",
    "ult.audit.facts": "ult.audit.release.facts",
    "ult.audit.figures": "ult.audit.release.figures",
    "ult.audit.finding": "ult.audit.release.finding",
    "ult.audit.frequency": "ult.audit.code.frequency",
    "ult.audit.graph": "ult.audit.code.graph",
    "ult.audit.homophones": "ult.audit.code.homophones",
    "ult.audit.interval": "ult.audit.code.interval",
    "ult.audit.kept": "ult.audit.release.kept",
    "ult.audit.likelihood": "ult.audit.code.likelihood",
    "ult.audit.matching": "ult.audit.code.matching",
    "ult.audit.mechanism": "ult.audit.mechanism.audit",
    "ult.audit.membership": "ult.audit.model.membership",
    "ult.audit.model": "ult.audit.model.audit",
    "ult.audit.order": "ult.audit.code.seriation",
    "ult.audit.page": "ult.audit.release.page",
    "ult.audit.permit": "ult.audit.release.permit",
    "ult.audit.phrases": "ult.audit.table",
    "ult.audit.plain": "ult.audit.release.plain",
    "ult.audit.plaintext": "ult.audit.code.known_plaintext",
    "ult.audit.position": "ult.audit.code.position",
    "ult.audit.predicted": "ult.audit.model.predicted",
    "ult.audit.proven": "ult.audit.release.proven",
    "ult.audit.reading": "ult.audit.release.reading",
    "ult.audit.rebuilt": "ult.audit.code.reconstruct",
    "ult.audit.record": "ult.audit.model.record",
    "ult.audit.references": "ult.audit.model.references",
    "ult.audit.refits": "ult.audit.mechanism.refits",
    "ult.audit.remembering": "ult.audit.release.remembering",
    "ult.audit.resteps": "ult.audit.mechanism.resteps",
    "ult.audit.rows": "ult.audit.code.embedding_rows",
    "ult.audit.score": "ult.audit.code.score",
    "ult.audit.shadows": "ult.audit.model.shadows",
    "ult.audit.sides": "ult.audit.model.sides",
    "ult.audit.telling": "ult.audit.code.telling",
    "ult.audit.trained": "ult.audit.model.trained",
    "ult.audit.trigrams": "ult.audit.code.trigrams",
    "ult.audit.verdict": "ult.audit.release.verdict",
    "ult.batches": "ult.codecs.batches",
    "ult.canaries": "ult.owner.canaries",
    "ult.checkpoint": "ult.trainer.models.checkpoint",
    "ult.cluster": "ult.owner.pipeline.ray_engine",
    "ult.codecs.blocks": "ult.codecs.dct.blocks",
    "ult.codecs.colour": "ult.codecs.dct.colour",
    "ult.codecs.dct": "ult.codecs.dct.transform",
    "ult.codecs.forward": "ult.codecs.dct.quantise",
    "ult.codecs.image_grammar": "ult.codecs.dct.grammar",
    "ult.codecs.lanes": "ult.codecs.dct.simd",
    "ult.codecs.tiles": "ult.codecs.dct.tiles",
    "ult.codecs.words": "ult.codecs.pretokenizer",
    "ult.coin": "ult.owner.coin",
    "ult.counting": "ult.owner.bpe.counts",
    "ult.data.image": "ult.data.images.image",
    "ult.data.looks": "ult.data.columns.looks",
    "ult.data.molecule": "ult.data.molecules.molecule",
    "ult.data.tabular": "ult.data.tables.tabular",
    "ult.derived": "ult.trainer.workdir",
    "ult.disk": "ult.host.disk",
    "ult.distribution": "ult.host.distribution",
    "ult.document": "ult.owner.table_format",
    "ult.engine": "ult.owner.pipeline.engine",
    "ult.evaluate": "ult.trainer.evaluate",
    "ult.figure": "ult.audit.figure",
    "ult.frozen": "ult.trainer.callbacks.freeze_body",
    "ult.generate": "ult.trainer.generate",
    "ult.goldfish": "ult.trainer.memorisation.goldfish",
    "ult.grammar": "ult.owner.constrained",
    "ult.guarantee": "ult.public.guarantee",
    "ult.halves": "ult.owner.pipeline.halves",
    "ult.hashing": "ult.owner.bpe.hashtable",
    "ult.heap": "ult.owner.pipeline.memory",
    "ult.kernel": "ult.host.kernel",
    "ult.keyfile": "ult.owner.keyfile",
    "ult.keylife": "ult.owner.keyfile",
    "ult.learning": "ult.owner.bpe.merges",
    "ult.lock": "ult.host.lock",
    "ult.lora": "ult.trainer.models.lora",
    "ult.manifest": "ult.public.manifest",
    "ult.memorisation": "ult.trainer.memorisation.stop_memorised",
    "ult.metrics": "ult.public.metrics",
    "ult.mixture": "ult.trainer.datasets.sampler",
    "ult.model": "ult.trainer.models.build",
    "ult.ngrams": "ult.trainer.memorisation.ngrams",
    "ult.packing": "ult.trainer.datasets.packing",
    "ult.pairs": "ult.trainer.datasets.pairs",
    "ult.partial": "ult.owner.pipeline.resume",
    "ult.phrases": "ult.owner.bpe.reference",
    "ult.pieces": "ult.owner.pipeline.pieces",
    "ult.privacy.draws": "ult.trainer.dp.poisson",
    "ult.privacy.gradient": "ult.trainer.dp.clipping",
    "ult.privacy.patches": "ult.owner.bpe.private_counts",
    "ult.privacy.training": "ult.trainer.dp.dp_trainer",
    "ult.processes": "ult.trainer.distributed",
    "ult.progress": "ult.trainer.callbacks.progress",
    "ult.published": "ult.public.published",
    "ult.pulse": "ult.host.pulse",
    "ult.regular": "ult.host.regular",
    "ult.release": "ult.owner.handover.withhold",
    "ult.report": "ult.trainer.callbacks.tensorboard",
    "ult.restraint": "ult.trainer.memorisation.ngram_penalty",
    "ult.run": "ult.public.run",
    "ult.segment": "ult.owner.bpe.encoder",
    "ult.seq2seq": "ult.trainer.models.seq2seq",
    "ult.settings": "ult.trainer.models.generation",
    "ult.shards": "ult.public.shards",
    "ult.spelling": "ult.owner.bpe.decoder",
    "ult.steps": "ult.trainer.id_trainer",
    "ult.streams": "ult.host.streams",
    "ult.table": "ult.owner.table",
    "ult.train": "ult.trainer.train",
    "ult.trainer.classified": "ult.trainer.tasks.classified",
    "ult.trainer.classify": "ult.trainer.tasks.classify",
    "ult.trainer.figures": "ult.trainer.tasks.figures",
    "ult.trainer.interval": "ult.trainer.tasks.interval",
    "ult.trainer.labels": "ult.trainer.tasks.labels",
    "ult.trainer.predict": "ult.trainer.tasks.predict",
    "ult.trainer.predicted": "ult.trainer.tasks.predicted",
    "ult.trainer.regress": "ult.trainer.tasks.regress",
    "ult.translate": "ult.trainer.translate",
    "ult.unique": "ult.owner.bpe.patch_table",
    "ult.validation": "ult.trainer.callbacks.early_stopping",
    "ult.vocabulary": "ult.public.vocabulary",
    "ult.windows": "ult.trainer.datasets.windows",
}
_SPLIT = {  # where else the names of a module went that is several today
    "ult.evaluate": ("ult.trainer.loss",),
    "ult.generate": ("ult.trainer.ids",),
    "ult.metrics": ("ult.public.task",),
    "ult.model": ("ult.trainer.models.presets", "ult.trainer.models.load", "ult.trainer.models.embeddings"),
    "ult.packing": (
        "ult.trainer.datasets.blocks",
        "ult.trainer.datasets.labelled",
        "ult.trainer.datasets.sampler",
        "ult.trainer.datasets.collator",
    ),
    "ult.run": ("ult.trainer.recipe", "ult.trainer.workdir"),
    "ult.shards": ("ult.public.shard_writer", "ult.public.id_columns", "ult.public.manifest"),
    "ult.table": ("ult.owner.coder",),
    "ult.validation": ("ult.trainer.datasets.validation",),
}


def spec(name: str) -> ModuleSpec | None:
    """Return what imports the old name of a module of ours, or None if it never was one."""
    return ModuleSpec(name, _Loader()) if name in MOVED else None


class _Loader(Loader):
    """Makes a module that looks its names up where they are today."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Old(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        name = module.__name__
        places = ", ".join((MOVED[name], *_SPLIT.get(name, ())))
        warnings.warn(f"{name} is {places} now", DeprecationWarning, stacklevel=2)


class _Old(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if (self.__name__, name) == ("ult.train", "train"):
            return _train
        for place in (MOVED[self.__name__], *_SPLIT.get(self.__name__, ())):
            if hasattr(module := import_module(place), name):
                return getattr(module, name)
        raise AttributeError(f"{self.__name__}.{name} has another name today: see {MOVED[self.__name__]}")

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Do what the function of this name in `ult` does: Python puts a module that was imported in its place."""
        name = self.__name__.removeprefix("ult.")
        return sys.modules["ult"].__getattr__(name)(*arguments, **options)


def _train(shards: Any, out: Any, **options: Any) -> Any:
    """Train as 0.1.0 did, with the options of the recipe one by one."""
    recipe = import_module(_SPLIT["ult.run"][0]).Recipe
    ours = {name: options.pop(name) for name in list(options) if name in recipe.__dataclass_fields__}
    return import_module(MOVED["ult.train"]).train(shards, out, recipe(**ours), **options)


def moved_names(package: str, *names: str) -> Callable[[str], Any]:
    """Return `__getattr__` of a package that was a module with these `names`, which are in a module inside it now."""

    def found(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        warnings.warn(f"{name} of {package} is in {MOVED[package]} now", DeprecationWarning, stacklevel=2)
        return getattr(import_module(MOVED[package]), name)

    return found
