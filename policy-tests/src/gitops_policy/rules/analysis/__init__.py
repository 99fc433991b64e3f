"""Rules about the analyses that judge a release."""
