"""The stages of the pipeline and its commands."""

import gc

# Imports make objects that stay, and are walked through again and again by a collection every 700 of them: a seventh of
# the time in which torch and pandas are imported. Rarer, what is left in cycles is still small.
gc.set_threshold(5_000, *gc.get_threshold()[1:])
