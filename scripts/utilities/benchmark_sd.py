"""The mission's benchmark of its four configurations: `sdaug bench configurations`, under the name it asked for.

python scripts/utilities/benchmark_sd.py [--model-id ...] [--device cuda|cpu] [--json]
"""

import sys

from sdaug.cli import main

if __name__ == "__main__":
    main(["bench", "configurations", *sys.argv[1:]])
