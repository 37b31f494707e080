"""Segment tasks with the default of whatever likewise is imported, and save the masks; `run.py` starts it.

    PYTHONPATH=CHECKOUT/src python experiments/26-then-and-now/answer.py TASKS OUT [OPTION=VALUE ...]

TASKS is a JSON list of tasks: paths of the query and of the example, and of the example's mask as NumPy file. Only
names are used that every commit has.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

from likewise import Example, FewShot


def main() -> None:
    tasks, out = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    options = {name: json.loads(value) for name, value in (given.split("=") for given in sys.argv[3:])}
    few_shot, concepts, times = FewShot(**options), {}, []
    for number, task in enumerate(tasks):
        if task["example"] not in concepts:
            concepts = {task["example"]: few_shot.learn(Example(task["example"], mask=np.load(task["mask"])))}
        image = np.asarray(Image.open(task["query"]).convert("RGB"))
        started = time.process_time()
        mask = few_shot.segment(image, concepts[task["example"]]).mask
        times.append(1000 * (time.process_time() - started))
        np.save(out / f"{number}.npy", np.packbits(np.asarray(mask) > 0))
    (out / "times.json").write_text(json.dumps(times))


if __name__ == "__main__":
    main()
