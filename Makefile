# Each target may be run twice, from any clone, and after a kill -9 of all that it started. See dev/.

.PHONY: demo test up lint down

demo test up lint down:
	@python3 -m dev $@
