"""Measure HSNet's speed and memory against a plain form of the paper's algorithm (`reference_hsnet.py`).

ResNet-50, 400x400, random weights, an object on a quarter of its image. Reference and ours take turns in one process;
ours has batch norm folded, as `FewShot` uses it. For the 1-shot pair the ratio is the median over turns; for many
queries against one 5-shot concept it is the sum over all queries, encoding included. Wall time and processor time are
printed. They agree on an idle machine; on a busy one read processor time and set OMP_WAIT_POLICY=passive, so that
waiting threads sleep; this costs a third on an idle machine. The floor is the remaining arithmetic at the rate of one
large convolution.

    python benchmarks/hsnet.py [--turns 9] [--queries 100] [--threads 2]
"""

import argparse
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from kernels import process_memory
from reference_hsnet import reference_logits
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from likewise.models import hsnet
from likewise.models.hsnet_inference import encode_support, segment
from likewise.predict.devices import computes_in_bfloat16
from likewise.predict.network_setup import prepare_network

SIZE, SHOTS = 400, 5
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def episode(shots: int) -> tuple[Tensor, Tensor, Tensor]:
    """Support images, masks with an ellipse on a quarter of the image, and a query."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(1, shots + 1, 3, SIZE // 8, SIZE // 8, generator=generator)
    images = F.interpolate(images[0], (SIZE, SIZE), mode="bilinear")[None] * 2
    row, column = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    center, radii = (SIZE / 2, SIZE / 2.2), (SIZE * 0.31, SIZE * 0.257)
    inside = ((row - center[0]) / radii[0]) ** 2 + ((column - center[1]) / radii[1]) ** 2 <= 1
    return images[:, 1:], inside.float().expand(1, shots, -1, -1).contiguous(), images[:, 0]


def network() -> hsnet.HSNet:
    torch.manual_seed(0)
    return hsnet.resnet(50).eval().requires_grad_(False)


def ours(dtype: torch.dtype) -> hsnet.HSNet:
    """Return the network as `likewise.predict` prepares it."""
    return prepare_network(network(), torch.device("cpu"), dtype, fold=True)


def seconds(run: Callable[[], object]) -> tuple[float, float]:
    """On the clock, and of the processors."""
    begin, begin_processor = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - begin, time.process_time() - begin_processor


def processor() -> str:
    """Return the name of the processor and the instruction set that torch uses."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
    return f"{name} ({torch.backends.cpu.get_cpu_capability()})"


def convolution_rate(dtype: torch.dtype) -> float:
    """FLOP in a second of a 3x3 convolution of 128 channels: the best of many."""
    x = torch.randn(4, 128, 50, 50, dtype=dtype).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(128, 128, 3, 3, dtype=dtype).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        best, _ = min(seconds(lambda: F.conv2d(x, weight, padding=1)) for _ in range(50))
    return 2 * x.numel() * 128 * 9 / best


def convolution_flops(x, weight, bias, padding, stride, *_, out_shape=None, **__) -> int:
    """Without the products with padding."""
    pairs = 1
    for length, kernel, pad, step in zip(x[2:], weight[2:], padding, stride, strict=True):
        outputs = range((length + 2 * pad - kernel) // step + 1)
        pairs *= sum(0 <= output * step - pad + tap < length for output in outputs for tap in range(kernel))
    return 2 * x[0] * weight[0] * weight[1] * pairs


def flops(run: Callable[[], object]) -> int:
    counted = {torch.ops.aten.mkldnn_convolution: convolution_flops}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # what is done on other threads is not counted
    with FlopCounterMode(display=False, custom_mapping=counted) as counter:
        run()
    torch.set_num_threads(threads)
    return counter.get_total_flops()


def compare(name: str, reference: Callable[[], Tensor], ours: dict[str, Callable[[], Tensor]], turns: int) -> None:
    expected = reference()
    for label, run in ours.items():
        difference = (run().float() - expected).abs().max() / expected.abs().max()
        print(f"{name}, {label}: largest difference {difference:.1e} of the largest logit")
    times: dict[str, list[tuple[float, float]]] = {label: [] for label in ["reference", *ours]}
    for _ in range(turns):
        times["reference"].append(seconds(reference))
        for label, run in ours.items():
            times[label].append(seconds(run))
    for label, measured in times.items():
        clock, processor = (
            statistics.median(a[kind] / b[kind] for a, b in zip(times["reference"], measured, strict=True))
            for kind in (0, 1)
        )
        best = min(measured)[0] * 1e3
        print(f"{name}, {label:9s}: best {best:7.1f} ms; faster {clock:5.2f} times, {processor:5.2f} by processor time")


def compare_queries(
    count: int,
    query: Tensor,
    reference: Callable[[Tensor], Tensor],
    learn: dict[str, Callable[[], object]],
    ours: dict[str, Callable[[Tensor], Tensor]],
) -> None:
    """Sums over `count` queries, the same image moved by four pixels each time."""

    def note(found: dict[str, Tensor], label: str, run: Callable[[Tensor], Tensor], moved: Tensor) -> None:
        found[label] = run(moved)

    totals = {"reference": [0.0, 0.0], **{label: list(seconds(run)) for label, run in learn.items()}}
    worst = dict.fromkeys(ours, 0.0)
    for index in range(count):
        moved = query.roll(4 * index, dims=-1)
        found: dict[str, Tensor] = {}
        for label, run in {"reference": reference, **ours}.items():
            spent = seconds(partial(note, found, label, run, moved))
            totals[label] = [total + more for total, more in zip(totals[label], spent, strict=True)]
        expected = found["reference"]
        for label in ours:
            difference = (found[label].float() - expected).abs().max() / expected.abs().max()
            worst[label] = max(worst[label], difference.item())
    for label, (clock, processor) in totals.items():
        faster = [before / now for before, now in zip(totals["reference"], (clock, processor), strict=True)]
        difference = f"; largest difference {worst[label]:.1e}" if label in worst else ""
        print(
            f"{count} queries against one {SHOTS}-shot concept, {label:9s}: {clock:7.1f} s; "
            f"faster {faster[0]:5.2f} times, {faster[1]:5.2f} by processor time{difference}"
        )


def peak_memory(what: str) -> int:
    """Bytes above the weights that a fresh process reaches in one pass; on Linux."""
    command = [sys.executable, __file__, "--peak-of", what, "--threads", str(torch.get_num_threads())]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def print_peak_of(what: str) -> None:
    model = network() if what == "reference" else ours(DTYPES[what])
    images, masks, query = episode(1)
    query = query.to(next(model.parameters()).dtype)
    supports = encode_support(model, images[0].to(query.dtype), masks[0].to(query.dtype)) if what != "reference" else []
    Path("/proc/self/clear_refs").write_text("5")  # the highest memory so far counts from here
    before = process_memory("VmRSS")
    for _ in range(2):
        if what == "reference":
            reference_logits(model, images, masks, query)
        else:
            segment(model, query, supports)
    print(process_memory("VmHWM") - before)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--peak-of", choices=["reference", *DTYPES], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.peak_of:
        print_peak_of(arguments.peak_of)
        return
    plain = network()
    cpu = torch.device("cpu")
    dtypes = {label: dtype for label, dtype in DTYPES.items() if dtype == torch.float32 or computes_in_bfloat16(cpu)}
    models = {label: ours(dtype) for label, dtype in dtypes.items()}
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, ResNet-50, {SIZE}x{SIZE}, {processor()}")
    for label in DTYPES.keys() - dtypes.keys():
        print(f"{label}: left out, this processor does not support it")

    images, masks, query = episode(SHOTS)
    learned = {}

    def pair(label: str) -> Tensor:
        model, dtype = models[label], next(models[label].parameters()).dtype
        return segment(model, query.to(dtype), encode_support(model, images[0, :1].to(dtype), masks[0, :1].to(dtype)))

    def keep(label: str) -> None:
        model, dtype = models[label], next(models[label].parameters()).dtype
        learned[label] = encode_support(model, images[0].to(dtype), masks[0].to(dtype))

    def against_concept(label: str, query: Tensor) -> Tensor:
        model, dtype = models[label], next(models[label].parameters()).dtype
        return segment(model, query.to(dtype), learned[label])

    compare(
        "1-shot pair",
        lambda: reference_logits(plain, images[:, :1], masks[:, :1], query),
        {label: lambda label=label: pair(label) for label in models},
        arguments.turns,
    )
    for label in models:  # the first pass is slow
        keep(label)
        against_concept(label, query)
    compare_queries(
        arguments.queries,
        query,
        lambda query: reference_logits(plain, images, masks, query),
        {label: lambda label=label: keep(label) for label in models},
        {label: lambda query, label=label: against_concept(label, query) for label in models},
    )
    counts = {
        "pair": flops(lambda: pair("fp32")),
        "query": flops(lambda: against_concept("fp32", query)),
        "reference's pair": flops(lambda: reference_logits(plain, images[:, :1], masks[:, :1], query)),
    }
    for label, model in models.items():
        rate = convolution_rate(next(model.parameters()).dtype)
        floors = ", ".join(f"{what} {count / rate * 1e3:.0f} ms" for what, count in counts.items())
        print(f"floor at {rate / 1e9:.0f} GFLOP/s ({label}): {floors}")
    for what, count in counts.items():
        print(f"arithmetic of the {what}: {count / 1e9:.1f} GFLOP")
    peaks = {what: peak_memory(what) for what in ("reference", *models)}
    for what, peak in peaks.items():
        share = peak / peaks["reference"]
        print(f"peak memory above the weights, {what}: {peak / 2**20:.0f} MiB, {share:.2f} of the reference")


if __name__ == "__main__":
    main()
