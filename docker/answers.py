"""Whether a service of this container answers: the health check of the images.

    python answers.py API_PORT 8000 /health/ready

The port is what the variable says, else the number after it. Exit code 0 for an answer of 200.
Standard library only, because it runs every few seconds and must cost little.
"""

import os
import sys
import urllib.error
import urllib.request

PATIENCE = 5.0
"""Seconds that an answer may take."""


def main() -> int:
    """Ask; 0 when the answer is 200, else 1 with the reason."""
    variable, default, path = sys.argv[1:]
    address = f"http://127.0.0.1:{os.environ.get(variable) or default}{path}"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(address, timeout=PATIENCE) as answer:
            return 0 if answer.status == 200 else 1
    except (OSError, urllib.error.URLError) as error:
        print(f"{address}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
