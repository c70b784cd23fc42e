"""Logits as bytes."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_mosam.core.masks.logit_codes import coded, decode_array, decode_logits, encode_logits

LOGITS = st.lists(st.floats(-2000, 2000, width=32), min_size=1, max_size=50).map(torch.tensor)


@given(LOGITS)
def test_no_sign_changes_and_the_order_stays(logits):
    back = coded(logits)
    assert not ((back > 0) & (logits <= 0)).any()
    assert not ((back < 0) & (logits >= 0)).any()
    order = logits.argsort()
    assert (back[order].diff() >= 0).all()


@given(st.floats(-30, 30))
def test_the_error_is_small_near_the_edge_of_a_mask(value):
    error = abs(float(coded(torch.tensor(value))) - value)
    assert error <= 0.05 + 0.02 * abs(value)


def test_codes_are_bytes_that_stand_for_themselves():
    codes = torch.arange(-127, 128, dtype=torch.int8)
    assert encode_logits(decode_logits(codes)).tolist() == codes.tolist()
    assert encode_logits(torch.tensor([-1024.0, 1024.0])).tolist() == [-127, 127]
    assert np.array_equal(decode_array(codes.numpy()), decode_logits(codes).numpy())
