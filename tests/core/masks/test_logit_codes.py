"""Logits as bytes."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_mosam.core.masks.logit_codes import coded, decode_logits, encode_logits

LOGITS = st.lists(st.floats(-2000, 2000, width=32), min_size=1, max_size=50).map(torch.tensor)


@given(LOGITS)
def test_no_sign_changes_and_the_order_stays(logits):
    (back,) = coded([logits])
    assert not ((back > 0) & (logits <= 0)).any()
    assert not ((back < 0) & (logits >= 0)).any()
    order = logits.argsort()
    assert (back[order].diff() >= 0).all()


@given(st.floats(-30, 30))
def test_the_error_is_small_near_the_edge_of_a_mask(value):
    error = abs(float(coded([torch.tensor(value)])[0]) - value)
    assert error <= 0.05 + 0.02 * abs(value)


def test_codes_are_bytes_that_stand_for_themselves():
    codes = np.arange(-127, 128).astype(np.int8)
    assert encode_logits(decode_logits(codes)).tolist() == codes.tolist()
    assert encode_logits(np.array([-1024.0, 1024.0], np.float32)).tolist() == [-127, 127]


def test_a_code_does_not_depend_on_what_is_coded_beside_it():
    rng = np.random.default_rng(0)
    logits = [torch.from_numpy(rng.normal(0, 9, shape).astype(np.float32)) for shape in ((7, 5), (64, 64), (3, 11))]
    for own, together in zip(logits, coded(logits), strict=True):
        assert torch.equal(together, coded([own])[0])
        assert np.array_equal(together.numpy(), decode_logits(encode_logits(own.numpy())))
    assert coded([]) == []
