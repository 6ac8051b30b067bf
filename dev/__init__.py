"""The dev cluster: `python3 -m dev COMMAND` builds and runs all that a demo or a test needs.

Standard library only, because it runs before anything is installed. The Makefile is its one caller.
"""
