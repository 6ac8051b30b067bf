"""The only door to torch and whisper: samples in, Whisper's own result out.

Opened late by `process`, called by the pipeline.
"""

from worker.engine.door import Engine, load

__all__ = ["Engine", "load"]
