from hypothesis import settings

# The machine's cores are shared: a slow example is no finding.
settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")
