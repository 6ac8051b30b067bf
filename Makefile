# Each target may be run twice, from any clone, and after a kill -9 of all that it started. See dev/.

# lock writes requirements/*.txt from pyproject.toml.

# KUBERNETES=oldest, after any of them, makes the cluster of the oldest Kubernetes that we support; matrix implies it.

.PHONY: demo test matrix bench soak up lint lock down

demo test matrix bench soak up lint lock down:
	@python3 -m dev $@
