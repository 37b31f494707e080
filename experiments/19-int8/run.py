"""Is an int8 backbone as accurate, and faster?

    python experiments/19-int8/run.py --data PASCAL [--count 200]

The backbone of panet-lite0 is quantised by ONNX Runtime: static, 8-bit weights for each channel, 8-bit activations,
calibrated on training images of PASCAL-5i's fold 0. The default model runs with each backbone, and on torch, on the
same episodes of likewise-1. Processor time of one image on one thread is the median over turns.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from likewise import FewShot
from likewise.data.pascal import pascal5i
from likewise.engine.onnx import OnnxBackbone
from likewise.evaluate import loops
from likewise.evaluate.protocols import find_protocol
from likewise.evaluate.run import start_run
from likewise.evaluate.segmenter import episode_segmenter, predictor_options
from likewise.io.images import read_image
from likewise.io.resize import resize_image
from likewise.predict.heads.prototypes import PrototypesHead
from likewise.weights import PRETRAINED

MODEL = PRETRAINED / "panet-lite0.onnx"
CALIBRATION = 48
SIDES = ((256, 384), (288, 352), (384, 256))


class Photographs(CalibrationDataReader):
    """Training images at the sizes that the network sees."""

    def __init__(self, paths: list[Path]) -> None:
        self.rest = iter(paths)
        self.count = 0

    def get_next(self) -> dict[str, np.ndarray] | None:
        path = next(self.rest, None)
        self.count += 1
        return None if path is None else {"images": resize_image(read_image(path), *SIDES[self.count % 3])[None]}


def quantise(paths: list[Path], out: Path, *, reduce_range: bool) -> Path:
    """Write the quantised backbone with the metadata of the original."""
    folded, prepared = out.with_suffix(".folded.onnx"), out.with_suffix(".prepared.onnx")
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folded)
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    onnxruntime.InferenceSession(MODEL, options, providers=["CPUExecutionProvider"])
    quant_pre_process(folded, prepared, skip_symbolic_shape=True)
    quantize_static(
        prepared,
        out,
        Photographs(paths),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        reduce_range=reduce_range,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=CalibrationMethod.MinMax,
        op_types_to_quantize=["Conv", "Add"],
    )
    model = onnx.load(out)
    onnx.helper.set_model_props(model, {entry.key: entry.value for entry in onnx.load(MODEL).metadata_props})
    onnx.save(model, out)
    return out


def milliseconds(files: dict[str, Path], turns: int = 15) -> dict[str, float]:
    """Return the processor time of one image with each backbone, on one thread, in turns."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    sessions = {
        name: onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        for name, path in files.items()
    }
    image = np.random.default_rng(0).integers(0, 256, (1, 288, 352, 3), dtype=np.uint8)
    times: dict[str, list[float]] = {name: [] for name in files}
    for _ in range(turns):
        for name, session in sessions.items():
            start = time.process_time()
            session.run(None, {"images": image})
            times[name].append(1000 * (time.process_time() - start))
    return {name: statistics.median(own) for name, own in times.items()}


def mean_iou(few_shot: FewShot, data: Path, count: int) -> float:
    """Return the mIoU of fold 0 under likewise-1, in percent."""
    with tempfile.TemporaryDirectory() as folder:
        run = start_run(folder, protocol_name="likewise-1", data=data, model=few_shot.settings, fold="0", count=count)
        loops.predict(run, episode_segmenter(few_shot, run.protocol))
        return 100 * loops.score(run).parts[0].scores.values["mIoU"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with VOC2012 and splits")
    parser.add_argument("--count", type=int, default=200, help="episodes")
    arguments = parser.parse_args()
    training = pascal5i(arguments.data, 0, split="trn", drop_leaking=True)
    names = sorted(training.classes_of)
    chosen = np.random.default_rng(0).permutation(len(names))[:CALIBRATION]
    paths = [training.image_path(names[index]) for index in chosen]
    with tempfile.TemporaryDirectory() as folder:
        files = {"float32": MODEL}
        for name, reduce_range in (("int8", False), ("int8, 7-bit weights", True)):
            files[name] = quantise(paths, Path(folder) / f"{len(files)}.onnx", reduce_range=reduce_range)
        times = milliseconds(files)
        result = {name: {"MB": path.stat().st_size / 1e6, "ms": times[name]} for name, path in files.items()}
        for name, path in files.items():
            few_shot = FewShot(quality="fast", edges=False)
            few_shot.head = PrototypesHead(OnnxBackbone(path))
            result[name]["mIoU"] = mean_iou(few_shot, arguments.data, arguments.count)
            print(name, result[name], flush=True)
    by_torch = FewShot(device="cpu", **predictor_options(find_protocol("likewise-1")))
    result["float32 on torch"] = {"mIoU": mean_iou(by_torch, arguments.data, arguments.count)}
    print(result["float32 on torch"])
    command = f"python experiments/19-int8/run.py --data PASCAL --count {arguments.count}"
    text = json.dumps({"command": command, "onnxruntime": onnxruntime.__version__, "rows": result}, indent=1)
    Path(__file__).with_name("result.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
