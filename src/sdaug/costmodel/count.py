"""Counting what PyTorch runs, on real tensors or on the meta device, where nothing is computed.

Imports torch: import it inside the function that counts.
"""

import weakref
from collections import Counter as Counts
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, is_traceable_wrapper_subclass_type
from torch.utils.flop_counter import flop_registry, mm_flop, sdpa_flop_count

from sdaug.costmodel.answers import answer, described, tensors_in
from sdaug.costmodel.work import Kind, Op, Work

aten: Any = torch.ops.aten

_FORMULAS: dict[Any, Any] = dict(flop_registry)
# Torch has no formula for these; the first two hold their second matrix as (k, n) and (n, k).
_FORMULAS[aten._int_mm] = lambda a, b, *rest, out_val=None, **more: mm_flop(a.shape, b.shape)
_FORMULAS[aten._weight_int8pack_mm] = lambda a, b, *rest, out_val=None, **more: mm_flop(a.shape, b.shape[::-1])
# Torch 2.14, the last one for Python 3.10 and what a Jetson has, does not know this one yet.
_FORMULAS.setdefault(
    aten._scaled_dot_product_flash_attention_for_cpu,
    lambda q, k, v, *rest, out_val=None, **more: sdpa_flop_count(q.shape, k.shape, v.shape),
)
_FORMULAS[aten._addmm_activation] = lambda bias, a, b, *rest, out_val=None, **more: mm_flop(a.shape, b.shape)


def _packed_flop(x: Any, weight: Any, *rest: Any, out_val: Any) -> int:
    return 2 * prod(weight.shape[1:]) * out_val.numel()


# oneDNN's, of weights packed beforehand: a product for each weight of an output channel or feature.
_PACKED = [aten.mkldnn_convolution, aten.mkldnn_linear]
_PACKED += [getattr(torch.ops.mkldnn, name, None) for name in ("_convolution_pointwise", "_linear_pointwise")]
_FORMULAS.update({packet: _packed_flop for packet in _PACKED if packet is not None})

_COMPOSITE = torch._C.DispatchKey.CompositeImplicitAutograd
_CONVOLUTIONS = (
    "convolution", "_convolution", "cudnn_convolution", "_slow_conv2d_forward", "convolution_overrideable",
    "mkldnn_convolution", "_convolution_pointwise",
)  # fmt: skip
_BATCHED = ("bmm", "baddbmm")
_NORMS = (
    "native_group_norm", "native_layer_norm", "native_batch_norm", "cudnn_batch_norm", "_fused_rms_norm",
    "_native_batch_norm_legit", "_native_batch_norm_legit_no_training", "_batch_norm_no_update",
)  # fmt: skip
_ALLOCATIONS = ("empty", "empty_like", "empty_strided", "empty_permuted", "new_empty", "new_empty_strided", "resize_")
_OVERWRITES = ("copy_", "fill_", "zero_", "normal_", "uniform_", "random_", "exponential_", "bernoulli_")
"""Their first argument is written and not read."""
_LOOKUPS = ("embedding", "index_select", "gather", "index")
"""They read as much of their table, the first argument, as they give back."""


_COUNTED: dict[Any, Op | None] = {}
"""By `answers.described`: on the meta device the same operator on the same shapes costs the same."""


class Counter(TorchDispatchMode):
    """What ran inside `with counting() as counter:`.

    work: kernel launches; views and bare allocations launch nothing.
    live_bytes: tensor bytes allocated less those freed since the start, now or when counting ended; below 0 where
    older tensors were freed. peak_live_bytes: its highest. By storage, exact: an allocator adds rounding, and kernels
    their own workspace.
    outside_bytes: storages older than the count that it used: weights and inputs.
    without_formula: operators outside PyTorch's own; their bytes are counted and their arithmetic is not.
    unseen: layouts of tensors that hide their memory, oneDNN's; it is missing from all of the above but `work`.
    A compiled or captured network runs past the dispatcher: count it before it is compiled.
    """

    def __init__(self) -> None:
        super().__init__()
        self._ops: Counts[Op] = Counts()
        self._held: dict[int, tuple[weakref.ref[Any], int]] = {}
        self._ended = False
        self.live_bytes = 0
        self.peak_live_bytes = 0
        self.outside_bytes = 0
        self.without_formula: set[str] = set()
        self.unseen: set[str] = set()

    @property
    def work(self) -> Work:
        return Work(tuple(self._ops.items()))

    @property
    def flops(self) -> int:
        return self.work.flops

    @property
    def launches(self) -> int:
        return self.work.launches

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if any(is_traceable_wrapper_subclass_type(kind) for kind in types):
            return NotImplemented  # quantised tensors: what they run on the tensors inside them comes here next
        kwargs = kwargs or {}
        if func._overloadpacket not in _FORMULAS and _is_composite(func):
            with self:
                return func._op_dk(_COMPOSITE, *args, **kwargs)
        reads, writes = _touched(func, args, kwargs)
        for tensor in (*reads, *writes):
            self._hold(tensor, outside=True)
        key = described(func, args, kwargs)
        result = answer(key, func, args, kwargs)
        known = {_key(tensor) for tensor in (*reads, *writes)}
        made = [tensor for tensor in tensors_in(result) if _key(tensor) not in known]
        for tensor in (*made, *writes):
            self._hold(tensor)
        self.peak_live_bytes = max(self.peak_live_bytes, self.live_bytes)
        if key is None or key not in _COUNTED:
            op = _counted(func, args, kwargs, result, reads, [*made, *writes])
            if key is not None:
                _COUNTED[key] = op
        else:
            op = _COUNTED[key]
        if op is not None:
            self._ops[op] += 1
            if func._overloadpacket not in _FORMULAS and func.namespace not in ("aten", "prims"):
                self.without_formula.add(str(func._overloadpacket))
        return result

    def _hold(self, tensor: Any, *, outside: bool = False) -> None:
        if not _has_storage(tensor):
            self.unseen.add(str(tensor.layout))
            return
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key not in self._held:
            reference = weakref.ref(storage, lambda _: self._freed(key))
            before = size if outside else 0
            self.outside_bytes += before
        else:
            reference, before = self._held[key]
        self._held[key] = (reference, size)
        self.live_bytes += size - before

    def _freed(self, key: int) -> None:
        if not self._ended:
            self.live_bytes -= self._held.pop(key)[1]

    def end(self) -> None:
        self._ended = True
        self._held.clear()


@contextmanager
def counting() -> Iterator[Counter]:
    """Count everything PyTorch runs in this thread, on whatever device.

    On the meta device attention counts as the fused kernel that a CPU or GPU has, not as the mathematics that torch
    falls back to there.
    """
    counter = Counter()
    with _FusedAttention(), counter:
        try:
            yield counter
        finally:
            counter.end()


class _FusedAttention(TorchFunctionMode):
    """On meta tensors torch takes attention apart: the same operations, but 16 times the memory at 512 px."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention and (args[0] if args else kwargs["query"]).is_meta:
            return _fused(*args, **kwargs)
        return func(*args, **kwargs)


def _fused(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False) -> Any:
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        attn_mask = attn_mask.to(query.dtype)
    fused = aten._scaled_dot_product_flash_attention_for_cpu
    return fused(query, key, value, dropout_p, is_causal, attn_mask=attn_mask, scale=scale)[0]


def _counted(func: Any, args: Any, kwargs: Any, result: Any, reads: list[Any], writes: list[Any]) -> Op | None:
    """None for what launches nothing."""
    name = func._schema.name.partition("::")[2]
    asked = not any(True for _ in tensors_in(result)) and func.namespace == "aten"  # a number is read back
    if name in _ALLOCATIONS or not (writes or asked):
        return None
    formula = _FORMULAS.get(func._overloadpacket)
    moved = written = sum(_bytes(tensor) for tensor in writes)
    if name in _LOOKUPS:
        moved, reads = 2 * moved, reads[1:]
    moved += sum(_bytes(tensor) for tensor in reads)
    flops = int(formula(*args, **kwargs, out_val=result)) if formula else 0
    return Op(_kind(name, args, formula is not None), flops, moved, written)


def _kind(name: str, args: Any, has_formula: bool) -> Kind:
    if name in _CONVOLUTIONS:
        return "conv3x3" if prod(args[1].shape[2:]) > 1 else "linear"
    if "attention" in name or name in _BATCHED:
        return "attention"
    if has_formula:
        return "linear"
    return "norm" if name in _NORMS else "elementwise"


def _touched(func: Any, args: Any, kwargs: Any) -> tuple[list[Any], list[Any]]:
    """Tensors that an operator reads and those it writes in place."""
    reads: list[Any] = []
    writes: list[Any] = []
    for i, (name, read, write) in enumerate(_arguments(func)):
        value = args[i] if i < len(args) else kwargs.get(name)
        for tensor in tensors_in(value):
            if write:
                writes.append(tensor)
            if read:
                reads.append(tensor)
    return reads, writes


@cache
def _is_composite(func: Any) -> bool:
    """Whether an operator is made of others in C++. In inference mode such operators come whole.

    Not `func.decompose`: that also takes apart what only has a decomposition in Python for tracing, as upsampling.
    """
    return torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), _COMPOSITE)


@cache
def _arguments(func: Any) -> tuple[tuple[str, bool, bool], ...]:
    """(name, is read, is written) of an operator's arguments."""
    overwrites = func._schema.name.partition("::")[2] in _OVERWRITES
    found = []
    for argument in func._schema.arguments:
        written = argument.alias_info is not None and argument.alias_info.is_write
        found.append((argument.name, not (written and (argument.is_out or overwrites)), written))
    return tuple(found)


def _key(tensor: Any) -> int:
    return tensor.untyped_storage()._cdata if _has_storage(tensor) else id(tensor)


def _has_storage(tensor: Any) -> bool:
    """False for oneDNN's own tensors, whose memory nobody can see."""
    return torch._C._has_storage(tensor)


def _bytes(tensor: Any) -> int:
    """Of distinct elements: a dimension that `expand` made is there once."""
    if not _has_storage(tensor):
        return tensor.itemsize * tensor.numel()
    return tensor.itemsize * prod(size for size, stride in zip(tensor.shape, tensor.stride(), strict=True) if stride)
