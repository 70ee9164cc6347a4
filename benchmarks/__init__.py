"""What waiting, a whole run, parsing and delivery cost, beside what a user would pick instead."""
