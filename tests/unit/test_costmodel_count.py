"""The counter, against layers small enough to count by hand and against itself on real and on meta tensors."""

import pytest
import torch
import torch.nn.functional as F

from sdaug.costmodel.count import counting
from sdaug.costmodel.work import Op, Work, total
from sdaug.diffusion.random_model import random_components


@pytest.fixture(autouse=True)
def no_grad():
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def small():
    """The small random networks and a call of each part on any device; the meta copies are made once."""
    import copy

    parts = random_components()
    real = {"unet": parts.unet, "controlnet": parts.controlnet, "vae": parts.vae}
    unreal = {name: copy.deepcopy(network).to("meta") for name, network in real.items()}

    def run(part: str, device: str):
        networks = real if device == "cpu" else unreal
        x, prompts = torch.zeros(2, 4, 8, 8, device=device), torch.zeros(2, 77, 32, device=device)
        pixels, t = torch.zeros(2, 3, 64, 64, device=device), torch.zeros((), dtype=torch.int64, device=device)

        def step():
            controlnet, unet = networks["controlnet"], networks["unet"]
            down, middle = controlnet(x, t, prompts, controlnet_cond=pixels, return_dict=False)
            residuals = {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}
            return unet(x, t, encoder_hidden_states=prompts, **residuals)

        calls = {
            "unet": lambda: networks["unet"](x, t, encoder_hidden_states=prompts),
            "step": step,
            "encode": lambda: networks["vae"].encode(pixels),
            "decode": lambda: networks["vae"].decode(x),
        }
        return calls[part]

    return run


def counted(run):
    with counting() as counter:
        run()
    return counter


def only_op(run) -> Op:
    ((op, n),) = counted(run).work.ops
    assert n == 1
    return op


def test_a_convolution_by_hand():
    layer, x = torch.nn.Conv2d(3, 8, 3, padding=1), torch.zeros(2, 3, 16, 16)
    outputs = 2 * 8 * 16 * 16
    moved = 4 * (2 * 3 * 16 * 16 + 8 * 3 * 3 * 3 + 8 + outputs)
    assert only_op(lambda: layer(x)) == Op("conv3x3", outputs * 3 * 3 * 3 * 2, moved)


def test_a_pointwise_convolution_is_a_matrix_product():
    layer, x = torch.nn.Conv2d(3, 8, 1, bias=False), torch.zeros(1, 3, 4, 4)
    assert only_op(lambda: layer(x)) == Op("linear", 8 * 16 * 3 * 2, 4 * (3 * 16 + 3 * 8 + 8 * 16))


def test_a_linear_layer_by_hand():
    layer, x = torch.nn.Linear(5, 7), torch.zeros(11, 5)
    assert only_op(lambda: layer(x)) == Op("linear", 11 * 7 * 5 * 2, 4 * (11 * 5 + 7 * 5 + 7 + 11 * 7))


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_attention_is_the_fused_kernel_and_never_holds_its_scores(device):
    query, key, value = (torch.zeros(1, 2, length, 8, device=device) for length in (64, 32, 32))
    counter = counted(lambda: F.scaled_dot_product_attention(query, key, value))
    products = 2 * (2 * 64 * 32 * 8 * 2)
    log_sums = 2 * 64
    assert counter.work.ops == ((Op("attention", products, 4 * (2 * 64 * 8 * 2 + 2 * 32 * 8 * 2 + log_sums)), 1),)
    assert counter.peak_live_bytes == 4 * (2 * 64 * 8 + log_sums)


def test_a_mask_of_attention_is_read():
    query = torch.zeros(1, 2, 16, 8, device="meta")
    mask = torch.ones(16, 16, dtype=torch.bool, device="meta")
    plain = counted(lambda: F.scaled_dot_product_attention(query, query, query)).work
    masked = counted(lambda: F.scaled_dot_product_attention(query, query, query, attn_mask=mask)).work
    assert masked.bytes_by_kind["attention"] == plain.bytes_by_kind["attention"] + 4 * 16 * 16


def test_attention_taken_apart_costs_the_same_arithmetic_and_more_memory():
    query = torch.zeros(1, 2, 64, 8)
    fused = counted(lambda: F.scaled_dot_product_attention(query, query, query))
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        apart = counted(lambda: F.scaled_dot_product_attention(query, query, query))
    assert apart.flops == fused.flops
    assert apart.work.flops_by_kind["attention"] == fused.flops
    assert apart.peak_live_bytes >= fused.peak_live_bytes + 4 * 2 * 64 * 64
    assert apart.launches > fused.launches == 1


@pytest.mark.parametrize(
    ("run", "moved"),
    [
        (lambda x: x + x[0], 4 * (12 + 3 + 12)),
        (lambda x: x.add_(1.0), 4 * (12 + 12)),
        (lambda x: torch.add(x, x, out=torch.empty(4, 3)), 4 * (12 + 12 + 12)),
        (lambda x: x.zero_(), 4 * 12),
        (lambda x: torch.empty(4, 3).copy_(x), 4 * (12 + 12)),
        (lambda x: x[:1].expand(4, 3) * 2.0, 4 * (3 + 12)),
        (lambda x: torch.cat([x, x]), 4 * (24 + 24)),
        (lambda x: x.half(), 4 * 12 + 2 * 12),
        (lambda x: F.embedding(torch.zeros(2, dtype=torch.int64, device=x.device), x), 8 * 2 + 4 * (6 + 6)),
    ],
)
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_what_is_read_and_written_is_moved(run, moved, device):
    x = torch.zeros(4, 3, device=device)
    with torch.device(device):
        work = counted(lambda: run(x)).work
    launched = [(op, n) for op, n in work.ops if op.bytes == moved]
    assert launched == [(Op("elementwise", 0, moved), 1)]
    assert work.launches in (1, 2)  # the indices of the embedding are filled first
    assert work.bytes_fused == 0


@pytest.mark.parametrize(
    "run",
    [
        lambda x: x.view(3, 4),
        lambda x: x.t().t().reshape(-1, 1),
        lambda x: x[0].unsqueeze(0).expand(9, 3),
        lambda x: x.chunk(2),
        lambda x: torch.empty_like(x),
        lambda x: x.to(torch.float32).contiguous().detach(),
        lambda x: torch.ops.aten._unsafe_view(x, [12]),
    ],
)
def test_views_and_bare_allocations_launch_nothing(run):
    x = torch.zeros(4, 3)
    assert counted(lambda: run(x)).work == Work()


def test_memory_is_counted_by_storage_until_it_is_freed():
    x = torch.zeros(1024)
    with counting() as counter:
        y = x + 1
        z = y.view(32, 32)[0]
        assert counter.live_bytes == 4096
        del y
        assert counter.live_bytes == 4096
        del z
        assert counter.live_bytes == 0
        y = (x * 2) * 3
    assert (counter.live_bytes, counter.peak_live_bytes, counter.outside_bytes) == (4096, 8192, 4096)
    del y
    assert counter.live_bytes == 4096  # what it was when counting ended


def test_weights_that_are_freed_count_against_what_is_made():
    layer = torch.nn.Linear(64, 64, bias=False)
    with counting() as counter:
        layer.to(torch.float16)
    assert counter.live_bytes == (2 - 4) * 64 * 64
    assert counter.peak_live_bytes == 2 * 64 * 64
    assert counter.outside_bytes == 4 * 64 * 64


def test_inference_mode_counts_like_no_grad(small):
    plain = counted(small("step", "cpu"))
    with torch.inference_mode():
        inference = counted(small("step", "cpu"))
    assert inference.work == plain.work
    assert inference.peak_live_bytes == plain.peak_live_bytes


@pytest.mark.parametrize("part", ["unet", "step", "encode", "decode"])
def test_meta_counts_what_real_tensors_do(small, part):
    real, unreal = counted(small(part, "cpu")), counted(small(part, "meta"))
    assert unreal.work == real.work
    assert unreal.peak_live_bytes == real.peak_live_bytes > 0
    assert unreal.outside_bytes == real.outside_bytes > 0


def test_torch_counts_the_same_arithmetic(small):
    from torch.utils.flop_counter import FlopCounterMode

    def attention(q, k, v, *rest, out_shape=None, **more):
        """Torch 2.14 has none for this operator: both products of every head."""
        return 2 * 2 * q[0] * q[1] * q[2] * k[2] * q[3]

    fused = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    for part in ("step", "encode", "decode"):
        with FlopCounterMode(display=False, custom_mapping={fused: attention}) as theirs:
            small(part, "cpu")()
        assert counted(small(part, "cpu")).flops == theirs.get_total_flops()


def test_what_a_wrapped_tensor_runs_inside_is_counted():
    from torch.testing._internal.two_tensor import TwoTensor

    pair = TwoTensor(torch.zeros(4, 5), torch.zeros(4, 5))
    weight = torch.zeros(5, 6)
    with counting() as counter:
        torch.mm(pair, TwoTensor(weight, weight))
    assert counter.flops == 2 * (4 * 5 * 6 * 2)
    assert counter.launches == 2


def test_tensors_packed_for_onednn_are_counted_and_their_memory_is_said_to_be_unseen():
    layer, x = torch.nn.Conv2d(3, 8, 3, padding=1), torch.zeros(1, 3, 16, 16)
    plain = counted(lambda: layer(x)).work
    weight, bias, packed = (t.detach().to_mkldnn() for t in (layer.weight, layer.bias, x))
    counter = counted(lambda: torch.mkldnn_convolution(packed, weight, bias, [1, 1], [1, 1], [1, 1], 1))
    assert counter.work == plain
    assert counter.unseen == {"torch._mkldnn"} and counter.peak_live_bytes == 0
    weight = torch._C._nn.mkldnn_reorder_conv2d_weight(weight, [1, 1], [1, 1], [1, 1], 1)
    rest = ([1, 1], [1, 1], [1, 1], 1, "none", [], "")
    counter = counted(lambda: torch.ops.mkldnn._convolution_pointwise(x, weight, layer.bias, *rest))
    assert counter.work == plain and not counter.without_formula
    assert counter.peak_live_bytes == 4 * 8 * 16 * 16


def test_an_operator_without_a_formula_is_named():
    with torch.library._scoped_library("sdaug_test", "FRAGMENT") as library:
        library.define("twice(Tensor x, Tensor(a!) y) -> ()")
        library.impl("twice", lambda x, y: y.copy_(x) and None if x.numel() == 1 else None, "CPU")
        x, y = torch.zeros(3), torch.zeros(3)
        with counting() as counter:
            torch.ops.sdaug_test.twice(x, y)
        assert counter.without_formula == {"sdaug_test.twice"}
        assert counter.work.ops == ((Op("elementwise", 0, 4 * (3 + 3 + 3)), 1),)


def test_eight_bit_products_have_a_formula():
    a, b = (torch.zeros(shape, dtype=torch.int8) for shape in ((32, 16), (16, 24)))
    assert counted(lambda: torch._int_mm(a, b)).flops == 32 * 16 * 24 * 2


def test_reading_a_number_back_is_a_launch():
    x = torch.zeros(1)
    assert counted(lambda: x.item()).launches == 1


def test_an_error_inside_ends_the_count():
    with pytest.raises(ZeroDivisionError), counting() as counter:
        kept = torch.zeros(256)
        raise ZeroDivisionError
    del kept
    assert counter.live_bytes == 1024
    torch.zeros(8)
    assert counter.launches == 1


def test_work_adds_up_op_by_op():
    step = Work(((Op("linear", 8, 12), 3), (Op("norm", 0, 5), 1)))
    other = Work(((Op("norm", 0, 5), 2), (Op("elementwise", 0, 7), 1)))
    both = total({step: 2, other: 1})
    assert dict(both.ops) == {Op("linear", 8, 12): 6, Op("norm", 0, 5): 4, Op("elementwise", 0, 7): 1}
    assert (both.flops, both.launches, both.bytes_eager, both.bytes_fused) == (48, 11, 99, 92)
    assert both.flops_by_kind == {"conv3x3": 0, "linear": 48, "attention": 0, "norm": 0, "elementwise": 0}
    assert both.bytes_by_kind["norm"] == 20
