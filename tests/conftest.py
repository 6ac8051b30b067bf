"""Options of all tests. What is said in the cluster tests differs from run to run and can be said again."""

import secrets

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--speech-seed", type=int, default=secrets.randbelow(1_000_000), help="seed of the spoken words")
    parser.addoption("--soak-size", type=int, default=10_000, help="how many transcriptions the soak runs")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    seed = config.getoption("--speech-seed")
    terminalreporter.write_line(f"the words spoken were those of --speech-seed={seed}")
