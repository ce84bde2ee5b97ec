"""The time model: against kernels worked out by hand, against physics, and against what others published."""

import json
import math
import re
from dataclasses import replace
from importlib.resources import files

import pytest
import yaml

from sdaug.costmodel import published
from sdaug.costmodel.call import Call, count_call
from sdaug.costmodel.device import Device, device_names, load_device, read_device
from sdaug.costmodel.figures import Figure, Interval, read_figure
from sdaug.costmodel.parts import count_part
from sdaug.costmodel.predict import predict
from sdaug.costmodel.roofline import bound_by, floor_seconds, roof_seconds, seconds
from sdaug.costmodel.work import KINDS, Op, Work

JETSONS = ("orin-agx-64", "orin-agx-32", "orin-agx-kit-32", "orin-nx-16", "orin-nano-8")


def figure(value, low=None, high=None):
    return Figure(value, low or value, high or value, "a test")


@pytest.fixture
def simple() -> Device:
    """10 TFLOPS in float16, 100 GB/s, half of the roofline attained when eager, 1 us a launch."""
    return Device(
        name="simple", title="Simple", memory_gb=1, unified_memory=True, reserved_gb=figure(1.0),
        peak={"float16": figure(20.0), "int8": figure(40.0), "tf32": figure(8.0), "float32": figure(2.0)},
        roof={"float16": figure(10.0, 5.0), "int8": figure(20.0), "tf32": figure(4.0), "float32": figure(1.0)},
        bandwidth_peak=figure(200.0), bandwidth=figure(100.0), launch_us=figure(1.0, 0.5, 2.0),
        efficiency={"eager": figure(0.5, 0.25, 1.0), "compiled": figure(0.8), "engine": figure(1.0)},
        storage_gb_s=figure(1.0),
    )  # fmt: skip


def work(*ops) -> Work:
    return Work(tuple((Op(kind, flops, moved), n) for kind, flops, moved, n in ops))


def test_each_kernel_takes_as_long_as_its_longer_bound(simple):
    heavy = work(("conv3x3", 10**12, 10**6, 1))
    assert seconds(heavy, simple, "float16").predicted == pytest.approx(0.1 / 0.5)
    wide = work(("norm", 0, 10**9, 3))
    assert seconds(wide, simple, "float16").predicted == pytest.approx(3 * 0.01 / 0.5)
    # Together they are the sum: two kernels run one after the other, the bounds of one do not hide the other's.
    both = work(("conv3x3", 10**12, 10**6, 1), ("norm", 0, 10**9, 3))
    assert seconds(both, simple, "float16").predicted == pytest.approx((0.1 + 0.03) / 0.5)
    assert bound_by(heavy, simple, "float16") == "arithmetic" and bound_by(wide, simple, "float16") == "traffic"


def test_many_small_kernels_wait_for_the_processor_unless_they_are_captured(simple):
    small = work(("elementwise", 0, 100, 10_000))
    assert seconds(small, simple, "float16").predicted == pytest.approx(10_000e-6)
    assert bound_by(small, simple, "float16") == "launch"
    assert seconds(small, simple, "float16", "graphs").predicted == pytest.approx(10_000 * 1e-9 / 0.5)


def test_a_compiler_fuses_elementwise_kernels_and_nothing_else(simple):
    mixed = work(("elementwise", 0, 10**9, 1), ("norm", 0, 10**9, 1), ("linear", 10**12, 10**6, 1))
    assert seconds(mixed, simple, "float16", "compiled").predicted == pytest.approx((0.01 + 0.1) / 0.8)


@pytest.mark.parametrize(("kind", "tflops"), [("conv3x3", 4.0), ("linear", 1.0), ("attention", 1.0)])
def test_float32_convolves_in_tf32_and_multiplies_in_float32(simple, kind, tflops):
    one = work((kind, 10**12, 1, 1))
    assert seconds(one, simple, "float32").predicted == pytest.approx(1 / tflops / 0.5)


def test_an_int8_engine_moves_half_the_bytes_where_it_computes_in_int8(simple):
    one = work(("linear", 0, 10**9, 1), ("attention", 0, 10**9, 1))
    assert seconds(one, simple, "int8", "engine").predicted == pytest.approx(0.005 + 0.01)
    busy = work(("linear", 10**12, 1, 1), ("attention", 10**12, 1, 1))
    assert seconds(busy, simple, "int8", "engine").predicted == pytest.approx(0.05 + 0.1)


def test_an_interval_adds_what_each_figure_may_be_off_as_the_root_of_squares(simple):
    found = seconds(work(("linear", 10**12, 1, 1)), simple, "float16")
    # Towards shorter only the efficiency can move, to twice as much; towards longer it and the roof each halve.
    assert found.predicted == pytest.approx(0.1 / 0.5)
    assert found.low == pytest.approx(0.2 / 2)
    assert found.high == pytest.approx(0.2 * 2 ** math.sqrt(2))


def test_operator_classes_have_efficiencies_of_their_own(simple):
    half = replace(simple, classes={"attention": figure(0.5)})
    one = work(("attention", 10**12, 1, 1), ("linear", 10**12, 1, 1))
    assert seconds(one, half, "float16").predicted == pytest.approx((0.2 + 0.1) / 0.5)


def test_floors_take_the_fastest_units_that_a_format_may_use(simple):
    assert floor_seconds(8e12, simple, "float32") == pytest.approx(1.0)
    assert floor_seconds(20e12, simple, "float16") == pytest.approx(1.0)
    assert roof_seconds(20e12, simple, "float16") == pytest.approx(2.0)
    assert floor_seconds(40e12, simple, "int8") == pytest.approx(1.0)
    with pytest.raises(ValueError, match="simple has no peak figure for bfloat16; there are: float16, int8"):
        floor_seconds(1.0, simple, "bfloat16")


def test_what_nothing_is_known_of_is_an_error(simple):
    with pytest.raises(ValueError, match="simple has no roof for bfloat16; there are: float16"):
        seconds(work(("linear", 1, 1, 1)), simple, "bfloat16")
    with pytest.raises(ValueError, match="simple has no efficiency for 'engine'; there are: eager"):
        seconds(work(("linear", 1, 1, 1)), replace(simple, efficiency={"eager": figure(1.0)}), "float16", "engine")


# -- the data files


def every_figure(device: Device):
    yield from (device.reserved_gb, device.bandwidth_peak, device.bandwidth, device.launch_us, device.storage_gb_s)
    for group in (device.peak, device.roof, device.efficiency, device.classes):
        yield from group.values()


@pytest.mark.parametrize("name", device_names())
def test_every_device_is_complete_and_stays_below_its_peak(name):
    device = load_device(name)
    assert {"float32", "tf32", "float16", "bfloat16", "int8"} == set(device.peak) == set(device.roof)
    assert {"eager", "compiled", "engine"} <= set(device.efficiency)
    for precision, roof in device.roof.items():
        assert roof.high <= device.peak[precision].value * 1.001, precision
    assert device.bandwidth.high <= device.bandwidth_peak.value * 1.001
    for one in every_figure(device):
        assert len(one.source) > 7 and one.low <= one.value <= one.high
    assert set(device.classes) <= set(KINDS)


@pytest.mark.parametrize("name", JETSONS)
def test_power_modes_scale_what_they_slow(name):
    device = load_device(name)
    assert device.mode == next(iter(device.modes)) and len(device.modes) >= 3
    for mode, shares in device.modes.items():
        slower = load_device(f"{name}:{mode}")
        for precision, peak in slower.peak.items():
            assert peak.value == pytest.approx(device.peak[precision].value * shares.gpu)
        assert slower.bandwidth.value == pytest.approx(device.bandwidth.value * shares.memory)
        assert slower.launch_us.value == pytest.approx(device.launch_us.value / shares.cpu)


@pytest.mark.parametrize(
    ("name", "tflops"),
    [
        ("orin-agx-64", 42.6), ("orin-agx-64:50W", 26.7), ("orin-agx-64:30W", 10.0), ("orin-agx-64:15W", 5.01),
        ("orin-agx-kit-32", 42.6), ("orin-nx-16:MAXN_SUPER", 19.2), ("orin-nano-8:MAXN_SUPER", 16.7),
    ],
)  # fmt: skip
def test_peaks_of_the_power_modes(name, tflops):
    """Derived from the clocks and the TPC that are on."""
    assert load_device(name).peak["float16"].value == pytest.approx(tflops, rel=0.005)


def test_unknown_devices_and_modes_are_refused_with_what_exists():
    with pytest.raises(ValueError, match="unknown device 'orin-agx'; did you mean 'orin-agx-(32|64)'"):
        load_device("orin-agx")
    with pytest.raises(ValueError, match=r"orin-agx-64 has no power mode '60W'; .*there are: 15W, 30W, 50W, MAXN"):
        load_device("orin-agx-64:60W")
    with pytest.raises(ValueError, match="rtx-4080 has no power mode 'MAXN'"):
        load_device("rtx-4080:MAXN")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (3.0, "a mapping with value, source"),
        ({"value": 1.0}, "a mapping with value, source"),
        ({"value": 1.0, "source": " "}, "a source expected"),
        ({"value": 1.0, "low": 2.0, "source": "x"}, "expected 0 < low <= value <= high"),
        ({"value": 0.0, "source": "x"}, "expected 0 < low"),
        ({"value": 1.0, "source": "x", "lo": 0.5}, "a mapping with value"),
    ],
)
def test_a_figure_without_a_source_or_order_is_refused(entry, message):
    with pytest.raises(ValueError, match="^here.*" + re.escape(message)):
        read_figure("here", entry)


def test_a_device_file_with_a_wrong_entry_is_refused():
    with pytest.raises(ValueError, match="device x: .*title.*missing or unknown"):
        read_device("x", {"speed": 3})
    card = yaml.safe_load((files("sdaug.costmodel") / "devices/rtx-4080.yaml").read_text())
    with pytest.raises(ValueError, match="device x: context_gb expected where memory is unified, and nowhere else"):
        read_device("x", card | {"unified_memory": True})


# -- full-size SD1.5


@pytest.fixture(scope="module")
def orin() -> Device:
    return load_device("orin-agx-64")


STOCK = Call(images=1, unet_guided=20, controlnet_guided=20)


def test_twenty_guided_steps_cannot_be_had_under_the_roof(orin):
    """The issue's 1.35 s, at the measured roof in float16; 1.08 at the datasheet's peak (performance.md, 2c)."""
    found = predict(STOCK, orin)
    assert 1.35 <= found.roof_s <= 1.38 and found.floor_s == pytest.approx(1.09, abs=0.01)
    assert found.floor_s < found.roof_s < found.seconds.low < found.seconds.predicted < found.seconds.high
    assert sum(one.predicted for one in found.stages.values()) == pytest.approx(found.seconds.predicted)
    assert set(found.stages) == {"encode", "hint", "controlnet", "unet", "decode"}


@pytest.mark.parametrize("device", device_names())
@pytest.mark.parametrize("runtime", ["eager", "graphs", "compiled", "engine"])
def test_no_prediction_beats_physics_and_no_interval_is_wider_than_two_and_a_half(device, runtime):
    machine = load_device(device)
    for call in (STOCK, Call(images=1, unet=4, controlnet=4, vae="tiny")):
        found = predict(call, machine, runtime)
        assert found.seconds.low >= found.floor_s
        assert found.seconds.high / found.seconds.low <= 2.5
        assert found.flops == count_call(call).flops


def test_guidance_batch_and_the_tiny_vae_cost_what_they_must(orin):
    def took(**options):
        return predict(Call(**{"images": 1, "unet": 4, "controlnet": 4} | options), orin).seconds.predicted

    assert took(unet=0, controlnet=0, unet_guided=4, controlnet_guided=4) > 1.4 * took()
    assert took(vae="tiny") < 0.75 * took()
    five = took(images=5, batch=5)
    assert five < 0.95 * took(images=5) and five == pytest.approx(5 * took(), rel=0.25)


def test_attention_slicing_costs_what_it_was_counted_to_cost():
    """performance.md, 3: traffic of a guided UNet step 8.3 to 24.5 GB (with views that count here as none: less)."""
    from sdaug.costmodel.networks import Variant

    plain, sliced = (count_part("unet", 2, variant=Variant(attention_slice=how)) for how in (None, "auto"))
    assert sliced.flops == plain.flops
    assert 2.2 < sliced.bytes_eager / plain.bytes_eager < 3.5
    assert sliced.live_bytes / 2**20 == pytest.approx(317, rel=0.03)
    assert sliced.launches > 1.7 * plain.launches


def test_widening_weights_of_8_bits_is_counted(orin):
    from sdaug.costmodel.networks import Variant

    narrow = Variant(storage="fp8")
    step = [count_part(part, 1, variant=how) for how in (Variant(), narrow) for part in ("unet", "controlnet")]
    more = sum(one.bytes_eager for one in step[2:]) - sum(one.bytes_eager for one in step[:2])
    weights = sum(one.parameters for one in step[:2])
    # 1 byte read and 2 written on the way in; 2 read and 1 written on the way back.
    assert more / weights == pytest.approx(6, rel=0.03)
    assert step[2].flops == step[0].flops


# -- what others published


@pytest.fixture(scope="module")
def compared():
    return published.compare()


def test_the_listed_desktop_figures_are_predicted_by_the_others(compared):
    """Issue: RTX 4080 under TensorRT and stable-fast within 10 %, each left out of the fit that predicts it."""
    engines = [row for row in compared if (row.published.device, row.published.runtime) == ("rtx-4080", "engine")]
    assert len(engines) == 3 and all(row.fitted_to == 2 for row in engines)
    assert max(abs(row.error) for row in engines) <= 0.05


def test_ratios_with_and_without_controlnet_need_no_fit():
    ratios = published.compare_ratios()
    listed = [row for row in ratios if 1.38 <= row.measured <= 1.53]
    assert len(listed) == 8 and {row.device for row in listed} == {"rtx-4080", "h100-sxm", "a100-80-sxm", "rtx-4090"}
    assert max(abs(row.error) for row in listed) <= 0.10
    # The one that is not listed: a compiler that did little for ControlNet. It must not look well predicted.
    (odd,) = [row for row in ratios if row not in listed]
    assert (odd.device, odd.runtime) == ("rtx-4080", "compiled") and odd.error < -0.2


def test_published_times_on_an_orin_lie_inside_the_intervals(compared):
    orin = [row for row in compared if row.published.device == "orin-agx-64"]
    inside = {
        (row.published.model, row.published.runtime, row.published.steps, row.measured_s) for row in orin if row.inside
    }
    assert ("sdxl", "engine", 20, 9.944) in inside
    assert {("sd15", "eager", 20, 2.2), ("sd15", "engine", 20, 2.2), ("sd15", "engine", 30, 2.2)} <= inside
    assert all(row.fitted_to == 0 for row in orin)
    # The round before took longer than anything that is thought likely of TensorRT.
    assert ("sdxl", "engine", 20, 12.928) not in inside


def test_a_measurement_counts_once_and_not_where_a_prior_has_seen_it(compared):
    guesses = [row.published for row in compared if row.measured_s == 2.2]
    assert [(one.runtime, one.seen) for one in guesses] == [("eager", False), ("engine", True), ("engine", True)]
    assert "2.2 s" in load_device("orin-agx-64").efficiency["engine"].source, "what `seen` is about"
    assert published.held(compared) == (19, len(compared) - 2) == (19, 22)


def test_sdxl_is_counted_as_published():
    """performance.md, 2a: 13 522.5 GFLOP a guided step, 10 470 to decode 1024 px; 280.9 TFLOP for 20 steps."""
    from sdaug.costmodel.sdxl import count_image, count_unet

    assert count_unet().flops / 1e9 == pytest.approx(13522.5, rel=1e-3)
    assert count_image(20).flops / 1e12 == pytest.approx(280.9, rel=2e-3)


def test_device_files_hold_what_is_fitted():
    known = [one for one in published.read_published() if one.it_s is not None]
    checked = 0
    for device, runtime in sorted({(one.device, one.runtime) for one in known}):
        own = [one for one in known if (one.device, one.runtime) == (device, runtime)]
        found = published.fitted(load_device(device), runtime, own).efficiency[runtime].value
        held = load_device(device).efficiency[runtime]
        assert held.value == pytest.approx(found, rel=0.01), (device, runtime)
        checked += 1
    assert checked == 9


def test_fitting_to_nothing_is_refused(orin):
    with pytest.raises(ValueError, match="no figure of orin-agx-64 and eager to fit to"):
        published.fitted(orin, "eager", [])


def test_intervals_add_end_by_end():
    assert Interval(2, 1, 4) + Interval(1, 1, 1) == Interval(3, 2, 5)
    assert Interval(2, 1, 4).times(2.5) == Interval(5, 2.5, 10)
    assert math.isclose(figure(2.0, 1.0, 4.0).scaled(0.5).high, 2.0)


def test_the_command_compares_what_was_published(sdaug):
    report = json.loads(sdaug("bench", "published", "--json").out)
    assert len(report["times"]) == len(published.compare()) and len(report["ratios"]) == len(published.compare_ratios())
    shown = sdaug("bench", "published")
    assert report["coverage"] == {"inside": 19, "measurements": 22, "stated": 0.9}
    assert "inside the interval: 19 of 22 measurements" in shown.out and "known to the device's file" in shown.out
    assert shown.code == 0 and "rtx-4080 engine sd15" in shown.out and "ControlNet makes a step" in shown.out
