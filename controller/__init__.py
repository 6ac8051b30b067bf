"""TranscriptionJob in, Job and status out."""
