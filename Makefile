# Each target may be run twice, from any clone, and after a kill -9 of all that it started. See dev/.

# lock writes requirements/*.txt from pyproject.toml.

.PHONY: demo test bench soak up lint lock down

demo test bench soak up lint lock down:
	@python3 -m dev $@
