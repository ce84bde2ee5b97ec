"""Full-size Stable Diffusion 1.5, counted: the figures that the budget, the bench and the ladder rely on."""

import pytest
import torch

from sdaug.costmodel.architecture import PARTS, build
from sdaug.costmodel.call import Call, count_call
from sdaug.costmodel.count import counting
from sdaug.costmodel.memory import Plan, allocated_peak, weight_bytes
from sdaug.costmodel.parts import PART_NAMES, count_part
from sdaug.costmodel.work import total

MIB = 2**20


@pytest.mark.parametrize(
    ("part", "millions"),
    [("unet", 859.52), ("controlnet", 361.28), ("vae", 83.65), ("tiny_vae", 2.45), ("text_encoder", 123.06)],
)
def test_networks_have_the_real_number_of_parameters(part, millions):
    network = build(part)
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(millions, abs=0.005)
    assert not network.training and {p.device.type for p in network.parameters()} == {"meta"}


def test_a_network_can_be_built_for_real():
    network = build("tiny_vae", device="cpu", dtype=torch.bfloat16)
    assert {(p.device.type, p.dtype) for p in network.parameters()} == {("cpu", torch.bfloat16)}
    assert float(next(network.parameters()).detach().float().std()) > 0


def test_an_unknown_network_is_refused_with_those_that_exist():
    with pytest.raises(ValueError, match=f"unknown network 'vea'; there are: {', '.join(PARTS)}"):
        build("vea")  # type: ignore[arg-type]


# performance.md, 2a: counted independently, with torch's own counter.
@pytest.mark.parametrize(
    ("part", "batch", "size", "gflop"),
    [
        ("unet", 1, 512, 803.3),
        ("unet", 2, 512, 1606.5),
        ("unet", 1, 256, 180.1),
        ("unet", 1, 384, 423.0),
        ("unet", 1, 768, 2148),
        ("unet_residuals", 1, 512, 803.3),
        ("controlnet", 1, 512, 283.3 - 14.7),
        ("hint", 1, 512, 14.7),
        ("vae_encode", 1, 512, 1116.7),
        ("vae_decode", 1, 512, 2514.5),
        ("tiny_encode", 1, 512, 122.3),
        ("tiny_decode", 1, 512, 141.4),
        ("text_encoder", 1, 512, 13.3),
    ],
)
def test_arithmetic_of_each_part(part, batch, size, gflop):
    assert count_part(part, batch, size).flops / 1e9 == pytest.approx(gflop, rel=1e-3, abs=0.051)


@pytest.mark.parametrize(
    ("part", "mib"), [("unet", 1639.4), ("vae_decode", 94.4), ("tiny_decode", 2.3), ("text_encoder", 234.7)]
)
def test_weights_of_each_part(part, mib):
    assert count_part(part).parameter_bytes / MIB == pytest.approx(mib, abs=0.06)
    assert count_part(part, dtype="float32").parameter_bytes == 2 * count_part(part).parameter_bytes


def test_controlnet_and_its_hint_are_all_of_it():
    parts = [count_part("controlnet"), count_part("hint")]
    assert sum(part.parameters for part in parts) == sum(p.numel() for p in build("controlnet").parameters())


# performance.md, 2a and 2d.
@pytest.mark.parametrize(
    ("part", "batch", "mib"),
    [("unet", 1, 65), ("unet", 2, 130), ("unet", 5, 325), ("unet", 10, 650)]
    + [("vae_decode", 1, 384), ("vae_decode", 5, 1920), ("tiny_decode", 1, 96)],
)
def test_activations_of_each_part(part, batch, mib):
    assert count_part(part, batch).live_bytes / MIB == pytest.approx(mib, abs=0.6)


def test_work_of_a_guided_step():
    """Traffic without elementwise kernels and norms: 3.78 and 1.70 GB in performance.md, 2a."""

    def products(part):
        by_kind = count_part(part, 2).bytes_by_kind
        return (by_kind["conv3x3"] + by_kind["linear"] + by_kind["attention"]) / 1e9

    assert products("unet") == pytest.approx(3.78, abs=0.02)
    assert products("controlnet") + products("hint") == pytest.approx(1.70, abs=0.02)
    unet = count_part("unet", 2)
    assert unet.flops_by_kind["attention"] / 1e9 == pytest.approx(2 * 126.1, rel=1e-3)
    # It counts 888 launches: the 160 more are `_unsafe_view`, which launches nothing.
    assert unet.launches == 728
    # ControlNet gives 12 residuals and one for the middle: an addition each.
    assert count_part("unet_residuals", 2).launches == 728 + 13
    assert unet.bytes_fused < unet.bytes_eager


def test_every_part_counts_all_of_it():
    for name in PART_NAMES:
        cost = count_part(name)
        assert sum(cost.flops_by_kind.values()) == cost.flops > 0
        assert sum(cost.bytes_by_kind.values()) == cost.bytes_eager >= cost.bytes_fused > cost.parameter_bytes * 0.5
        assert cost.live_bytes > 0 and cost.launches > 10


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("unett",), "unknown part 'unett'; there are: unet, "),
        (("unet", 0), "a batch of 0; 1 or more expected"),
        (("unet", 1, 500), "a size of 500 px; a positive multiple of 8 expected"),
        (("unet", 1, 512, "float8"), "unknown dtype 'float8'; there are: float32, "),
    ],
)
def test_what_no_pipeline_runs_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        count_part(*arguments)


STOCK = Call(images=5, unet_guided=20, controlnet_guided=20, hint="every")


def share(call: Call) -> float:
    return count_call(call).flops / count_call(STOCK).flops


def test_a_call_is_the_sum_of_its_parts():
    unet, controlnet, hint = (count_part(name, 2) for name in ("unet_residuals", "controlnet", "hint"))
    once = count_part("vae_encode"), count_part("vae_decode")
    by_hand = total({unet: 100, controlnet: 100, hint: 100, once[0]: 5, once[1]: 5})
    assert dict(count_call(STOCK).ops) == dict(by_hand.ops)
    assert count_call(STOCK).flops / 1e12 == pytest.approx(
        5 * (20 * 2 * (803.3 + 283.3) + 1116.7 + 2514.5) / 1e3, rel=1e-3
    )


def test_a_hint_made_once_is_what_the_same_settings_save():
    same = Call(images=5, unet_guided=20, controlnet_guided=20, batch=5)
    assert share(same) == pytest.approx(0.9878, abs=0.0005)
    assert count_call(same).launches < count_call(STOCK).launches / 4
    assert share(Call(images=5, unet_guided=20, controlnet_guided=20)) == share(same)


@pytest.mark.parametrize(("evaluations", "controlled", "bound"), [(5, 4, 0.12), (10, 6, 0.22)])
def test_the_recommended_recipes_by_arithmetic(evaluations, controlled, bound):
    recipe = Call(images=5, unet=evaluations, controlnet=controlled, vae="tiny", batch=5)
    assert bound * 0.9 < share(recipe) < bound


def test_a_last_smaller_batch_is_counted_as_it_is():
    three = count_call(Call(images=3, unet=1, batch=2))
    assert three.flops == count_call(Call(images=3, unet=1)).flops
    launches = count_part("unet", 2).launches + count_part("unet").launches
    launches += count_part("vae_decode", 2).launches + count_part("vae_decode").launches
    assert three.launches == launches + 3 * count_part("vae_encode").launches


def test_a_remembered_source_and_prompts_are_counted_apart():
    call = dict(images=1, unet=1)
    plain = count_call(Call(**call)).flops
    assert plain - count_call(Call(**call, source=False)).flops == count_part("vae_encode").flops
    assert count_call(Call(**call, prompts=2)).flops - plain == 2 * count_part("text_encoder").flops


@pytest.mark.parametrize(
    "counts", [dict(images=0, unet=1), dict(images=1), dict(images=1, unet=1, controlnet=2), dict(images=1, unet=-1)]
)
def test_a_call_that_cannot_be_is_refused(counts):
    with pytest.raises(ValueError, match="expected|only where the UNet does"):
        Call(**counts)


FIVE = dict(images=5, vae_slicing=True, encoder_freed=True)


# Issue: GB = 10^9, float16, text encoder absent, FaceID apart.
@pytest.mark.parametrize(
    ("plan", "bound"),
    [
        (Plan(**FIVE), 3.0),
        (Plan(**FIVE, vae="tiny"), 2.9),
        (Plan(**FIVE, vae="tiny", fp8_storage=True), 1.75),
        (Plan(images=1, vae="tiny"), 2.6),
    ],
)
def test_memory_aimed_at(plan, bound):
    assert bound * 0.94 < allocated_peak(plan).bytes / 1e9 <= bound


# performance.md, 2d. Ours adds what a call holds on to: hints of 2.5 MiB an image, noise, prompts.
@pytest.mark.parametrize(("images", "guided", "mib"), [(1, False, 83), (1, True, 166), (5, False, 415), (5, True, 830)])
def test_activations_of_a_step(images, guided, mib):
    peak = allocated_peak(Plan(images=images, guided=guided))
    activations = (peak.phases["denoise"] - sum(peak.weights.values())) / MIB
    hints = 2.5 * images * (2 if guided else 1)
    assert activations == pytest.approx(
        mib + hints, abs=0.002 * mib + 0.4 * images + 1 + (2.5 * images if guided else 0)
    )


def test_residuals_live_between_controlnet_and_unet():
    with_controlnet, without = (allocated_peak(Plan(controlnet=controlnet)) for controlnet in (True, False))
    held = [peak.phases["denoise"] - sum(peak.weights.values()) for peak in (with_controlnet, without)]
    residuals = 2 * sum(320 * n for n in (4096, 4096, 4096, 1024)) + 2 * sum(640 * n for n in (1024, 1024, 256))
    residuals += 2 * 1280 * (256 + 256 + 64 + 64 + 64 + 64)
    assert held[0] - held[1] >= residuals
    assert "hint" not in without.phases and "controlnet" not in without.weights


def test_levers_on_the_vae():
    def decoding(**options):
        peak = allocated_peak(Plan(**options))
        return (peak.phases["decode"] - sum(peak.weights.values())) / MIB

    hints = 2.5 * 5
    assert decoding(images=5) == pytest.approx(1920 + hints, abs=1.5)
    assert decoding(images=5, vae_slicing=True) == pytest.approx(390 + hints, abs=1.5)
    assert decoding(vae_tile=256) == pytest.approx(97 + 2.5, abs=1)
    assert decoding(vae_tile=384) == pytest.approx(216 + 2.5, abs=1)
    assert decoding(vae_tile=512) == decoding()


def test_the_encoder_is_there_until_it_has_encoded():
    kept, freed = (allocated_peak(Plan(encoder_freed=freed)) for freed in (False, True))
    encoder = count_part("vae_encode").parameter_bytes
    assert kept.phases["encode"] == freed.phases["encode"]
    for phase in ("hint", "denoise", "decode"):
        assert kept.phases[phase] - freed.phases[phase] == encoder


def test_weights_kept_in_eight_bits():
    plain, fp8, int8 = (
        allocated_peak(Plan(**FIVE, vae="tiny", **how)) for how in ({}, {"fp8_storage": True}, {"int8_linear": True})
    )
    # Norms keep theirs: 0.02 % of a UNet.
    assert fp8.weights["unet"] / plain.weights["unet"] == pytest.approx(0.5, abs=0.001)
    # performance.md, 2d: 381 MiB of UNet and ControlNet.
    saved = sum(plain.weights.values()) - sum(int8.weights.values())
    assert saved / MIB == pytest.approx(381, abs=2)
    # One layer at a time is wide: 56 MiB the largest convolution.
    for narrow in (fp8, int8):
        wide = narrow.phases["denoise"] - sum(narrow.weights.values())
        assert 0 <= wide - (plain.phases["denoise"] - sum(plain.weights.values())) < 60 * MIB


def test_a_text_encoder_that_stays_is_there_throughout():
    absent, present = (allocated_peak(Plan(text_encoder=stays)) for stays in (False, True))
    added = {phase: present.phases[phase] - absent.phases[phase] for phase in absent.phases}
    assert set(added.values()) == {weight_bytes(build("text_encoder", dtype=torch.float16))}


def test_the_phase_that_needs_most_is_named():
    assert allocated_peak(Plan()).phase == "decode"
    assert allocated_peak(Plan(vae="tiny")).phase == "encode"
    assert allocated_peak(Plan(images=5, vae="tiny", vae_slicing=True)).phase == "denoise"
    peak = allocated_peak(Plan())
    assert peak.bytes == peak.phases["decode"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(images=0), "a batch of 0"),
        (dict(fp8_storage=True, int8_linear=True), "one of them expected"),
        (dict(vae_tile=100), "vae_tile 100; a multiple of 8"),
        (dict(size=510), "a size of 510"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Plan(**options)


def test_casting_layer_by_layer_leaves_nothing_behind():
    unet = build("unet", dtype=torch.float16)
    unet.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=torch.float16)
    x = torch.zeros(1, 4, 16, 16, dtype=torch.float16, device="meta")
    prompts = torch.zeros(1, 77, 768, dtype=torch.float16, device="meta")
    with torch.no_grad(), counting() as counter:
        unet(x, torch.zeros((), device="meta"), encoder_hidden_states=prompts)
    assert counter.live_bytes == 0
    assert counter.peak_live_bytes > 2 * 2560 * 1280 * 9


def test_settings_need_no_torch():
    import subprocess
    import sys

    code = (
        "import sys; from sdaug.costmodel import architecture, call, memory, parts, work\n"
        "memory.Plan(), call.Call(images=1, unet=1)\n"
        "assert not {'torch', 'diffusers', 'transformers'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
