"""The REST API: HTTP in, TranscriptionJob out. Run with `python3 -m api`."""
