"""An image whose server ends a moment after its start; it fetches and probes as it should."""

import sys
import time

from inference_server.cli import main

RUNS_SECONDS = 1

if __name__ == "__main__":
    if sys.argv[1:2] in (["fetch"], ["probe"]):
        sys.exit(main())
    time.sleep(RUNS_SECONDS)
    print("inference-server: Fatal error: out of luck", file=sys.stderr)
    sys.exit(70)
