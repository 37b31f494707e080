"""Run the benchmarks that need no data set, in the short form of `make bench`.

python benchmarks/run.py
"""

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
RUNS: tuple[tuple[str, ...], ...] = (
    ("segment.py", "--images", "500"),
    ("loader.py", "--rounds", "3"),
    ("hsnet.py", "--turns", "3", "--queries", "5"),
    ("icnet.py", "--turns", "1"),
    ("memory_update.py", "--rounds", "3"),
)


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    failed = []
    for script, *arguments in RUNS:
        print(f"\n== benchmarks/{script} {' '.join(arguments)}", flush=True)
        if subprocess.run([sys.executable, HERE / script, *arguments], check=False).returncode:
            failed.append(script)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
