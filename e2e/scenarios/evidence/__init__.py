"""What the scenarios saw: a file for each test, and one page about all of them."""
