"""What operators give on the meta device, asked of torch once for each combination of shapes.

Torch works out many of them in Python, an operator out of dozens; a network runs the same ones over and over.
Imports torch: import it inside the function that counts.
"""

from collections.abc import Iterator
from typing import Any

import torch

_Made = tuple[tuple[int, ...], tuple[int, ...], torch.dtype]
"""Shape, strides in elements and type of a tensor."""

_ANSWERS: dict[Any, tuple[bool, list[_Made]] | None] = {}
"""By operator and described arguments: whether it gives several tensors, and those; None for one that gives a view or
anything but new tensors."""


def described(func: Any, args: Any, kwargs: Any) -> Any:
    """The operator and its arguments without the tensors' memory, to look up by.

    None where nothing may be looked up: a tensor that is not on the meta device, no tensor, an unhashable argument.
    """
    tensors: list[Any] = []
    key = (func, _described(args, tensors), _described(tuple(kwargs.items()), tensors))
    if not tensors or not all(tensor.is_meta for tensor in tensors):
        return None
    try:
        hash(key)
    except TypeError:
        return None
    return key


def answer(key: Any, func: Any, args: Any, kwargs: Any) -> Any:
    """func(*args, **kwargs), made from what torch gave the first time where there is a key from `described`."""
    if key is None:
        return func(*args, **kwargs)
    if key not in _ANSWERS:
        result = func(*args, **kwargs)
        _ANSWERS[key] = _facts(result, [*tensors_in(args), *tensors_in(tuple(kwargs.values()))])
        return result
    known = _ANSWERS[key]
    if known is None:
        return func(*args, **kwargs)
    several, made = known
    return tuple(_new(one) for one in made) if several else _new(made[0])


def tensors_in(value: Any) -> Iterator[Any]:
    """The tensors in an argument or an answer, itself or in lists."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from tensors_in(part)


def _described(value: Any, tensors: list[Any]) -> Any:
    """`value` without the tensors' memory; they are appended to `tensors`."""
    if isinstance(value, torch.Tensor):
        tensors.append(value)
        return (value.shape, value.stride(), value.dtype)
    if isinstance(value, (list, tuple)):
        return tuple(_described(one, tensors) for one in value)
    return (type(value), value)


def _facts(result: Any, given: list[Any]) -> tuple[bool, list[_Made]] | None:
    several = isinstance(result, tuple)
    made = list(result) if several else [result]
    memory = {tensor.untyped_storage()._cdata for tensor in given}
    if not all(isinstance(one, torch.Tensor) and one.untyped_storage()._cdata not in memory for one in made):
        return None
    return several, [(tuple(one.shape), one.stride(), one.dtype) for one in made]


def _new(made: _Made) -> Any:
    shape, strides, dtype = made
    return torch.empty_strided(shape, strides, dtype=dtype, device="meta")
