"""What is made from an earlier answer is what torch would have given, to the stride."""

import pytest
import torch

from sdaug.costmodel import answers
from sdaug.costmodel.answers import answer as looked_up
from sdaug.costmodel.answers import described

aten = torch.ops.aten


def answer(func, args, kwargs):
    return looked_up(described(func, args, kwargs), func, args, kwargs)


def facts(result):
    results = result if isinstance(result, (tuple, list)) else [result]
    return [(type(one), one.shape, one.stride(), one.dtype, one.device.type) for one in results]


def meta(*shape, dtype=torch.float32):
    return torch.empty(shape, device="meta", dtype=dtype)


CALLS = {
    "group_norm": lambda dtype: (
        aten.native_group_norm.default,
        (meta(2, 64, 8, 8, dtype=dtype), meta(64, dtype=dtype), meta(64, dtype=dtype), 2, 64, 64, 32, 1e-5),
        {},
    ),
    "layer_norm": lambda dtype: (
        aten.native_layer_norm.default,
        (meta(2, 5, 64, dtype=dtype), [64], meta(64, dtype=dtype), meta(64, dtype=dtype), 1e-5),
        {},
    ),
    "addmm": lambda dtype: (
        aten.addmm.default,
        (meta(3, dtype=dtype), meta(4, 5, dtype=dtype), meta(5, 3, dtype=dtype)),
        {},
    ),
    "strided": lambda dtype: (aten.silu.default, (meta(2, 3, 4, 5, dtype=dtype).permute(0, 2, 3, 1),), {}),
    "list": lambda dtype: (aten.cat.default, ([meta(1, 2, dtype=dtype), meta(1, 3, dtype=dtype)], 1), {}),
    "keyword": lambda dtype: (aten._to_copy.default, (meta(2, 3),), {"dtype": dtype}),
}  # fmt: skip


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch):
    monkeypatch.setattr(answers, "_ANSWERS", {})


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
@pytest.mark.parametrize("name", CALLS)
def test_answered_as_torch_does(name, dtype):
    func, args, kwargs = CALLS[name](dtype)
    first, again = answer(func, args, kwargs), answer(func, args, kwargs)
    assert facts(first) == facts(again) == facts(func(*args, **kwargs))
    assert len(answers._ANSWERS) == 1 and None not in answers._ANSWERS.values()


def test_what_torch_refuses_is_refused_each_time():
    for _ in range(2):
        with pytest.raises(RuntimeError):
            answer(aten.mm.default, (meta(4, 5), meta(6, 3)), {})
    assert answers._ANSWERS == {}


def test_each_answer_has_a_memory_of_its_own():
    x = meta(4, 4)
    made = [answer(aten.silu.default, (x,), {}) for _ in range(3)]
    assert len({one.untyped_storage()._cdata for one in [x, *made]}) == 4


@pytest.mark.parametrize(
    "func, args",
    [(aten.view.default, (meta(4, 4), [16])), (aten._unsafe_view.default, (meta(4, 4), [16]))],
    ids=["said", "unsaid"],
)
def test_a_view_stays_a_view(func, args):
    for _ in range(2):
        assert answer(func, args, {}).untyped_storage()._cdata == args[0].untyped_storage()._cdata


def test_real_tensors_are_computed_with():
    for value in (-1.0, 2.0):
        assert answer(aten.relu.default, (torch.full((2,), value),), {}).tolist() == [max(value, 0)] * 2


def test_arguments_that_are_equal_but_of_other_types_are_told_apart():
    x = torch.empty(2, 3, device="meta", dtype=torch.int64)
    assert answer(aten.mul.Scalar, (x, 2), {}).dtype is torch.int64
    assert answer(aten.mul.Scalar, (x, 2.0), {}).dtype is torch.float32
