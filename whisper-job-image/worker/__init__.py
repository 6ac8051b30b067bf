"""One transcription from media file to stored transcript; runs once in a pod, as `python3 -m worker`."""
