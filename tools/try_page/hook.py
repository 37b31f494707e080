"""MkDocs hook: add to site/try what docs/try runs, which is not in its folder.

onnxruntime-web comes from node_modules beside this file (`npm ci --prefix tools/try_page`), the networks from the
package, and the sample photographs from scikit-image. `vendor/files.json` lists them for the page.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from PIL import Image
from skimage import data

from likewise.weights.names import PANET_LITE0, SELECTOR_LITE0

HERE = Path(__file__).parent
NODE_MODULES = HERE / "node_modules/onnxruntime-web"
NETWORKS = {
    "backbone": PANET_LITE0[1]["backbone"],
    "weights": PANET_LITE0[0],
    "selector": SELECTOR_LITE0,
}
"""The backbone's graph, the file that it refers to, and the network that reads marks."""
BUILDS = {
    "wasm": ("ort.wasm.min.mjs", "ort-wasm-simd-threaded"),
    "webgpu": ("ort.webgpu.min.mjs", "ort-wasm-simd-threaded.asyncify"),
}
"""ONNX Runtime Web's module, and the stem of its WebAssembly, on the processor and on a graphics card."""


def on_post_build(config: Any) -> None:
    """Write vendor/ and samples/ beside the page."""
    if not NODE_MODULES.is_dir():
        raise PluginError(f"{NODE_MODULES}: no such folder; run `npm ci --prefix tools/try_page`, or `make docs`")
    page = Path(config["site_dir"]) / "try"
    vendor = page / "vendor"
    shutil.rmtree(vendor, ignore_errors=True)
    vendor.mkdir()
    files = [*NETWORKS.values()]
    for module, stem in BUILDS.values():
        files += [NODE_MODULES / "dist" / name for name in (module, f"{stem}.mjs", f"{stem}.wasm")]
    for file in files:
        shutil.copyfile(file, vendor / file.name)
    manifest = {
        "version": json.loads((NODE_MODULES / "package.json").read_text(encoding="utf-8"))["version"],
        **{name: file.name for name, file in NETWORKS.items()},
        **{name: {"module": module, "wasm": f"{stem}.wasm"} for name, (module, stem) in BUILDS.items()},
        "sizes": {file.name: file.stat().st_size for file in files},
    }
    (vendor / "files.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")

    samples = page / "samples"
    samples.mkdir(exist_ok=True)
    left, right, _ = data.stereo_motorcycle()
    for name, image in {"motorcycle-left": left, "motorcycle-right": right}.items():
        Image.fromarray(image).save(samples / f"{name}.jpg", quality=92)
