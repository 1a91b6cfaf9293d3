"""What all tests share."""

from hypothesis import settings

# How long an example takes depends on what else the machine does.
settings.register_profile("pyhybrid", deadline=None)
settings.load_profile("pyhybrid")
# For tests that are run once more elsewhere: --hypothesis-profile=again
settings.register_profile("again", deadline=None, max_examples=25)
