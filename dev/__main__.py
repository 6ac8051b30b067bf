"""`python3 -m dev COMMAND`: the dev cluster's commands. Called by the Makefile."""

import sys

from dev import commands, kustomize, state
from dev.docker import EngineError
from dev.process import ProgramError
from dev.s3_request import S3Error
from dev.storage import StorageError

COMMANDS = {
    "up": commands.up,
    "demo": commands.demo,
    "test": commands.test,
    "matrix": commands.matrix,
    "bench": commands.bench,
    "soak": commands.soak,
    "lint": commands.lint,
    "lock": commands.lock,
    "kustomize": kustomize.write,
    "down": commands.down,
}


def main(arguments: list[str]) -> int:
    """Run one command under the machine's lock; its exit code says whether it worked."""
    if len(arguments) != 1 or arguments[0] not in COMMANDS:
        print(f"usage: python3 -m dev {'|'.join(COMMANDS)}", file=sys.stderr)
        return 2
    try:
        with state.lock():
            COMMANDS[arguments[0]]()
    except (state.StateError, ProgramError, EngineError, S3Error, StorageError, OSError) as error:
        print(f"\ndev: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
