"""Every codec, in several configurations, keeps the contract stated in `laws`."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import laws
from strategies import MODALITIES, symbols
from ult.codecs import CODECS
from ult.errors import InvalidConfig, InvalidRecord

CASES = [
    pytest.param(CODECS[name.partition(" of ")[0]](**options), modality, id=f"{name} {options}"[:80])
    for name, modality in MODALITIES.items()
    for options in modality.configs
]
every_case = pytest.mark.parametrize(("codec", "modality"), CASES)


def test_every_codec_has_its_records():
    assert {name.partition(" of ")[0] for name in MODALITIES} == set(CODECS)
    for name, kind in CODECS.items():
        assert kind.id == name
        assert kind.modality == {"image/jpeg": "jpeg"}.get(name, name.partition("/")[0])


@every_case
def test_inverse(codec, modality):
    @given(modality.records)
    def law(record):
        laws.check_inverse(codec, record)

    law()


@every_case
def test_inverse_of_hostile_records(codec, modality):
    for record in modality.hostile.values():
        laws.check_inverse(codec, record)


@every_case
def test_total(codec, modality):
    @given(symbols(codec, modality))
    def law(found):
        laws.check_total(codec, found)

    law()
    laws.check_refuses_symbols(codec)
    laws.check_total(codec, np.empty(0, np.uint32))


@every_case
def test_batch(codec, modality):
    @given(st.lists(modality.records, max_size=5))
    def law(records):
        laws.check_batch(codec, records)

    law()
    laws.check_batch(codec, list(modality.hostile.values()))


@every_case
def test_config(codec, modality):
    laws.check_config(codec, list(modality.hostile.values()))
    with pytest.raises(TypeError):
        type(codec)(no_such_option=1)
    for wrong in (0, -1, 1.5, "1", None, True, 2**70):
        with pytest.raises(InvalidConfig):
            type(codec)(max_length=wrong)


@every_case
def test_bounded(codec, modality):
    laws.check_bounded(type(codec), {k: v for k, v in codec.config().items() if k != "max_length"}, modality.sized)
    laws.check_claims(codec, modality.claims)


@every_case
def test_refuses_what_is_no_record(codec, modality):
    for wrong in modality.invalid:
        with pytest.raises(InvalidRecord):
            codec.encode(wrong)
        with pytest.raises(InvalidRecord):
            codec.encode_batch([modality.sized(1), wrong])


@pytest.mark.parametrize("name", CODECS)
def test_calibration_ignores_the_order(name):
    kind, records = CODECS[name], list(MODALITIES[name].hostile.values())
    options = MODALITIES[name].configs[0]
    config = kind.calibrated(records, **options).config()
    assert kind.calibrated(records[::-1], **options).config() == config
    assert kind.calibrated(iter(records), **options).config() == config


@pytest.mark.parametrize("character", [" ", "\n", "a", "1", ".", "'", "é", "\U0010ffff", "[", ">"])
@pytest.mark.parametrize("name", ["text/bytes", "text/bwt", "molecule/smiles"])
def test_a_million_of_one_character(name, character):
    codec = CODECS[name]()
    text = character * 1_000_000
    patches = codec.encode(text)
    laws.check_shape(codec, patches, 1)
    assert codec.decode(patches.symbols) == text
