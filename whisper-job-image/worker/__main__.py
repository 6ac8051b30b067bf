"""Where the pod's process begins; `process` is the rest."""

import signal
import sys


def start(*message_path: str) -> int:
    """Run once; the exit code."""
    # The kernel drops a signal to PID 1 that nobody waits for. What process imports takes seconds, so SIGTERM is held.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    from worker.process import main

    return main(*message_path)


if __name__ == "__main__":
    sys.exit(start(*sys.argv[1:]))
