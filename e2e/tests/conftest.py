"""Settings of the property-based tests."""

from hypothesis import settings

# A busy machine writes a file in more than Hypothesis' 200 ms now and then.
settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")
